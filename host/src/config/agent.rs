//! An agent as a person or a file describes it, and what the kernel makes of that: names become
//! programs and models, texts become grants.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::policy::{self, Level};
use super::secrets::Vault;
use super::{Config, LimitsTable, Time, ZERO, plugins};
use crate::capability::grant::{Capability, Grant, Scope};
use crate::capability::secrets::missing;
use crate::kernel::agents::{AgentOptions, FindProgram, Held, Holdings, MemoryOptions, Spawn};
use crate::kernel::{Fault, Kernel, SessionOptions};
use crate::model::{ModelError, Models};
use crate::pager::Tokenizer;
use crate::scheduler::{Limits, OwnerId, Priority};

/// One agent, as `--task` and its flags, `spawn`, or a table of `team.toml` describe it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSpec {
    /// What people call it; its program's name where it is left out.
    pub name: Option<String>,
    /// The agent plugin: a path or a name.
    pub program: String,
    /// What it is to do.
    pub task: String,
    /// How urgent: 0 to 100, lower first; 50 where it is left out.
    pub priority: Option<u8>,
    /// Its share against agents of the same priority, 1 to 1,000; 1 where it is left out.
    pub weight: Option<u16>,
    /// `provider/model` or `script:FILE`; the first provider with a key where it is left out.
    pub model: Option<String>,
    /// Plugins whose tools it may call: paths or names.
    pub plugins: Vec<String>,
    /// Agent plugins that its children may run, by name.
    pub spawn: Vec<String>,
    /// Grants for its tools: `[PLUGIN@]capability:pattern`.
    pub allow: Vec<String>,
    /// Paths inside granted roots that stay closed.
    pub deny_path: Vec<PathBuf>,
    /// How far its grants may go; as far as they say where it is left out.
    pub permission_level: Option<Level>,
    /// What is granted to be written is only to be read.
    pub read_only: bool,
    /// Its tools, as `files__*`; all of its plugins' where there is none.
    pub allow_tools: Vec<String>,
    /// Tools that it may not call, whatever is granted.
    pub deny_tools: Vec<String>,
    /// Limits of each of its tool calls, and its own memory.
    pub limits: LimitsTable,
    /// Tokens that it and its children may use in all.
    pub max_tokens: Option<u64>,
    /// Model calls that it and its children may make in all.
    pub max_calls: Option<u64>,
    /// Millionths of a US dollar that it and its children may spend in all.
    pub max_microdollars: Option<u64>,
    /// How long it may live, pauses left out.
    pub max_time: Option<Time>,
    /// Tokens of one of its requests; 10,000 where neither this nor the host says.
    pub request_tokens: Option<u64>,
    /// Tokens of it alone in a window of an hour; 100,000 where it is left out.
    pub window_tokens: Option<u64>,
    /// Model calls of it alone in a window of an hour; 1,000 where it is left out.
    pub window_calls: Option<u64>,
    /// For whom it runs, by number: owners share slots fairly and have quotas; 0 where it is left
    /// out.
    pub owner: Option<u32>,
    /// CPU that it, its tools and its children may use at most, in percent of one core.
    pub cpu_percent: Option<u16>,
    /// Tokens of its prompts; what its model's window leaves where it is left out.
    #[serde(alias = "context_budget")]
    pub context_tokens: Option<u64>,
    /// How tokens are counted: `o200k`, `cl100k` or `chars4`.
    pub tokenizer: Tokenizer,
    /// No pages are recalled by themselves for each user turn.
    pub no_auto_recall: bool,
    /// The model that summarises what leaves the window: `provider/model` or `script:FILE`.
    pub summarise: Option<String>,
}

/// Why a description is none of an agent: one sentence, and whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The description is wrong.
    #[error("{0}")]
    Usage(String),
    /// A plugin is missing or broken.
    #[error("{0}")]
    Plugin(String),
    /// The model cannot be used.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// The kernel refused.
    #[error("{0}")]
    Kernel(#[from] Fault),
}

