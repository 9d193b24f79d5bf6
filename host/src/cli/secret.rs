//! `aos-host secret`: values that guests use without seeing them.

use std::io::{IsTerminal, Read, Write};

use clap::{Args, Subcommand};
use ratatui::termion;
use ratatui::termion::input::TermRead;
use secrecy::SecretString;

use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal;
use crate::capability::secrets::{VALUE_BYTES_MAX, check_name};
use crate::config::Config;
use crate::config::secrets::{Kept, Vault};

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Keep a value, typed in unseen or from stdin, encrypted
    Set(SetArgs),
    /// List the names of secrets, without their values
    List {
        /// How they are written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Forget a value
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its name, as GITHUB_TOKEN
    name: String,
    /// Only there to be refused in words that do not repeat it.
    #[arg(hide = true, allow_hyphen_values = true)]
    value: Vec<std::ffi::OsString>,
}

/// Does what the words say.
pub fn secret(config: &Config, command: &SecretCommand) -> Result<Code, Failure> {
    let vault = Vault::of(config);
    match command {
        SecretCommand::Set(arguments) => set(&vault, arguments),
        SecretCommand::List { output } => list(&vault, *output),
        SecretCommand::Remove { name } => {
            vault.remove(name).map_err(Failure::usage)?;
            terminal::print_line(&format!("{name} is forgotten"))
        }
    }
}

fn set(vault: &Vault, SetArgs { name, value }: &SetArgs) -> Result<Code, Failure> {
    check_name(name).map_err(Failure::usage)?;
    if !value.is_empty() {
        return Err(Failure::usage(
            "a value is not given as an argument, where every process can see it: type it in, or \
             pipe it to stdin",
        ));
    }
    let value = match std::io::stdin().is_terminal() {
        true => typed(name)?,
        false => piped()?,
    };
    vault.set(name, &value).map_err(Failure::usage)?;
    terminal::print_line(&format!(
        "{name} is kept; `--secret '{name}@https://HOST'` lets a plugin use it there"
    ))
}

/// What is typed on the terminal, without showing it.
fn typed(name: &str) -> Result<SecretString, Failure> {
    let unusable = |error: std::io::Error| Failure::usage(format!("the terminal: {error}"));
    let mut screen = termion::get_tty().map_err(unusable)?;
    write!(screen, "Value of {name}: ").map_err(unusable)?;
    let read = std::io::stdin().lock().read_passwd(&mut screen).map_err(unusable);
    writeln!(screen).map_err(unusable)?;
    let text = read?.ok_or_else(|| Failure::usage("nothing was kept"))?;
    Ok(text.into())
}

/// All of stdin but the end of its last line.
fn piped() -> Result<SecretString, Failure> {
    let most = u64::try_from(VALUE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(3);
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("stdin: {error}")))?;
    // The error would hold the bytes.
    let mut text = String::from_utf8(bytes)
        .map_err(|_| Failure::usage("stdin is no text; a secret is text, as base64"))?;
    for end in ['\n', '\r'] {
        if text.ends_with(end) {
            text.pop();
        }
    }
    Ok(text.into())
}

fn list(vault: &Vault, output: Format) -> Result<Code, Failure> {
    let kept = vault.list().map_err(Failure::usage)?;
    match output {
        Format::Json => terminal::print_line(&serde_json::json!(kept).to_string()),
        Format::Text if kept.is_empty() => {
            terminal::print_line("no secrets; `aos-host secret set NAME` keeps one")
        }
        Format::Text => {
            let rows: Vec<String> = kept.iter().map(line).collect();
            terminal::print_line(&rows.join("\n"))
        }
    }
}

fn line(kept: &Kept) -> String {
    let when = kept.set_at_s.map_or_else(
        || format!("from the {}", kept.from),
        |set_at_s| {
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(set_at_s);
            format!("set {}", humantime::format_rfc3339_seconds(at))
        },
    );
    format!("{:<30} {when}", kept.name)
}
