//! `aos-host run AGENT --task …`: one agent in the foreground, to its answer.

use std::time::Duration;

use clap::Args;

use super::arguments::{GrantArgs, LimitArgs};
use super::exit::{Code, Failure};
use super::run::Format;
use super::signals::Signals;
use super::{input, terminal};
use crate::config::agent::{AgentSpec, SpecError, agent_options};
use crate::config::secrets::Vault;
use crate::config::{Config, Time};
use crate::kernel::agents::Agents;
use crate::kernel::{Kernel, SessionOptions};
use crate::model::{ModelError, ModelOptions, Models};
use crate::pager::Tokenizer;
use crate::types::{Ending, Pid, ProcessView, Standing, Waiting};

/// What makes a run an agent's.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Agents")]
pub struct AgentArgs {
    /// What the agent is to do: a text, @FILE, or - for stdin
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// The model it asks: provider/model, or script:FILE for a scripted one
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Plugins whose tools it may call: names or paths
    #[arg(long = "plugin", value_name = "PLUGIN", value_delimiter = ',')]
    pub plugins: Vec<String>,
    /// Agent plugins that its children may run, by name
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',')]
    pub allow_spawn: Vec<String>,
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// How urgent it is: 0 to 100, lower first
    #[arg(long, value_name = "POINTS")]
    pub priority: Option<u8>,
    /// Tokens that it and its children may use in all
    #[arg(long, value_name = "TOKENS")]
    pub max_tokens: Option<u64>,
    /// Model calls that it and its children may make in all
    #[arg(long, value_name = "CALLS")]
    pub max_calls: Option<u64>,
    /// US dollars that it and its children may spend in all
    #[arg(long, value_name = "DOLLARS", value_parser = microdollars)]
    pub max_cost: Option<u64>,
    /// Tokens of one of its requests; 10000 unless the host says otherwise
    #[arg(long, value_name = "TOKENS")]
    pub request_tokens: Option<u64>,
    /// Tokens that it alone may use in an hour; 100000 unless said
    #[arg(long, value_name = "TOKENS")]
    pub window_tokens: Option<u64>,
    /// Model calls that it alone may make in an hour; 1000 unless said
    #[arg(long, value_name = "CALLS")]
    pub window_calls: Option<u64>,
    /// For whom it runs, a number: owners share slots fairly and have quotas
    #[arg(long, value_name = "NUMBER")]
    pub owner: Option<u32>,
    /// How long it may live, pauses left out
    #[arg(long, value_name = "TIME")]
    pub max_time: Option<Time>,
    /// CPU that it, its tools and its children may use at most, as 50% of one core
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub cpu: Option<u16>,
    /// How long to wait for room in a spent budget before giving up
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub patience: Time,
    /// Tokens of its prompts; what its model's window leaves unless said
    #[arg(long, value_name = "TOKENS", alias = "context-tokens")]
    pub context_budget: Option<u64>,
    /// How tokens are counted: o200k, cl100k or chars4; o200k unless said
    #[arg(long, value_name = "NAME")]
    pub tokenizer: Option<Tokenizer>,
    /// Recall no pages by itself: the agent and its model may ask for them all the same
    #[arg(long)]
    pub no_auto_recall: bool,
    /// A model that summarises what leaves the window, within the agent's own budgets
    #[arg(long, value_name = "MODEL")]
    pub summarise: Option<String>,
}

/// US dollars as millionths.
///
/// # Errors
/// One sentence about what is no amount.
pub fn microdollars(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no amount; write it like 2.50");
    let dollars: f64 = text.trim_start_matches('$').parse().map_err(|_| wrong())?;
    if !(0.0..=1e9).contains(&dollars) {
        return Err(wrong());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: zero to a billion"
    )]
    Ok((dollars * 1e6).round() as u64)
}

fn percent(text: &str) -> Result<u16, String> {
    let number = text.trim_end_matches('%').parse().ok();
    number
        .filter(|number| (1..=6_400).contains(number))
        .ok_or_else(|| format!("`{text}` is no share; write it like 50%"))
}

