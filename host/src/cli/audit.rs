//! `aos-host audit`: the journal, for people and for scripts.

mod anchor;
mod find;
mod show;
mod verify;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::json;

pub(super) use self::anchor::{Outside, keep_anchored, signed};
pub(super) use self::find::agents_chain;
pub(super) use self::find::chain_of;
use self::show::ShowArgs;
pub use self::show::{row_json, row_text};
use self::verify::VerifyArgs;
pub(super) use self::verify::{small_file, tell};
use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, visible};
use crate::config::Config;
use crate::journal::{ChainState, ChainSummary, Exported, SigningKey, export, list, write_heads};
use crate::storage::{Storage, StoreUrl};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List runs, newest first
    List {
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
        /// How they are written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Show the rows of one run or agent, beside each action the model's words that asked for it
    Show(Box<ShowArgs>),
    /// Check that no row was changed, removed, moved, doubled or added, and that calls have ends
    Verify(VerifyArgs),
    /// Print the head of every chain: keep it elsewhere, for `verify --head`
    Head {
        /// How it is written; `verify --head` reads text
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Sign how far the store has come: one line, to be kept elsewhere, for `verify --head`
    Anchor {
        /// A file to append it to, or `|COMMAND`, which gets it on its standard input; without
        /// this it is printed
        #[arg(long, value_name = "FILE|COMMAND")]
        to: Option<Outside>,
    },
    /// Print the public key that checks signed heads; the key is made when there is none
    Key,
    /// Prove that one run or agent is in a signed head, for somebody who sees no other
    Prove {
        /// A pid, an agent's name, the beginning of a run's id, or `last`
        #[arg(value_name = "PID|RUN")]
        run: String,
        /// A file of signed heads, of which the newest is taken; without it a new one is signed
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
    },
    /// Write the rows as JSON lines
    Export {
        /// Only this one: a pid, an agent's name, the beginning of a run's id, or `last`
        #[arg(value_name = "PID|RUN")]
        run: Option<String>,
        /// How they are written: one value a line
        #[arg(long, value_enum, default_value = "jsonl")]
        format: ExportFormat,
    },
}

/// How an export is written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum ExportFormat {
    /// One JSON value a line
    Jsonl,
}

pub async fn audit(config: &Config, command: AuditCommand) -> Result<Code, Failure> {
    match command {
        // Needs no store.
        AuditCommand::Verify(arguments) => verify::verify(config, &arguments).await,
        AuditCommand::Key => {
            let key = SigningKey::at(&config.anchor_key).map_err(Failure::host)?;
            terminal::print_line(&key.public().to_string())
        }
        AuditCommand::List { .. }
        | AuditCommand::Show(_)
        | AuditCommand::Head { .. }
        | AuditCommand::Anchor { .. }
        | AuditCommand::Prove { .. }
        | AuditCommand::Export { .. } => read(config, command).await,
    }
}

/// What needs a store that is there.
async fn read(config: &Config, command: AuditCommand) -> Result<Code, Failure> {
    let store = opened(&config.store).await?;
    match command {
        AuditCommand::List { limit, output } => {
            let mut runs = list(&*store, None, limit.saturating_add(1)).await?;
            let are_more = runs.len() > limit;
            // The newest come first.
            runs.truncate(limit);
            let code = terminal::print_line(&listed(&runs, output))?;
            if are_more && output == Format::Text {
                terminal::note(&format!("these are the newest {limit}; `--limit` shows more"));
            }
            Ok(code)
        }
        AuditCommand::Show(arguments) => show::show(&*store, &arguments).await,
        AuditCommand::Head { output } => {
            let mut heads = Vec::new();
            write_heads(&*store, &mut heads).await?;
            match output {
                Format::Text => terminal::print_bytes(&heads),
                Format::Json => terminal::print_line(&heads_json(&heads)),
            }
        }
        AuditCommand::Anchor { to } => anchor::on_demand(config, &*store, to.as_ref()).await,
        AuditCommand::Prove { run, head } => {
            anchor::prove(config, &*store, &run, head.as_ref()).await
        }
        AuditCommand::Export { run, format: ExportFormat::Jsonl } => {
            let what = match run {
                Some(run) => Exported::Chain(chain_of(&*store, &run).await?.number),
                None => Exported::All,
            };
            exported(&store, what).await
        }
        AuditCommand::Verify(_) | AuditCommand::Key => {
            Err(Failure::host("invariant: these were done before"))
        }
    }
}

/// Opens a store that is there: reading makes no file.
pub(super) async fn opened(store: &StoreUrl) -> Result<Arc<dyn Storage>, Failure> {
    if let StoreUrl::Sqlite(path) = store {
        let place = path.display();
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => {
                return Err(Failure::usage(format!(
                    "there is no journal at {place} yet; `aos-host run` writes one"
                )));
            }
            Err(error) => return Err(Failure::host(format!("the journal at {place}: {error}"))),
        }
    }
    store.open().await.map_err(Failure::host)
}

async fn exported(store: &Arc<dyn Storage>, what: Exported) -> Result<Code, Failure> {
    let mut stdout = BufWriter::new(std::io::stdout());
    let written = export(&**store, what, &mut stdout).await;
    match written {
        Ok(()) => {}
        Err(crate::journal::JournalError::Io(error))
            if error.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            return Ok(Code::Ok);
        }
        Err(error) => return Err(error.into()),
    }
    match stdout.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::host(format!("stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(Code::Ok),
    }
}

pub(super) fn time(micros: i64) -> String {
    let since = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

fn listed(runs: &[ChainSummary], format: Format) -> String {
    let state = |run: &ChainSummary| match &run.state {
        ChainState::Open => "open".to_owned(),
        ChainState::Closed(outcome) => outcome.clone(),
    };
    match format {
        Format::Json => {
            let runs = runs.iter().map(|run| {
                json!({
                    "number": run.number, "id": run.id, "opened": time(run.opened_us),
                    "last": time(run.last_us), "plugin": run.plugin, "rows": run.rows,
                    "calls": run.calls, "denials": run.denials, "state": state(run),
                    "usage": run.usage,
                })
            });
            serde_json::Value::Array(runs.collect()).to_string()
        }
        Format::Text => {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(["RUN", "STARTED", "PLUGIN", "CALLS", "DENIED", "ROWS", "ENDED"]);
            for run in runs {
                table.add_row([
                    run.id.chars().take(12).collect(),
                    time(run.opened_us),
                    visible(&run.plugin),
                    run.calls.to_string(),
                    run.denials.to_string(),
                    run.rows.to_string(),
                    visible(&state(run)),
                ]);
            }
            table.trim_fmt()
        }
    }
}

/// The lines of a head file as one JSON value: their words have no other form than there.
fn heads_json(heads: &[u8]) -> String {
    let text = String::from_utf8_lossy(heads);
    let mut lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let number = |word: Option<&&str>| word.and_then(|word| word.parse::<i64>().ok());
    let store = lines.next().unwrap_or_default();
    let chains = lines.map(|words| {
        json!({
            "number": number(words.first()), "id": words.get(1), "rows": number(words.get(2)),
            "hash": words.get(3),
        })
    });
    json!({
        "store": store.get(2), "chains": number(store.get(3)), "link": store.get(4),
        "heads": chains.collect::<Vec<_>>(),
    })
    .to_string()
}

/// A number and its noun.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
