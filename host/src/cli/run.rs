//! `aos-host run`: list a plugin's tools, call one, or run a command.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::agent::AgentArgs;
use super::arguments::{GrantArgs, LimitArgs, likely_typos, session_options};
use super::exit::{Asked, Code, Failure, code_of, command_code};
use super::signals::{Interrupted, Signals};
use super::{input, render, terminal};
use crate::config::secrets::Vault;
use crate::config::{Config, LimitsTable, plugins};
use crate::container::manifest::ENDING;
use crate::kernel::{Fault, Kernel, Session, SessionOptions, Streams};
use crate::sandbox::host::call::Progress;
use crate::sandbox::plain::arguments::arguments_from_pairs;
use crate::sandbox::program::Kind;
use crate::sandbox::state::Input;
use crate::sandbox::stdio::Sink;
use crate::types::{Definition, Reply, Syscall};

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// JSON: one value, or one a line where there are many
    Json,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A .wasm or .wat file, or the name of a plugin
    plugin: String,
    /// The tool to call; without it, and with several tools, they are listed
    #[arg(long, short)]
    tool: Option<String>,
    /// Its arguments: a JSON object, @FILE, or - for stdin
    #[arg(long, short, value_name = "JSON")]
    input: Option<String>,
    /// One argument, typed by the tool's schema; may be given again
    #[arg(long, short, value_name = "KEY=VALUE", conflicts_with = "input")]
    arg: Vec<String>,
    /// How the answer is written; what a command prints stays as it is
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
    /// Write the smallest policy that this run needed, within the grants that it has
    #[arg(long, value_name = "FILE")]
    record: Option<std::path::PathBuf>,
    /// A folder in which plugins are looked up by name, before the configured ones
    #[arg(long, value_name = "FOLDER")]
    plugin_path: Vec<std::path::PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    agent: AgentArgs,
    /// Arguments of a command, after --
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl RunArgs {
    fn calls_a_tool(&self) -> bool {
        self.tool.is_some() || self.input.is_some() || !self.arg.is_empty()
    }
}

/// Runs what the arguments say.
pub async fn run(config: &Config, arguments: RunArgs) -> Result<Code, Failure> {
    if arguments.plugin.ends_with(".toml") && !arguments.plugin.ends_with(ENDING) {
        let limits = arguments.limits.table() != LimitsTable::default();
        let flags = arguments.calls_a_tool()
            || arguments.agent.given().is_some()
            || arguments.record.is_some();
        if flags || limits || arguments.grants.given() {
            let sentence =
                "describes its agents itself: grants, limits and tasks stand in the file";
            return Err(Failure::usage(format!("{} {sentence}", arguments.plugin)));
        }
        let path = std::path::Path::new(&arguments.plugin);
        let folders = arguments.plugin_path.iter().chain(&config.plugin_path).cloned().collect();
        let config = Config { plugin_path: folders, ..config.clone() };
        return super::team::run(&config, path, arguments.output).await;
    }
    let folders: Vec<_> =
        arguments.plugin_path.iter().chain(&config.plugin_path).cloned().collect();
    let found = plugins::find(&arguments.plugin, &folders)?;
    let config = Config { plugin_path: folders, ..config.clone() };
    let mut options = session_options(&config, &arguments.grants, &arguments.limits)?;
    options.known_as = found.looked_up.then(|| found.name.clone());
    options.grants.extend(found.standing_grants().map_err(Failure::usage)?);
    let missing = arguments.plugin_path.iter().filter(|folder| !folder.is_dir());
    missing.for_each(|folder| {
        terminal::note(&format!("--plugin-path {}: there is no such folder", folder.display()));
    });
    let typos = likely_typos(&arguments.grants, &options, &found.name);
    typos.iter().for_each(|typo| terminal::note(typo));
    options.progress = Some(Progress(Arc::new(terminal::progress_bar())));
    // A flag for the time to load is one for the kernel.
    let config = Config { limits: options.limits.clone(), ..config };
    let kernel = kernel(&config).await?;
    let ran = run_in(&config, &kernel, &found, options, arguments).await;
    kernel.leave().await?;
    ran
}