impl AgentArgs {
    /// The first flag that only agents have, where one was given.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.task.is_some(), "--task"),
            (self.model.is_some(), "--model"),
            (!self.plugins.is_empty(), "--plugin"),
            (!self.allow_spawn.is_empty(), "--allow-spawn"),
            (self.name.is_some(), "--name"),
            (self.priority.is_some(), "--priority"),
            (self.max_tokens.is_some(), "--max-tokens"),
            (self.max_calls.is_some(), "--max-calls"),
            (self.max_cost.is_some(), "--max-cost"),
            (self.request_tokens.is_some(), "--request-tokens"),
            (self.window_tokens.is_some(), "--window-tokens"),
            (self.window_calls.is_some(), "--window-calls"),
            (self.owner.is_some(), "--owner"),
            (self.max_time.is_some(), "--max-time"),
            (self.cpu.is_some(), "--cpu"),
            (self.context_budget.is_some(), "--context-budget"),
            (self.tokenizer.is_some(), "--tokenizer"),
            (self.no_auto_recall, "--no-auto-recall"),
            (self.summarise.is_some(), "--summarise"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }

    /// The agent that the flags describe.
    ///
    /// # Errors
    /// One sentence about the task or a grant.
    pub fn spec(
        &self,
        program: &str,
        options: &SessionOptions,
        (grants, limits): (&GrantArgs, &LimitArgs),
    ) -> Result<AgentSpec, Failure> {
        let policy = grants.policy()?;
        let quotas = policy.as_ref().map(|policy| policy.quotas).unwrap_or_default();
        let task = self.task.as_deref().ok_or_else(|| {
            Failure::usage(format!("{program} is an agent: give it a task with --task"))
        })?;
        let spec = AgentSpec {
            name: self.name.clone(),
            program: program.to_owned(),
            task: input::text(task)?,
            priority: self.priority,
            weight: None,
            model: self.model.clone(),
            plugins: self.plugins.clone(),
            spawn: self.allow_spawn.clone(),
            allow: options.grants.iter().map(|(_, text)| text.clone()).collect(),
            deny_path: options.denied_paths.clone(),
            permission_level: policy.as_ref().map(|policy| policy.level),
            read_only: policy.as_ref().is_some_and(|policy| policy.read_only),
            allow_tools: policy.iter().flat_map(|policy| policy.allow_tools.clone()).collect(),
            deny_tools: policy.iter().flat_map(|policy| policy.deny_tools.clone()).collect(),
            limits: limits.table().or(policy.map(|policy| policy.limits).unwrap_or_default()),
            max_tokens: self.max_tokens.or(quotas.max_tokens),
            max_calls: self.max_calls.or(quotas.max_calls),
            max_microdollars: self.max_cost.or(quotas.max_microdollars),
            request_tokens: self.request_tokens,
            window_tokens: self.window_tokens,
            window_calls: self.window_calls,
            owner: self.owner,
            max_time: self.max_time.or(quotas.max_time),
            cpu_percent: self.cpu.or(quotas.cpu_percent),
            context_tokens: self.context_budget,
            tokenizer: self.tokenizer.unwrap_or_default(),
            no_auto_recall: self.no_auto_recall,
            summarise: self.summarise.clone(),
        };
        spec.check().map_err(|what| Failure::usage(as_flag(&what)))?;
        Ok(spec)
    }
}

/// A sentence about a key of a description, about the flag that sets it.
fn as_flag(what: &str) -> String {
    match what.split_once(" is 0;") {
        Some(("max_microdollars", rest)) => format!("--max-cost is 0;{rest}"),
        Some(("context_tokens", rest)) => format!("--context-budget is 0;{rest}"),
        Some((key, rest)) => format!("--{} is 0;{rest}", key.replace('_', "-")),
        None => what.to_owned(),
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        let code = match &error {
            SpecError::Usage(_) | SpecError::Model(_) => Code::Usage,
            SpecError::Plugin(_) => Code::Plugin,
            SpecError::Kernel(fault) => super::exit::code_of(fault),
        };
        Self::new(code, error)
    }
}

/// The models of this host: the built-in table, keys from the environment or the kept secrets.
///
/// # Errors
/// When the configuration describes a provider that cannot be.
pub fn models(config: &Config) -> Result<Models, Failure> {
    let vault = Vault::of(config);
    let environment = std::sync::Arc::new(move |name: &str| {
        let set = std::env::var(name).ok().filter(|value| !value.is_empty()).map(Into::into);
        set.or_else(|| match vault.value(name) {
            Ok(value) => value,
            Err(error) => {
                tracing::warn!("{name} is not read from the secrets: {error}");
                None
            }
        })
    });
    let options = ModelOptions { providers: config.providers.clone(), ..ModelOptions::default() };
    Models::new(options, environment).map_err(|error| {
        let what = match error {
            ModelError::BadRequest { reason, .. } => reason,
            other => other.to_string(),
        };
        Failure::usage(format!("{}: {what}", config.file.display()))
    })
}

