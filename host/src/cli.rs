//! The command line: words in, one [`Syscall`](crate::types::Syscall) down, words out.
//!
//! Answers go to stdout, everything else to stderr, and the exit code tells the kind.

mod agent;
mod arguments;
mod audit;
mod build;
mod cache;
mod checkpoint;
mod context;
mod contract;
mod dev;
mod doctor;
mod exit;
mod explain;
mod input;
mod inspect;
mod logs;
mod man;
mod new;
mod operate;
mod plugin;
mod policy;
mod ps;
mod quota;
mod record;
mod render;
mod replay;
mod run;
mod secret;
mod serve;
mod signals;
mod simulate;
mod storage;
mod store;
pub mod team;
mod terminal;
mod tool;
mod top;
mod travel;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::exit::{Asked, Code, Failure};
use crate::config::Config;
use crate::storage::StoreUrl;

/// Runs programs that nobody has to trust: WebAssembly components with capabilities that are
/// denied by default.
#[derive(Debug, Parser)]
#[command(name = "aos-host", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    /// Where the journal is: sqlite:PATH, postgres://USER@HOST/DATABASE or memory:
    /// [env: AOS_STORE]
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// The configuration file, instead of aos.toml in the user's configuration folder
    /// [env: AOS_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a plugin: list or call its tools, or run it as a command
    Run(Box<run::RunArgs>),
    /// Keep a host running for many agents: the commands below find it
    Serve(serve::ServeArgs),
    /// Start an agent on the running host, and print its pid
    Spawn(Box<operate::SpawnArgs>),
    /// List the agents of the running host
    Ps(ps::PsArgs),
    /// Show the agents of the running host, their tokens, money and slots, as they change
    Top(top::TopArgs),
    /// Show what an agent did: the rows of its chain in the journal
    Logs(logs::LogsArgs),
    /// Wait for an agent's end, and print its answer
    Wait(operate::WaitArgs),
    /// Stop an agent until it is resumed
    Pause(operate::WhoArgs),
    /// Let a paused agent go on
    Resume(operate::WhoArgs),
    /// Change how urgent an agent is
    Renice(operate::ReniceArgs),
    /// End an agent and all its children
    Kill(operate::KillArgs),
    /// Put a message into an agent's mailbox
    Send(operate::SendArgs),
    /// Run an agent's program again against its journal, and compare: nothing is done twice
    Replay(replay::ReplayArgs),
    /// Name points of an agent's life, go back to them, or go on from them with a new agent
    #[command(subcommand)]
    Checkpoint(checkpoint::CheckpointCommand),
    /// Write an agent into one file; needs no running host
    Export(travel::ExportArgs),
    /// Check such a file whole, and go on with its agent on the running host
    Import(travel::ImportArgs),
    /// Show and set limits on tokens, calls and money
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Say what a plugin is, what it offers and what it would need
    Inspect(inspect::InspectArgs),
    /// Start a new tool, agent or command: a project that builds, tests and runs
    New(new::NewArgs),
    /// Say whether this host is as it should be; with --attack, whether its barriers hold
    Doctor(doctor::DoctorArgs),
    /// Say why the last denial of a run happened, and the one line that would allow it
    Explain(explain::ExplainArgs),
    /// Build the project in a folder into one plugin, by its language's own toolchain
    Build(build::BuildArgs),
    /// Build and run the project in this folder, again on each save
    Dev(dev::DevArgs),
    /// Hold a tool plugin against the contract: calls made from its schemas, its examples
    Test(Box<contract::TestArgs>),
    /// Plugins: built, or from files, HTTPS and OCI registries; pinned by hash, signed, compared
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Native command lines as tools, each call in a container of its own
    #[command(subcommand)]
    Tool(tool::ToolCommand),
    /// Read the journal: what was run, what it did, what it was denied
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look after the store: its schema, its health, its size, a copy elsewhere
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Put documents of agents in, and find them again by words or vectors
    #[command(subcommand)]
    Storage(storage::StorageCommand),
    /// Read policies: what a file allows, what a level means, what two files differ in
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Keep values that plugins use at some hosts and never see
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Look at or clear the compiled components
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// What agents remember: the window, figures, recall, pages from a file; the pager measured
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Run the scheduler's policy over a trace of model calls, with a virtual clock
    Simulate(simulate::SimulateArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    Man(man::ManArgs),
}

/// The whole program: reads the arguments, does it, and returns the exit code.
pub fn main() -> ExitCode {
    start_log();
    take_all_open_files();
    let asked = Asked::of(std::env::args_os().skip(1));
    let done = match Cli::try_parse() {
        Ok(cli) => dispatch(cli),
        Err(error) => not_understood(&error, asked),
    };
    match done {
        Ok(code) => code.into(),
        Err(failure) if asked.command => failure.of_a_command().tell(asked),
        Err(failure) => failure.tell(asked),
    }
}