async fn run_in(
    config: &Config,
    kernel: &Kernel,
    found: &plugins::Found,
    mut options: SessionOptions,
    arguments: RunArgs,
) -> Result<Code, Failure> {
    let plugin = kernel
        .load(&found.name, found.bytes.clone())
        .await
        .map_err(|fault| Failure::new(code_of(&fault), format!("{}: {fault}", found.origin)))?;
    let is_command = matches!(plugin.program().kind, Kind::Command(_));
    if matches!(plugin.program().kind, Kind::Agent(_)) {
        if arguments.record.is_some() {
            let sentence = "is an agent: --record is for tools and commands";
            return Err(Failure::usage(format!("{} {sentence}", found.origin)));
        }
        return agent(config, kernel, found, options, arguments).await;
    }
    if is_command {
        options.streams =
            Streams { stdin: Input::Process, stdout: Sink::Stdout, stderr: Sink::Stderr };
    }
    refuse_what_does_not_fit(is_command, found, &arguments)?;
    let grants = options.grants.iter().map(|(grant, _)| grant);
    options.secrets = Vault::of(config).values_of(grants).map_err(Failure::usage)?;
    // What is typed in is read before there is a run: whoever types may give up.
    let typed = arguments.input.as_deref().map(input::object).transpose()?;
    let signals = Signals::watch()?;
    let session = kernel.session(plugin, options).map_err(|fault| match is_command {
        true => Failure::from(fault).of_a_command(),
        false => fault.into(),
    })?;
    let (run, ceiling) = (session.chain().to_string(), session.grants().to_vec());
    let record = arguments.record.clone();
    let ran = match is_command {
        true => command(kernel, session, arguments.arguments, signals).await,
        false => tool(kernel, session, &arguments, typed, signals).await,
    };
    if let Some(file) = &record {
        // Also of a run that failed: what it was denied stands in it.
        super::record::write(kernel, file, (&found.name, &run), &ceiling).await?;
    }
    ran
}

/// Runs an agent, with its own flags.
async fn agent(
    config: &Config,
    kernel: &Kernel,
    found: &plugins::Found,
    options: SessionOptions,
    arguments: RunArgs,
) -> Result<Code, Failure> {
    if arguments.calls_a_tool() || !arguments.arguments.is_empty() {
        let sentence = "is an agent: it takes a --task, and neither a tool nor arguments after --";
        return Err(Failure::usage(format!("{} {sentence}", found.origin)));
    }
    let RunArgs { plugin, grants, limits, agent, output, .. } = arguments;
    let spec = agent.spec(&plugin, &options, (&grants, &limits))?;
    let patience = agent.patience.0;
    super::agent::run(config, kernel, spec, options, patience, output).await
}

/// Before anything is written down: a command has no tools, and a tool no command line.
fn refuse_what_does_not_fit(
    is_command: bool,
    found: &plugins::Found,
    arguments: &RunArgs,
) -> Result<(), Failure> {
    let refuse = |sentence: &str| Err(Failure::usage(format!("{} {sentence}", found.origin)));
    if let Some(flag) = arguments.agent.given() {
        return refuse(&format!("is no agent: {flag} is for agents"));
    }
    if is_command && arguments.calls_a_tool() {
        return refuse("is a command and has no tools; give its arguments after `--`");
    }
    if !is_command && !arguments.arguments.is_empty() {
        return refuse(
            "is no command and takes nothing after `--`; give a tool's arguments with --input or \
             --arg",
        );
    }
    Ok(())
}

/// A kernel as the configuration has it.
pub async fn kernel(config: &Config) -> Result<Kernel, Failure> {
    let builder = Kernel::builder()
        .store(config.store.clone())
        .cache(config.cache_folder.clone(), config.cache_bytes_max)
        .load_time(config.limits.load)
        .containers(config.containers())
        .on_compile(terminal::compile_spinner());
    Ok(builder.build().await?)
}

async fn command(
    kernel: &Kernel,
    session: Session,
    arguments: Vec<String>,
    mut signals: Signals,
) -> Result<Code, Failure> {
    let ran = signals.or(kernel.submit(&session, Syscall::Run { arguments })).await;
    let (denials, limit) = (session.denials(), session.limit());
    let (code, sentence, outcome) = match &ran {
        Ok(Ok(Reply::Exit(exit, _))) => (Code::Guest(low_byte(*exit)), String::new(), "ok"),
        Ok(Ok(Reply::Definitions(_) | Reply::Output(..))) => (Code::Host, String::new(), "fault"),
        Ok(Err(fault)) => (command_code(fault), fault.to_string(), outcome(Some(fault))),
        Err(interrupted) => {
            let Failure { code, sentence } = Failure::from(*interrupted);
            (code, sentence, Interrupted::OUTCOME)
        }
    };
    kernel.close_session(session, outcome).await?;
    // Also of a run that went well: a command may pass over what it was refused.
    render::tell_denials(&denials);
    // A command's own code stays: it may have failed of something else than the limit.
    let sentence = match (code, limit) {
        (Code::Guest(1..), Some(limit)) if sentence.is_empty() => limit.to_string(),
        (_, _) => sentence,
    };
    if sentence.is_empty() {
        return Ok(code);
    }
    // Its stdout is the command's own, whatever format was asked for.
    Failure::new(code, sentence).tell(Asked::default());
    Err(Failure::silent(code))
}

/// An exit code as the shell sees it.
fn low_byte(exit: i32) -> u8 {
    exit.to_le_bytes()[0]
}

/// The word that closes the chain.
fn outcome(fault: Option<&Fault>) -> &'static str {
    match fault.map(code_of) {
        None => "ok",
        Some(Code::Denied) => "denied",
        Some(Code::Limit) => "limit",
        Some(Code::Tool | Code::Usage | Code::Paused) => "error",
        Some(Code::Signal(_)) => "interrupted",
        Some(Code::Plugin | Code::Missing | Code::Host | Code::Ok | Code::Guest(_)) => "fault",
    }
}