/// How often a foreground run looks at where its agent stands.
const LOOK: Duration = Duration::from_millis(200);

/// Runs one agent to its end, and prints its answer.
pub async fn run(
    config: &Config,
    kernel: &Kernel,
    spec: AgentSpec,
    options: SessionOptions,
    patience: Duration,
    format: Format,
) -> Result<Code, Failure> {
    let models = models(config)?;
    let spawn = spec.resolve(config, kernel, &models, options).await?;
    let mut signals = Signals::watch()?;
    let agents = kernel.start_agents(agent_options(config, models))?;
    let pid = agents.spawn_first(spawn).await.map_err(|error| {
        let code = match &error {
            crate::kernel::agents::SpawnError::Limit(_) => Code::Limit,
            crate::kernel::agents::SpawnError::Refused(_)
            | crate::kernel::agents::SpawnError::Window { .. } => Code::Usage,
            crate::kernel::agents::SpawnError::Journal(_) => Code::Host,
        };
        Failure::new(code, error)
    })?;
    let followed = signals.or(followed(agents, pid, patience)).await;
    let view = agents.show(pid).map_err(Failure::host)?;
    let ended = match followed {
        Err(interrupted) => {
            agents.end(pid, "interrupted").map_err(Failure::host)?;
            agents.wait(pid).await.map_err(Failure::host)?;
            agents.close(Duration::ZERO).await;
            kernel.sync().await?;
            return Err(interrupted.into());
        }
        Ok(Followed::Ended(ending)) => Ok(ending),
        Ok(Followed::Stuck(reason)) => {
            let why = format!("it waited too long for room in a budget: {reason}");
            agents.end(pid, &why).map_err(Failure::host)?;
            agents.wait(pid).await.map_err(Failure::host)?;
            Err(reason)
        }
    };
    agents.close(Duration::ZERO).await;
    // What is told as done is on the disk first.
    kernel.sync().await?;
    tell(&view, ended, format)
}

enum Followed {
    Ended(Ending),
    /// It waits for a limit that does not give way.
    Stuck(String),
}

/// Waits for an agent's end, and says on a terminal where it stands.
async fn followed(agents: &Agents, pid: Pid, patience: Duration) -> Followed {
    let line = terminal::status_line();
    let mut stuck_since = None;
    loop {
        let waited = tokio::time::timeout(LOOK, agents.wait(pid)).await;
        if let Ok(Ok(ending)) = waited {
            return Followed::Ended(ending);
        }
        let Ok(view) = agents.show(pid) else {
            return Followed::Stuck("it is gone".into());
        };
        line(&status(&view));
        if view.standing != Standing::Waiting(Waiting::Quota) {
            stuck_since = None;
            continue;
        }
        let since = *stuck_since.get_or_insert_with(std::time::Instant::now);
        // Nobody is here to give it more time, and no window opens for it.
        if since.elapsed() >= patience || agents.is_out_of_time(pid) {
            return Followed::Stuck(view.reason.unwrap_or_default());
        }
    }
}

fn status(view: &ProcessView) -> String {
    let usage = &view.usage;
    format!(
        "{} · {} · {} model calls · {} tool calls · {} tokens",
        view.name,
        view.standing,
        usage.model_calls,
        usage.tool_calls,
        usage.input_tokens + usage.output_tokens
    )
}

/// Prints the answer, or says how it ended.
fn tell(
    view: &ProcessView,
    ended: Result<Ending, String>,
    format: Format,
) -> Result<Code, Failure> {
    let code = match &ended {
        Ok(Ending::Returned(_)) => Code::Ok,
        Ok(Ending::Failed(_) | Ending::Trapped(_) | Ending::Killed(_)) => Code::Tool,
        Ok(Ending::Limit(_)) => Code::Limit,
        Err(_) => Code::Paused,
    };
    if format == Format::Json {
        let mut value = serde_json::json!(view);
        if let Err(reason) = &ended {
            value["paused"] = reason.as_str().into();
        }
        terminal::print_line(&value.to_string())?;
        return if code == Code::Ok { Ok(code) } else { Err(Failure::silent(code)) };
    }
    match ended {
        Ok(Ending::Returned(text)) => terminal::print_line(&text),
        Ok(ending) => {
            let name = terminal::one_line(&view.name);
            Err(Failure::new(code, format!("{name} {}", super::operate::how(&ending))))
        }
        Err(reason) => Err(Failure::new(code, format!("paused: {reason}"))),
    }
}
