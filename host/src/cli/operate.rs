//! What an operator does to the agents of a running host: spawn, wait, pause, resume, renice, kill,
//! send.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::agent::AgentArgs;
use super::arguments::{GrantArgs, LimitArgs, session_options};
use super::audit::agents_chain;
use super::exit::{Code, Failure};
use super::logs::store_to_look_at;
use super::run::Format;
use super::serve::client;
use super::{input, terminal};
use crate::api::ApiError;
use crate::api::client::Wish;
use crate::api::words::Spawn;
use crate::config::anchor::anchor;
use crate::config::{Config, Time};
use crate::kernel::agents::stored_in;
use crate::storage::Storage;
use crate::types::{Ending, ProcessView, Standing, Waiting};

#[derive(Debug, Args)]
// Nobody stands by to lose patience.
#[command(mut_arg("patience", |patience| patience.hide(true)))]
pub struct SpawnArgs {
    /// The agent plugin: a .wasm or .wat file, or a name
    program: String,
    #[command(flatten)]
    agent: AgentArgs,
    /// How the answer is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Which agent.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// Its pid, or a name that it alone has
    #[arg(value_name = "PID")]
    who: String,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// How long to wait at most; then the code is 7 if it is paused, and 4 otherwise
    #[arg(long, value_name = "TIME")]
    timeout: Option<Time>,
    /// How the answer is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Args)]
pub struct ReniceArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// How urgent it is from now on: 0 to 100, lower first
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    priority: u8,
}

#[derive(Debug, Args)]
pub struct KillArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Why, for its journal
    #[arg(long, value_name = "TEXT", default_value = "the operator ended it")]
    reason: String,
}

#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// The message: a text, @FILE, or - for stdin
    text: String,
}

/// Starts an agent. Paths are made absolute here: the host stands elsewhere.
pub async fn spawn(config: &Config, arguments: &SpawnArgs) -> Result<Code, Failure> {
    let SpawnArgs { program, agent, output, grants, limits } = arguments;
    // What its own configuration says the host adds itself.
    let bare = Config { grants: Vec::new(), denied_paths: Vec::new(), ..config.clone() };
    let options = session_options(&bare, grants, limits)?;
    let mut spec = agent.spec(program, &options, (grants, limits))?;
    let here = std::env::current_dir()
        .map_err(|error| Failure::host(format!("the working directory: {error}")))?;
    anchor(&mut spec, &here).map_err(Failure::usage)?;
    let wanted = Spawn {
        spec,
        environment: options.environment,
        config: options.config,
        clock: options.ambient.clock,
        random: options.ambient.random,
    };
    let born = client(config)?.spawn(&wanted).await?;
    terminal::print_line(&match output {
        Format::Text => born.pid.to_string(),
        Format::Json => serde_json::json!(born).to_string(),
    })
}

/// Waits for an agent's end: its answer, and the codes of `run`.
pub async fn wait(config: &Config, arguments: &WaitArgs) -> Result<Code, Failure> {
    let client = client(config)?;
    let who = &arguments.who.who;
    let most = arguments.timeout.map_or(Duration::MAX, |time| time.0);
    match tokio::time::timeout(most, client.wait(who)).await {
        Ok(Err(error @ ApiError::NoHost(_))) => match store_to_look_at(config).await? {
            None => Err(error.into()),
            Some(store) => wait_in(&store, arguments, error).await,
        },
        Ok(ended) => {
            let (view, ending) = ended?;
            tell(&view, ending, arguments.output)
        }
        Err(_elapsed) => {
            let view = client.show(who).await?;
            Err(not_yet(&view, most))
        }
    }
}