async fn tool(
    kernel: &Kernel,
    session: Session,
    arguments: &RunArgs,
    typed: Option<Value>,
    mut signals: Signals,
) -> Result<Code, Failure> {
    if !arguments.calls_a_tool() {
        let listed = match signals.or(list(kernel, &session, arguments.output)).await {
            Ok(listed) => listed,
            Err(interrupted) => return close_interrupted(kernel, session, interrupted).await,
        };
        let word = outcome(listed.as_ref().err());
        kernel.close_session(session, word).await?;
        return terminal::print_line(&listed?);
    }
    let called = match signals.or(call(kernel, &session, arguments, typed)).await {
        Ok(called) => called,
        Err(interrupted) => return close_interrupted(kernel, session, interrupted).await,
    };
    let chain = session.chain().to_string();
    let denials = session.denials();
    let usage = session.usage();
    let called = match called {
        Ok(output) => Ok(output),
        Err(Called::Refused(failure)) => {
            kernel.close_session(session, "error").await?;
            return Err(failure);
        }
        Err(Called::Fault(fault)) => Err(fault),
    };
    let word = outcome(called.as_ref().err());
    // What is told as done is on the disk first.
    kernel.close_session(session, word).await?;
    drop(signals);
    match arguments.output {
        Format::Json => {
            let text = render::answer_json(&called, &denials, usage, &chain);
            terminal::print_line(&text)?;
            match called {
                Ok(_) => Ok(Code::Ok),
                Err(fault) => Err(Failure::silent(refined(&fault, &denials))),
            }
        }
        Format::Text => match called {
            Ok(output) => {
                let printed = match output.structured {
                    Some(Value::Null) if output.content.is_empty() => Code::Ok,
                    _ => terminal::print_line(&render::output_text(&output))?,
                };
                render::hint_denials(&denials);
                Ok(printed)
            }
            Err(fault) => {
                render::tell_fault(&fault, &denials);
                Err(Failure::silent(refined(&fault, &denials)))
            }
        },
    }
}

async fn close_interrupted(
    kernel: &Kernel,
    session: Session,
    interrupted: Interrupted,
) -> Result<Code, Failure> {
    kernel.close_session(session, Interrupted::OUTCOME).await?;
    Err(interrupted.into())
}

/// A tool that failed after it was denied something failed of that, whatever it says.
fn refined(fault: &Fault, denials: &[crate::types::Denial]) -> Code {
    match code_of(fault) {
        Code::Tool if !denials.is_empty() => Code::Denied,
        code => code,
    }
}

enum Called {
    /// The arguments could not be read.
    Refused(Failure),
    /// The kernel's own answer.
    Fault(Fault),
}

async fn call(
    kernel: &Kernel,
    session: &Session,
    arguments: &RunArgs,
    typed: Option<Value>,
) -> Result<crate::types::Output, Called> {
    let object = match (typed, &arguments.arg[..]) {
        (Some(object), _) => object,
        (None, []) => Value::Object(serde_json::Map::new()),
        (None, pairs) => {
            let pairs = input::pairs(pairs).map_err(Called::Refused)?;
            let definitions = definitions(kernel, session).await.map_err(Called::Fault)?;
            let schema = schema_of(&definitions, arguments.tool.as_deref());
            let refused = |sentence| Called::Refused(Failure::usage(format!("--arg {sentence}")));
            Value::Object(arguments_from_pairs(&schema, pairs).map_err(refused)?)
        }
    };
    let syscall = Syscall::Call { tool: arguments.tool.clone(), arguments: object };
    match kernel.submit(session, syscall).await.map_err(Called::Fault)? {
        Reply::Output(output, _) => Ok(output),
        Reply::Definitions(_) | Reply::Exit(..) => {
            Err(Called::Fault(Fault::Host("a call was answered with something else".into())))
        }
    }
}

/// The schema that types `--arg`; a tool that is not there is told by the kernel afterwards.
fn schema_of(definitions: &[Definition], tool: Option<&str>) -> Value {
    let found = match (tool, definitions) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), all) => all.iter().find(|tool| tool.name == name),
    };
    found.map_or(Value::Bool(true), |tool| tool.input_schema.clone())
}

async fn definitions(kernel: &Kernel, session: &Session) -> Result<Vec<Definition>, Fault> {
    match kernel.submit(session, Syscall::Definitions).await? {
        Reply::Definitions(definitions) => Ok(definitions),
        Reply::Output(..) | Reply::Exit(..) => {
            Err(Fault::Host("a list was answered with something else".into()))
        }
    }
}

async fn list(kernel: &Kernel, session: &Session, format: Format) -> Result<String, Fault> {
    let definitions = definitions(kernel, session).await?;
    Ok(match format {
        Format::Json => render::definitions_json(&definitions),
        Format::Text => render::definitions_text(session.plugin(), &definitions),
    })
}
