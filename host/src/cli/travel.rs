//! `aos-host export` and `import`: an agent as one file.

use std::path::PathBuf;

use clap::Args;

use super::audit::opened;
use super::exit::{Code, Failure};
use super::serve::client;
use super::terminal::{self, one_line};
use crate::api::words::Adopt;
use crate::config::Config;
use crate::kernel::agents::{Traveller, export as export_agent, import as import_agent};
use crate::types::Pid;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The agent's number
    pid: u64,
    /// The file to write; one that is there stays as it is
    file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A file that `aos-host export` wrote
    file: PathBuf,
    /// What it is called from now on
    #[arg(long)]
    name: Option<String>,
    /// What it may do here, as CAPABILITY:PATTERN; may be given again
    #[arg(long, value_name = "GRANT")]
    allow: Vec<String>,
    /// Give it all that it was granted where it comes from
    #[arg(long, conflicts_with = "allow")]
    allow_asked: bool,
}

/// Writes an agent into a file. It stays where it is; needs no host.
pub async fn export(config: &Config, arguments: &ExportArgs) -> Result<Code, Failure> {
    let store = opened(&config.store).await?;
    let written = export_agent(&store, Pid(arguments.pid), &arguments.file).await;
    let closed = store.close().await;
    let written = written?;
    closed.map_err(Failure::host)?;
    let place = arguments.file.display().to_string();
    terminal::print_line(&format!("{} is in {}", told(&written), one_line(&place)))
}

/// Checks a file, takes it into the store, and has the running host go on with its agent.
pub async fn import(config: &Config, arguments: &ImportArgs) -> Result<Code, Failure> {
    let client = client(config)?;
    let store = opened(&config.store).await?;
    let decided = arguments.allow_asked || !arguments.allow.is_empty();
    let taken = import_agent(&store, &arguments.file, !decided).await;
    let closed = store.close().await;
    let taken = taken?;
    closed.map_err(Failure::host)?;
    if !decided {
        let asked: Vec<_> = taken.grants.iter().map(|grant| one_line(grant)).collect();
        return Err(Failure::new(
            Code::Denied,
            format!(
                "{} was sound, and nothing was taken in: a file carries no grants. It asks for {}; \
                 `--allow GRANT` gives one, `--allow-asked` all of them",
                told(&taken),
                if asked.is_empty() { "nothing".to_owned() } else { asked.join(", ") },
            ),
        ));
    }
    let grants = match arguments.allow_asked {
        true => taken.grants.clone(),
        false => arguments.allow.clone(),
    };
    let adopt = Adopt { chain: taken.chain, name: arguments.name.clone(), grants };
    let adopted = client.adopt(&adopt).await?;
    terminal::print_line(&adopted.pid.to_string())
}

fn told(agent: &Traveller) -> String {
    let Traveller { pid, name, program, rows, .. } = agent;
    format!("agent {pid} ({}, running {}, {rows} rows)", one_line(name), one_line(program))
}
