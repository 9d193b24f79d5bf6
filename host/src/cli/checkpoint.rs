//! `aos-host checkpoint`: named points of an agent's life.

use std::sync::Arc;

use clap::Subcommand;

use super::audit::opened;
use super::exit::{Code, Failure};
use super::run::Format;
use super::serve::client;
use super::terminal::{self, visible};
use crate::config::Config;
use crate::kernel::agents::{OperateError, checkpoints};
use crate::types::Pid;

#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Name the point at which an agent stands, and print its id
    Create {
        /// Its pid, or a name that it alone has
        #[arg(value_name = "PID")]
        who: String,
        /// What people call the point
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List an agent's checkpoints, oldest first; needs no running host
    List {
        /// Its number
        pid: u64,
        /// How they are written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Put a living agent back to a checkpoint of its own: its mail, what it used, and what it did
    /// outside stay as they are
    Restore {
        /// The checkpoint, as 7.132
        id: String,
    },
    /// Start a new agent that goes on from a checkpoint, and print its pid
    Fork {
        /// The checkpoint, as 7.132
        id: String,
        /// What people call the new agent
        #[arg(long)]
        name: Option<String>,
    },
}

impl From<OperateError> for Failure {
    fn from(error: OperateError) -> Self {
        Self::new(Code::Usage, error)
    }
}

/// Does what was asked.
pub async fn checkpoint(config: &Config, command: &CheckpointCommand) -> Result<Code, Failure> {
    match command {
        CheckpointCommand::Create { who, label } => {
            let named = client(config)?.checkpoint(who, label).await?;
            terminal::print_line(&named.id)
        }
        CheckpointCommand::List { pid, output } => list(config, Pid(*pid), *output).await,
        CheckpointCommand::Restore { id } => {
            let pid = client(config)?.restore(id).await?;
            terminal::print_line(&format!("agent {pid} stands at {id} again"))
        }
        CheckpointCommand::Fork { id, name } => {
            let forked = client(config)?.fork(id, name.clone()).await?;
            terminal::print_line(&forked.pid.to_string())
        }
    }
}

async fn list(config: &Config, pid: Pid, output: Format) -> Result<Code, Failure> {
    let store = opened(&config.store).await?;
    for point in checkpoints(&Arc::clone(&store), pid).await? {
        let time = super::audit::time(point.time_us);
        terminal::print_line(&match output {
            Format::Json => serde_json::json!({
                "id": point.id, "label": point.label, "time": time, "state": point.with_state,
            })
            .to_string(),
            Format::Text => {
                let state = if point.with_state { " (with its state)" } else { "" };
                format!("{:<12} {time}  {}{state}", point.id, visible(&point.label))
            }
        })?;
    }
    Ok(Code::Ok)
}
