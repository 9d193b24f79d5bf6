//! `aos-host policy`: what a policy file allows, what a level means, how two differ.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::exit::{Code, Failure};
use super::terminal;
use crate::config::policy::{Level, Policy, describe, differences, preset};
use crate::config::{Config, plugins};
use crate::sandbox::manifest::Manifest;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Spell a permission level out, as a policy file
    Show {
        /// restricted, standard, elevated or admin
        #[arg(value_parser = level)]
        level: Level,
    },
    /// Say in words what a file allows, or what is wrong with it
    Check {
        /// A policy file
        file: PathBuf,
    },
    /// Say what NEW allows otherwise than OLD; the code is 3 where it is more
    Diff {
        /// A policy file, or a plugin
        old: String,
        /// A policy file, or another version of that plugin
        new: String,
    },
}

fn level(text: &str) -> Result<Level, String> {
    let names = Level::ALL.map(Level::name).join(", ");
    let found = Level::ALL.into_iter().find(|level| level.name() == text);
    found.ok_or_else(|| format!("there are {names}"))
}

/// Does what the words say.
pub fn policy(config: &Config, command: &PolicyCommand) -> Result<Code, Failure> {
    match command {
        PolicyCommand::Show { level } => terminal::print_line(&preset(*level)),
        PolicyCommand::Check { file } => {
            let policy = Policy::load(file).map_err(Failure::usage)?;
            terminal::print_line(&terminal::shown(&describe(&policy)))
        }
        PolicyCommand::Diff { old, new } => {
            let (lines, more) = match old.ends_with(".toml") && new.ends_with(".toml") {
                true => {
                    let read = |file: &str| Policy::load(Path::new(file)).map_err(Failure::usage);
                    differences(&read(old)?, &read(new)?).map_err(Failure::usage)?
                }
                false => of_plugins(&asks(config, old)?, &asks(config, new)?),
            };
            let text = match lines.is_empty() {
                true => "they allow the same".to_owned(),
                false => lines.join("\n"),
            };
            terminal::print_line(&terminal::shown(&text))?;
            // More is what somebody has to agree to.
            Ok(if more { Code::Denied } else { Code::Ok })
        }
    }
}

/// What a plugin asks for; none when it has no manifest, and asks for everything.
fn asks(config: &Config, wanted: &str) -> Result<Option<Vec<String>>, Failure> {
    let found = plugins::find(wanted, &config.plugin_path)?;
    let wrong = |what: String| Failure::new(Code::Plugin, format!("{}: {what}", found.origin));
    let bytes = wat::parse_bytes(&found.bytes).map_err(|error| wrong(error.to_string()))?;
    let manifest = Manifest::of(&bytes).map_err(wrong)?;
    Ok(manifest.map(|manifest| manifest.grants.into_iter().map(|line| line.ask).collect()))
}

fn of_plugins(old: &Option<Vec<String>>, new: &Option<Vec<String>>) -> (Vec<String>, bool) {
    let texts = |asks: &Option<Vec<String>>| -> Vec<String> {
        let everything = || vec!["everything: it has no manifest".to_owned()];
        asks.clone().unwrap_or_else(everything)
    };
    let (before, after) = (texts(old), texts(new));
    let only = |a: &[String], b: &[String], sign: char| -> Vec<String> {
        let more = a.iter().filter(|text| !b.contains(text));
        more.map(|text| format!("{sign} asks for {text}")).collect()
    };
    let added = only(&after, &before, '+');
    let more = !added.is_empty() && old.is_some();
    (added.into_iter().chain(only(&before, &after, '-')).collect(), more)
}
