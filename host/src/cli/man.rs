//! `aos-host man`: the manual pages, one a command.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Code, Failure};
use super::terminal;
use crate::sandbox::plain::nearest;

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command: `run`, or `audit verify`; without it, the program as a whole
    command: Vec<String>,
    /// Write the pages of all commands into a folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub fn man(program: clap::Command, arguments: &ManArgs) -> Result<Code, Failure> {
    if let Some(folder) = &arguments.dir {
        let fail = |error| Failure::host(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(fail)?;
        return match clap_mangen::generate_to(program, folder) {
            Ok(()) => Ok(Code::Ok),
            Err(error) => Err(fail(error)),
        };
    }
    let mut command = program;
    // Gives the commands below it their whole names, and the options that all share.
    command.build();
    for word in &arguments.command {
        let Some(found) = command.find_subcommand(word) else {
            return Err(unknown(&command, word));
        };
        command = found.clone();
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Failure::host)?;
    terminal::print_bytes(&page)
}

fn unknown(command: &clap::Command, word: &str) -> Failure {
    let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match (nearest(word, names.iter().copied()), names.is_empty()) {
        (Some(near), _) => format!("; did you mean `{near}`?"),
        (None, false) => format!("; there are {}", names.join(", ")),
        (None, true) => String::new(),
    };
    Failure::usage(format!("`{}` has no command `{word}`{hint}", command.get_name()))
}
