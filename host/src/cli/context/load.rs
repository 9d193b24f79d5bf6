//! `aos-host context load`: pages from a file under a name.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use super::super::exit::{Code, Failure};
use super::super::run::Format;
use super::super::terminal;
use super::lines;
use crate::config::Config;
use crate::kernel::contexts::{self, Line};
use crate::pager::Tokenizer;
use crate::storage::StoreUrl;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 200;
/// Pages of one file; a larger one is loaded in parts.
const PAGES_MAX: usize = 2_000_000;

/// Whose pages, from which file.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The name that they are recalled by
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// Pages in the order of the log, one a line:
    /// {"label","kind","text","speaker"?,"session"?,"said_at"?,"agent"?}
    file: PathBuf,
    /// How tokens are counted: o200k, cl100k or chars4
    #[arg(long, value_name = "NAME", default_value = "o200k")]
    tokenizer: Tokenizer,
    /// How the answer is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub async fn load(config: &Config, arguments: &LoadArgs) -> Result<Code, Failure> {
    let name = &arguments.agent;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
        return Err(Failure::usage("--agent: a name has 1 to 200 bytes and no control characters"));
    }
    if config.store == StoreUrl::Memory {
        return Err(Failure::usage(
            "`--store memory:` keeps nothing: name a store with `--store sqlite:PATH`",
        ));
    }
    // All of the file is read before anything is written.
    let mut all: Vec<Line> = Vec::new();
    lines::read(&arguments.file, |line: Line| {
        if all.len() >= PAGES_MAX {
            return Err(Failure::usage(format!("a file has at most {PAGES_MAX} pages")));
        }
        all.push(line);
        Ok(())
    })?;
    let lines = own(all, name, &arguments.file.display().to_string())?;
    let store = config.store.open().await.map_err(Failure::host)?;
    let loaded = contexts::load(&*store, name, arguments.tokenizer, lines).await?;
    terminal::print_line(&match arguments.output {
        Format::Json => serde_json::json!(loaded).to_string(),
        Format::Text => format!(
            "{} pages loaded, {} were there; `{}` has {} pages of {} tokens",
            loaded.pages,
            loaded.known,
            terminal::one_line(name),
            loaded.total,
            loaded.tokens
        ),
    })
}

/// Those that are of this name. A file that names one agent at most is all of it; in a file of
/// several the lines of the others are passed over.
fn own(all: Vec<Line>, name: &str, file: &str) -> Result<Vec<Line>, Failure> {
    let named: BTreeSet<&str> = all.iter().filter_map(|line| line.agent.as_deref()).collect();
    if named.len() <= 1 {
        if all.is_empty() {
            return Err(Failure::usage(format!("{file}: there is no page in it")));
        }
        return Ok(all);
    }
    if !named.contains(name) {
        let some: Vec<&str> = named.into_iter().take(8).collect();
        let some = some.join(", ");
        return Err(Failure::usage(format!("{file}: no page is of `{name}`; it has {some}, …")));
    }
    let of = |line: &Line| line.agent.as_deref().is_none_or(|agent| agent == name);
    Ok(all.into_iter().filter(of).collect())
}