/// The end of an agent that the store has, where no host runs.
async fn wait_in(
    store: &Arc<dyn Storage>,
    arguments: &WaitArgs,
    no_host: ApiError,
) -> Result<Code, Failure> {
    let Some(chain) = agents_chain(&**store, &arguments.who.who).await? else {
        return Err(no_host.into());
    };
    let view = stored_in(store, &chain.id).await?;
    match &view.ending {
        Some(ending) => tell(&view, ending.clone(), arguments.output),
        None => {
            let why = view.reason.as_deref().unwrap_or_default();
            Err(Failure::usage(format!("agent {} has not ended: {why}", view.pid)))
        }
    }
}

fn not_yet(view: &ProcessView, waited: Duration) -> Failure {
    let waits = view.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    let stands = matches!(view.standing, Standing::Paused | Standing::Waiting(Waiting::Quota));
    let code = if stands { Code::Paused } else { Code::Limit };
    let waited = humantime::format_duration(waited);
    Failure::new(
        code,
        format!("agent {} has not ended within {waited}; it is {}{waits}", view.pid, view.standing),
    )
}

/// Prints an answer, or says how an agent ended.
///
/// # Errors
/// The code and sentence of whatever was no answer.
pub fn tell(view: &ProcessView, ending: Ending, format: Format) -> Result<Code, Failure> {
    let code = code_of(&ending);
    if format == Format::Json {
        terminal::print_line(&serde_json::json!(view).to_string())?;
        return if code == Code::Ok { Ok(code) } else { Err(Failure::silent(code)) };
    }
    match ending {
        Ending::Returned(text) => terminal::print_line(&terminal::shown(&text)),
        Ending::Failed(_) | Ending::Trapped(_) | Ending::Killed(_) | Ending::Limit(_) => {
            let sentence = format!("agent {} {}", view.pid, how(&ending));
            Err(Failure::new(code, sentence))
        }
    }
}

/// The code of an agent's end.
pub fn code_of(ending: &Ending) -> Code {
    match ending {
        Ending::Returned(_) => Code::Ok,
        Ending::Failed(_) | Ending::Trapped(_) | Ending::Killed(_) => Code::Tool,
        Ending::Limit(_) => Code::Limit,
    }
}

/// An end in words that follow a name.
pub fn how(ending: &Ending) -> String {
    match ending {
        Ending::Returned(_) => "returned".to_owned(),
        Ending::Failed(text) => format!("failed: {text}"),
        Ending::Trapped(text) => format!("trapped: {text}"),
        Ending::Killed(text) => format!("was ended: {text}"),
        Ending::Limit(text) => format!("was ended: {text}"),
    }
}

pub async fn pause(config: &Config, arguments: &WhoArgs) -> Result<Code, Failure> {
    act(config, arguments, Wish::Pause).await
}

pub async fn resume(config: &Config, arguments: &WhoArgs) -> Result<Code, Failure> {
    act(config, arguments, Wish::Resume).await
}

pub async fn renice(config: &Config, arguments: &ReniceArgs) -> Result<Code, Failure> {
    act(config, &arguments.who, Wish::Renice(arguments.priority)).await
}

pub async fn kill(config: &Config, arguments: &KillArgs) -> Result<Code, Failure> {
    act(config, &arguments.who, Wish::End(arguments.reason.clone())).await
}

pub async fn send(config: &Config, arguments: &SendArgs) -> Result<Code, Failure> {
    let text = input::text(&arguments.text)?;
    act(config, &arguments.who, Wish::Mail(text)).await
}

/// Does it, and says on a terminal that it was done.
async fn act(config: &Config, who: &WhoArgs, wish: Wish) -> Result<Code, Failure> {
    let pid = client(config)?.act(&who.who, &wish).await?;
    let done = match wish {
        Wish::Pause => "is paused".to_owned(),
        Wish::Resume => "goes on".to_owned(),
        Wish::Renice(points) => format!("has priority {points}"),
        Wish::End(_) => "is being ended".to_owned(),
        Wish::Mail(_) => "has mail".to_owned(),
    };
    // Nobody is left to tell when stderr is closed.
    let _told = writeln!(std::io::stderr(), "agent {pid} {done}");
    Ok(Code::Ok)
}
