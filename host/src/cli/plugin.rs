//! `aos-host plugin`: the plugins that this machine has.

mod build;

use clap::Subcommand;

use super::exit::{Code, Failure};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Build a plugin that is too large to come with the program, and install it
    Build(build::BuildArgs),
}

/// Does what the command says.
pub async fn plugin(config: &Config, command: &PluginCommand) -> Result<Code, Failure> {
    match command {
        PluginCommand::Build(arguments) => build::build(config, arguments).await,
    }
}