impl AgentSpec {
    /// What the kernel starts the agent from. `options` are the streams and clocks of its tools.
    ///
    /// # Errors
    /// One sentence that names what is wrong.
    pub async fn resolve(
        &self,
        config: &Config,
        kernel: &Kernel,
        models: &Models,
        options: SessionOptions,
    ) -> Result<Spawn, SpecError> {
        self.check().map_err(SpecError::Usage)?;
        let program = load(config, kernel, &self.program).await?;
        let endpoint = models.resolve(self.model.as_deref())?;
        let summariser = match &self.summarise {
            Some(model) => Some(models.resolve(Some(model))?),
            None => None,
        };
        let priority = match self.priority {
            None => Priority::default(),
            // Checked above.
            Some(points) => Priority::new(points).unwrap_or_default(),
        };
        let mut tools: Vec<Held> = Vec::with_capacity(self.plugins.len());
        for wanted in &self.plugins {
            let held = load(config, kernel, wanted).await?;
            if tools.iter().any(|known| known.alias == held.alias) {
                let alias = held.alias;
                return Err(SpecError::Usage(format!("two plugins would be called `{alias}`")));
            }
            tools.push(held);
        }
        let mut options = options;
        options.grants = self.grants(config, &tools, endpoint.name())?;
        let grants = options.grants.iter().map(|(grant, _)| grant);
        let secrets = Vault::of(config).values_of(grants);
        options.secrets = secrets.map_err(|error| SpecError::Usage(error.to_string()))?;
        options.denied_paths = config.denied_paths.clone();
        options.denied_paths.extend(self.deny_path.iter().cloned());
        options.denied_paths.extend(config.own_paths());
        let level = self.permission_level.map(Level::limits).unwrap_or_default();
        options.limits = self.limits.clone().or(level).over(&config.limits);
        options.tools =
            policy::tool_rules(&self.allow_tools, &self.deny_tools).map_err(SpecError::Usage)?;
        let name = self.name.clone().unwrap_or_else(|| program.alias.clone());
        let holdings = Holdings {
            tools,
            options,
            budget: self.budget(),
            windows: self.windows(),
            cpu_share_permille: self.cpu_percent.map(|percent| percent.saturating_mul(10)),
            memory: MemoryOptions {
                tokenizer: self.tokenizer,
                auto_recall: !self.no_auto_recall,
                summarise: summariser,
            },
        };
        Ok(Spawn {
            name,
            plugin: program.plugin,
            task: self.task.clone(),
            owner: OwnerId(self.owner.unwrap_or(0)),
            priority,
            weight: self.weight.unwrap_or(1),
            endpoint,
            holdings,
            context_tokens: self.context_tokens,
            remembers: None,
        })
    }

