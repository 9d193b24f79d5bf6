//! `aos-host context`: measures the pager offline. `recall` ranks pages from a file, `simulate`
//! renders what would have been sent for a recorded log.

mod lines;
mod recall;
mod simulate;

use clap::Subcommand;

use super::exit::{Code, Failure};

#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Rank pages from a file by what they say about each query
    Recall(recall::RecallArgs),
    /// Render what the pager would have sent for a recorded log
    Simulate(simulate::SimulateArgs),
}

pub fn context(command: &ContextCommand) -> Result<Code, Failure> {
    match command {
        ContextCommand::Recall(arguments) => recall::recall(arguments),
        ContextCommand::Simulate(arguments) => simulate::simulate(arguments),
    }
}
