//! `aos-host audit`: the journal, for people and for scripts.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::json;

use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, visible};
use crate::api::words::RowView;
use crate::config::Config;
use crate::journal::{
    ChainState, ChainSummary, Exported, Report, chain_rows, export, find_chain, list, verify,
    verify_against, verify_export, write_heads,
};
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
    /// Show the rows of one run
    Show {
        /// The beginning of its id, or `last`
        #[arg(default_value = "last")]
        run: String,
        /// Only what was denied
        #[arg(long)]
        denied: bool,
        /// How they are written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Check that no row was changed, removed, moved, doubled or added
    Verify {
        /// Heads written by `audit head` and kept elsewhere: with them a cut-off end is found too
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// Check an export instead of the store
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// How it is written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Print the head of every chain: keep it elsewhere, for `verify --head`
    Head {
        /// How it is written; `verify --head` reads text
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Write the rows as JSON lines
    Export {
        /// Only this run: the beginning of its id, or `last`
        run: Option<String>,
    },
}

pub async fn audit(config: &Config, command: AuditCommand) -> Result<Code, Failure> {
    if let AuditCommand::Verify { export: Some(path), head, output } = &command {
        let head = head.as_ref().map(open).transpose()?;
        return tell(&verify_export(open(path)?, head)?, *output);
    }
    let store = opened(&config.store).await?;
    match command {
        AuditCommand::List { limit, output } => {
            let runs = list(&*store, None, limit).await?;
            terminal::print_line(&listed(&runs, output))
        }
        AuditCommand::Show { run, denied, output } => {
            let chain = number_of(&store, &run).await?;
            show(&store, chain, denied, output).await
        }
        AuditCommand::Verify { head: Some(path), output, .. } => {
            tell(&verify_against(&*store, open(&path)?).await?, output)
        }
        AuditCommand::Verify { output, .. } => tell(&verify(&*store).await?, output),
        AuditCommand::Head { output } => {
            let mut heads = Vec::new();
            write_heads(&*store, &mut heads).await?;
            match output {
                Format::Text => terminal::print_bytes(&heads),
                Format::Json => terminal::print_line(&heads_json(&heads)),
            }
        }
        AuditCommand::Export { run } => {
            let what = match run {
                Some(run) => Exported::Chain(number_of(&store, &run).await?),
                None => Exported::All,
            };
            exported(&store, what).await
        }
    }
}

/// Opens a store that is there: reading makes no file.
pub(super) async fn opened(store: &StoreUrl) -> Result<Arc<dyn Storage>, Failure> {
    if let StoreUrl::Sqlite(path) = store
        && !path.exists()
    {
        return Err(Failure::usage(format!(
            "there is no journal at {} yet; `aos-host run` writes one",
            path.display()
        )));
    }
    store.open().await.map_err(Failure::host)
}

fn open(path: &PathBuf) -> Result<BufReader<File>, Failure> {
    let file =
        File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

/// The number of the chain that a user names.
async fn number_of(store: &Arc<dyn Storage>, run: &str) -> Result<i64, Failure> {
    if run != "last" {
        return Ok(find_chain(&**store, run).await?.number);
    }
    let newest = list(&**store, None, 1).await?;
    let newest = newest.first().ok_or_else(|| Failure::usage("nothing was run yet"))?;
    Ok(newest.number)
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

async fn show(
    store: &Arc<dyn Storage>,
    chain: i64,
    denied: bool,
    format: Format,
) -> Result<Code, Failure> {
    let mut from = 0;
    loop {
        let rows = chain_rows(&**store, chain, from).await?;
        let Some(last) = rows.last() else { return Ok(Code::Ok) };
        from = last.seq + 1;
        for row in rows.iter().filter(|row| !denied || row.verdict == "denied") {
            terminal::print_line(&match format {
                Format::Text => row_text(&row.into()),
                Format::Json => row_json(&row.into()),
            })?;
        }
    }
}

/// One line for people.
pub fn row_text(row: &RowView) -> String {
    let mut text = format!("{:>4} {} {:<8}", row.seq, time(row.time_us), row.kind);
    for part in [&row.verdict, &row.capability, &row.target] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(part);
        }
    }
    if row.kind == "opened" {
        text.push_str(&format!(" {}", row.who));
    }
    if !row.body.is_empty() {
        text.push_str(&format!(" {}", row.body));
    }
    visible(&text)
}

/// One line of JSON.
pub fn row_json(row: &RowView) -> String {
    let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
    json!({
        "seq": row.seq, "time": time(row.time_us), "kind": row.kind, "who": row.who,
        "call": row.call, "component": row.component,
        "capability": row.capability, "target": row.target, "verdict": row.verdict,
        "body": body, "hash": row.hash,
    })
    .to_string()
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

/// Says what a verification found; anything found is a failure of the host's own record.
pub(super) fn tell(report: &Report, format: Format) -> Result<Code, Failure> {
    if format == Format::Json {
        let problems = report.problems.iter().map(|problem| {
            json!({
                "chain": problem.chain, "id": problem.id, "row": problem.seq,
                "what": problem.what,
            })
        });
        let found = json!({
            "ok": report.is_clean(), "rows": report.rows, "chains": report.chains,
            "open": report.open, "problems": problems.collect::<Vec<_>>(),
            "problems_total": report.problems_total,
        });
        terminal::print_line(&found.to_string())?;
        return match report.is_clean() {
            true => Ok(Code::Ok),
            false => Err(Failure::silent(Code::Host)),
        };
    }
    let rows = count(report.rows, "row");
    if report.is_clean() {
        let mut text = format!("ok: {rows} in {}", count(report.chains, "chain"));
        if report.open > 0 {
            text.push_str(&format!(
                "; {} without an end: running, ended by a crash, or cut (only a kept head tells)",
                report.open
            ));
        }
        return terminal::print_line(&text);
    }
    for problem in &report.problems {
        terminal::print_line(&visible(&problem.to_string()))?;
    }
    let problems = count(report.problems_total, "problem");
    Err(Failure::host(format!("the journal was changed: {problems} in {rows}")))
}