    /// Refuses what can be told before anything is loaded.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        if let Some(name) = self.name.as_ref().filter(|name| name.parse::<u64>().is_ok()) {
            return Err(format!(
                "`{name}` is a number, which commands take for a pid; give it another name"
            ));
        }
        let zero = |key: &str| Err(format!("{key} is 0; {ZERO}"));
        if self.program.is_empty() {
            return Err("it has no program; write program = \"assistant\", or a path".into());
        }
        if self.task.trim().is_empty() {
            return Err("it has no task; write task = \"…\"".into());
        }
        if let Some(points) = self.priority.filter(|points| Priority::new(*points).is_none()) {
            return Err(format!("priority {points}: it goes from 0 (first) to 100"));
        }
        if let Some(weight) = self.weight.filter(|weight| !(1..=1_000).contains(weight)) {
            return Err(format!("weight {weight}: it goes from 1 to 1000"));
        }
        if let Some(key) = self.limits.zero() {
            return zero(key);
        }
        let ms = |time: Time| time.0.as_millis().try_into().unwrap_or(u64::MAX);
        let amounts = [
            ("max_tokens", self.max_tokens),
            ("max_calls", self.max_calls),
            ("max_microdollars", self.max_microdollars),
            ("request_tokens", self.request_tokens),
            ("window_tokens", self.window_tokens),
            ("window_calls", self.window_calls),
            ("context_tokens", self.context_tokens),
            ("cpu_percent", self.cpu_percent.map(u64::from)),
            ("max_time", self.max_time.map(ms)),
        ];
        match amounts.into_iter().find(|(_, value)| *value == Some(0)) {
            Some((key, _)) => zero(key),
            None => Ok(()),
        }
    }

    fn windows(&self) -> Limits {
        Limits {
            request_tokens: self.request_tokens,
            window_tokens: self.window_tokens,
            window_calls: self.window_calls,
            ..Limits::FREE
        }
    }

    fn budget(&self) -> Limits {
        let time = |time: Time| u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX);
        Limits {
            total_tokens: self.max_tokens,
            total_calls: self.max_calls,
            total_microdollars: self.max_microdollars,
            total_wall_ms: self.max_time.map(time),
            ..Limits::FREE
        }
    }

    /// What was written, and what follows from naming plugins, programs and a model.
    fn grants(
        &self,
        config: &Config,
        tools: &[Held],
        model: &str,
    ) -> Result<Vec<(Grant, String)>, SpecError> {
        let mut grants = Vec::new();
        let mut written: Vec<&String> = config.grants.iter().chain(&self.allow).collect();
        written.dedup();
        let given = self.permission_level.map(Level::grants).unwrap_or_default();
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        written.extend(&given);
        for text in written {
            let grant = text.parse::<Grant>().map_err(|e| SpecError::Usage(e.to_string()))?;
            // The configuration's own are the host's, for everything that runs on it.
            let level = match config.grants.contains(text) {
                true => Level::Admin,
                false => self.permission_level.unwrap_or(Level::Admin),
            };
            let settled = policy::settled(level, self.read_only, (grant, text.clone()));
            grants.push(settled.map_err(SpecError::Usage)?);
        }
        let tools = tools.iter().map(|held| (Capability::Tool, format!("{}__*", held.alias)));
        let programs = self.spawn.iter().map(|name| (Capability::Spawn, name.clone()));
        let model = std::iter::once((Capability::Model, model.to_owned()));
        for (capability, pattern) in tools.chain(programs).chain(model) {
            let scope = Scope::parse(capability, &pattern);
            let scope = scope.map_err(|error| SpecError::Usage(error.to_string()))?;
            let given = (Grant { plugin: None, scope }, format!("{capability}:{pattern}"));
            let level = self.permission_level.unwrap_or(Level::Admin);
            let settled = policy::settled(level, self.read_only, given);
            grants.push(settled.map_err(SpecError::Usage)?);
        }
        Ok(grants)
    }
}

/// A plugin by its path or name, loaded, under the name that its tools will begin with.
async fn load(config: &Config, kernel: &Kernel, wanted: &str) -> Result<Held, SpecError> {
    let found = plugins::find(wanted, &config.plugin_path)
        .map_err(|error| SpecError::Plugin(error.to_string()))?;
    let plugin = kernel
        .load_kept(&found.name, found.bytes)
        .await
        .map_err(|fault| SpecError::Plugin(format!("{}: {fault}", found.origin)))?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let alias: String = found.name.chars().map(plain).collect();
    Ok(Held { alias: alias.replace("__", "_"), plugin, only: None })
}

/// How agents run on this host: its models, and the programs that they may spawn by name.
pub fn agent_options(config: &Config, models: Models) -> AgentOptions {
    let folders = config.plugin_path.clone();
    let find: FindProgram = Arc::new(move |name| {
        // A guest names programs, never paths.
        if name.contains(['/', '.']) {
            return Err(format!("`{name}` is no name of a program"));
        }
        plugins::find(name, &folders).map(|found| found.bytes).map_err(|error| error.to_string())
    });
    let mut options = AgentOptions::new(models, find);
    let vault = Vault::of(config);
    options.secrets = Arc::new(move |name| match vault.value(name) {
        Ok(value) => value.ok_or_else(|| missing(name).to_string()),
        Err(error) => Err(error.to_string()),
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    options.schedule.workers = u16::try_from(cores).unwrap_or(u16::MAX);
    config.host.over(&mut options);
    options
}
