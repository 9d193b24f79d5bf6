//! `aos-host context`: what agents remember. `show`, `stats` and `recall` look at the pages of an
//! agent, running or gone; `load` gives a name pages from a file; `recall --pages` and `simulate`
//! measure the pager offline.

mod lines;
mod load;
mod recall;
mod show;
mod simulate;
mod stats;

use clap::Subcommand;

use super::exit::{Code, Failure};
use super::serve::client;
use crate::api::ApiError;
use crate::api::words::Blame;
use crate::config::Config;
use crate::kernel::contexts::{self, ContextError};
use crate::storage::pages::ContextRecord;
use crate::storage::{Storage, StoreUrl};

#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Show the window of an agent as a map: pages, kinds, tokens, stubs, breakpoints
    Show(show::ShowArgs),
    /// Show what an agent's memory holds and did: faults, evictions, cache hits, recall, savings
    Stats(stats::StatsArgs),
    /// Find pages by what they say: of an agent, of loaded pages, or of a file
    Recall(recall::RecallArgs),
    /// Give a name pages from a file, to be recalled
    Load(load::LoadArgs),
    /// Render what the pager would have sent for a recorded log
    Simulate(simulate::SimulateArgs),
}

pub async fn context(config: &Config, command: &ContextCommand) -> Result<Code, Failure> {
    match command {
        ContextCommand::Show(arguments) => show::show(config, arguments).await,
        ContextCommand::Stats(arguments) => stats::stats(config, arguments).await,
        ContextCommand::Recall(arguments) => recall::recall(config, arguments).await,
        ContextCommand::Load(arguments) => load::load(config, arguments).await,
        ContextCommand::Simulate(arguments) => simulate::simulate(arguments),
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::None(_) | ContextError::Line(_) => Self::usage(error),
            ContextError::Storage(_) => Self::host(error),
        }
    }
}

/// The store, if it is there: nothing is made for a look.
async fn opened(config: &Config) -> Result<std::sync::Arc<dyn Storage>, Failure> {
    match &config.store {
        StoreUrl::Sqlite(path) if !path.exists() => {
            Err(Failure::usage(format!("there is no store {}: nothing ran yet", path.display())))
        }
        StoreUrl::Memory => Err(Failure::usage(
            "`--store memory:` keeps nothing: name a store with `--store sqlite:PATH`",
        )),
        StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => {
            config.store.open().await.map_err(Failure::host)
        }
    }
}

/// The context of an agent, as it is now where it runs, or under a name that pages were loaded
/// under. A running host writes what it has first.
async fn context_of(
    config: &Config,
    who: &str,
) -> Result<(std::sync::Arc<dyn Storage>, ContextRecord), Failure> {
    let live = match client(config)?.keep_pages(who).await {
        Ok(kept) => Some(kept.context.parse().map_err(Failure::host)?),
        Err(ApiError::NoHost(_)) => None,
        Err(ApiError::Refused(problem)) if problem.blame == Blame::NoAgent => None,
        Err(error) => return Err(error.into()),
    };
    let store = opened(config).await?;
    let record = match live {
        Some(chain) => contexts::of_chain(&*store, chain).await?,
        None => contexts::find(&*store, who).await?,
    };
    Ok((store, record))
}

/// Names what is damaged on stderr; the rest goes on.
fn tell_damage(damaged: &[String], count: u64) {
    for sentence in damaged {
        eprintln!("damaged: {}", super::terminal::visible(sentence));
    }
    if count > damaged.len() as u64 {
        eprintln!("damaged: {} pages more", count - damaged.len() as u64);
    }
}

/// Who it is, in a heading.
fn heading(record: &ContextRecord) -> String {
    let name = super::terminal::one_line(&record.name);
    match record.pid {
        0 => format!("`{name}` (loaded)"),
        pid => format!("agent {pid} ({name})"),
    }
}