/// clap's answer: help and versions, or what is wrong and the nearest option.
fn not_understood(error: &clap::Error, asked: Asked) -> Result<Code, Failure> {
    if !error.use_stderr() {
        return match error.print() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::host(format!("stdout: {error}")))
            }
            Ok(()) | Err(_) => Ok(Code::Ok),
        };
    }
    let mut text = error.render().to_string();
    let meant = nearest_command(error);
    if let Some(near) = &meant
        && let Some(at) = text.find("\n\nUsage:")
    {
        text.insert_str(at, &format!("\n\n  tip: there is `{near}`"));
    }
    if asked.json {
        let lines = text.lines().take_while(|line| !line.starts_with("Usage:")).map(str::trim);
        let sentence = lines
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
            .replace(":; ", ": ");
        return Err(Failure::usage(sentence.trim_start_matches("error: ")));
    }
    // What was typed is quoted, and a terminal would obey what is in it.
    let told = match meant.is_none() && terminal::visible(&text) == text {
        true => error.print(),
        false => std::io::stderr().write_all(terminal::visible(&text).as_bytes()),
    };
    // Nobody is left to tell when stderr is closed.
    let _told = told;
    Err(Failure::silent(Code::Usage))
}

/// The command that a mistyped one is most like, where clap knows none.
fn nearest_command(error: &clap::Error) -> Option<String> {
    use clap::CommandFactory as _;
    use clap::error::{ContextKind, ContextValue};
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return None;
    }
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let command = Cli::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    crate::sandbox::plain::nearest(wrong, names).map(str::to_owned)
}

/// A variable of the host's own; an empty one counts as unset, as shells and tools have it.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// What guests may open together is far above the soft limit that most systems start with.
fn take_all_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where the system refuses, it stays as it was.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// `AOS_LOG=debug` shows what the host does; by default only what should worry somebody.
fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("AOS_LOG").unwrap_or_else(|_| {
        // The engine's own warnings repeat what the host says in one sentence.
        EnvFilter::new("aos_host=warn,off")
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.without_time().with_target(false).with_ansi(terminal::colours()).init();
}

fn dispatch(cli: Cli) -> Result<Code, Failure> {
    let file = cli.config.or_else(|| variable("AOS_CONFIG").map(PathBuf::from));
    let mut config = Config::load(file.as_deref()).map_err(Failure::usage)?;
    let store = cli.store.map(std::ffi::OsString::from).or_else(|| variable("AOS_STORE"));
    if let Some(store) = store {
        config.store = store.to_string_lossy().parse::<StoreUrl>().map_err(Failure::usage)?;
    }
    match cli.command {
        Command::Run(arguments) => block_on(run::run(&config, *arguments)),
        Command::Serve(arguments) => block_on_threads(serve::serve(&config, &arguments)),
        Command::Spawn(arguments) => block_on(operate::spawn(&config, &arguments)),
        Command::Ps(arguments) => block_on(ps::ps(&config, &arguments)),
        Command::Top(arguments) => block_on(top::top(&config, &arguments)),
        Command::Logs(arguments) => block_on(logs::logs(&config, &arguments)),
        Command::Wait(arguments) => block_on(operate::wait(&config, &arguments)),
        Command::Pause(arguments) => block_on(operate::pause(&config, &arguments)),
        Command::Resume(arguments) => block_on(operate::resume(&config, &arguments)),
        Command::Renice(arguments) => block_on(operate::renice(&config, &arguments)),
        Command::Kill(arguments) => block_on(operate::kill(&config, &arguments)),
        Command::Send(arguments) => block_on(operate::send(&config, &arguments)),
        Command::Replay(arguments) => block_on(replay::replay(&config, &arguments)),
        Command::Checkpoint(command) => block_on(checkpoint::checkpoint(&config, &command)),
        Command::Export(arguments) => block_on(travel::export(&config, &arguments)),
        Command::Import(arguments) => block_on(travel::import(&config, &arguments)),
        Command::Quota(command) => block_on(quota::quota(&config, &command)),
        Command::Inspect(arguments) => block_on(inspect::inspect(&config, arguments)),
        Command::New(arguments) => new::new(&arguments),
        Command::Plugin(command) => block_on(plugin::plugin(&config, command)),
        Command::Doctor(arguments) => block_on(doctor::doctor(&config, &arguments)),
        Command::Explain(arguments) => block_on(explain::explain(&config, &arguments)),
        Command::Build(arguments) => block_on(build::build(&config, &arguments)),
        Command::Dev(arguments) => dev::dev(&config, &arguments),
        Command::Test(arguments) => block_on(contract::test(&config, *arguments)),
        Command::Tool(command) => block_on(tool::tool(&config, command)),
        Command::Audit(command) => block_on(audit::audit(&config, command)),
        Command::Store(command) => block_on(store::store(&config, command)),
        Command::Storage(command) => block_on(storage::storage(&config, command)),
        Command::Policy(command) => policy::policy(&config, &command),
        Command::Secret(command) => secret::secret(&config, &command),
        Command::Cache(command) => cache::cache(&config, &command),
        Command::Context(command) => block_on(context::context(&config, &command)),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "aos-host", &mut script);
            terminal::print_bytes(&script)
        }
        Command::Man(arguments) => man::man(Cli::command(), &arguments),
    }
}

/// One thread for one run: it starts soonest, and the sandbox yields where others must go on.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::host)?;
    let done = runtime.block_on(work);
    // A thread that waits for stdin would hold the process.
    runtime.shutdown_background();
    done
}

/// As many threads as the machine has, for a host that lives long.
fn block_on_threads<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = built.map_err(Failure::host)?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
