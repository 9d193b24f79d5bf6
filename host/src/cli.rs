//! The command line: words in, one [`Syscall`](crate::types::Syscall) down, words out.
//!
//! Answers go to stdout, everything else to stderr, and the exit code tells the kind.

mod arguments;
mod audit;
mod cache;
mod exit;
mod input;
mod inspect;
mod new;
mod plugin;
mod render;
mod run;
mod simulate;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::exit::{Code, Failure};
use crate::config::Config;
use crate::storage::StoreUrl;

/// Runs programs that nobody has to trust: WebAssembly components with capabilities that are
/// denied by default.
#[derive(Debug, Parser)]
#[command(name = "aos-host", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    /// Where the journal is: sqlite:PATH or memory:
    #[arg(long, global = true, value_name = "URL", env = "AOS_STORE")]
    store: Option<String>,
    /// The configuration file, instead of aos.toml in the user's configuration folder
    #[arg(long, global = true, value_name = "FILE", env = "AOS_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a plugin: list or call its tools, or run it as a command
    Run(Box<run::RunArgs>),
    /// Say what a plugin is, what it offers and what it would need
    Inspect(inspect::InspectArgs),
    /// Start a new tool: a project that builds, tests and runs
    New(new::NewArgs),
    /// Read the journal: what was run, what it did, what it was denied
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at or clear the compiled components
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Run the scheduler's policy over a trace of model calls, with a virtual clock
    Simulate(simulate::SimulateArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// The whole program: reads the arguments, does it, and returns the exit code.
pub fn main() -> ExitCode {
    start_log();
    take_all_open_files();
    // clap tells what is wrong, names the nearest option and exits with 2.
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code.into(),
        Err(failure) => failure.tell(),
    }
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
    let mut config = Config::load(cli.config.as_deref()).map_err(Failure::usage)?;
    if let Some(store) = &cli.store {
        config.store = store.parse::<StoreUrl>().map_err(Failure::usage)?;
    }
    match cli.command {
        Command::Run(arguments) => block_on(run::run(&config, *arguments)),
        Command::Inspect(arguments) => block_on(inspect::inspect(&config, arguments)),
        Command::New(arguments) => new::new(&arguments),
        Command::Audit(command) => block_on(audit::audit(&config, command)),
        Command::Cache(command) => cache::cache(&config, &command),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "aos-host", &mut script);
            terminal::print_bytes(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::host)?;
            terminal::print_bytes(&page)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
