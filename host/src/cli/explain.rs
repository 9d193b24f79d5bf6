//! `aos-host explain`: why something was denied, and the one line that would allow it.

use clap::Args;

use super::audit::{chain_of, opened};
use super::exit::{Code, Failure};
use super::record::rows_of;
use super::run::Format;
use super::terminal::{self, shown};
use crate::config::Config;
use crate::config::policy::wanted_line;
use crate::journal::{RowKind, Verdict};
use crate::storage::{Hex, StoredRow};
use crate::types::{Denial, MissingIn};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A pid, an agent's name, the beginning of a run's id, or `last`
    #[arg(value_name = "PID|RUN", default_value = "last")]
    run: String,
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// Explains the last denial of a run.
pub async fn explain(config: &Config, arguments: &ExplainArgs) -> Result<Code, Failure> {
    let store = opened(&config.store).await?;
    let chain = chain_of(&*store, &arguments.run).await?;
    let rows = rows_of(&*store, chain.number).await?;
    let is_denied = |row: &&StoredRow| row.verdict == Verdict::Denied.word();
    let count = rows.iter().filter(is_denied).count();
    let Some(row) = rows.iter().rev().find(is_denied) else {
        return terminal::print_line("nothing was denied in this run");
    };
    let denial = denial_of(row)?;
    let wanted = wanted_line(&row.capability, &row.target);
    let by = call_of(&rows, row);
    let id: String = Hex(&chain.id).to_string().chars().take(12).collect();
    match arguments.output {
        Format::Json => terminal::print_line(
            &serde_json::json!({
                "run": id, "row": row.seq, "who": row.who, "call": by, "denial": denial,
                "allow": (denial.missing_in == MissingIn::Operator).then_some(wanted),
                "denials": count,
            })
            .to_string(),
        ),
        Format::Text => terminal::print_line(&shown(&text(&id, row, by, &denial, &wanted, count))),
    }
}

fn denial_of(row: &StoredRow) -> Result<Denial, Failure> {
    let wrong = || Failure::host(format!("row {} is no denial: `aos-host audit verify`", row.seq));
    let body: serde_json::Value = serde_json::from_str(&row.body).map_err(|_| wrong())?;
    let missing_in = serde_json::from_value(body["missing_in"].clone()).map_err(|_| wrong())?;
    Ok(Denial {
        capability: row.capability.clone(),
        target: row.target.clone(),
        missing_in,
        remedy: body["remedy"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The tool or command during whose call it was.
fn call_of<'a>(rows: &'a [StoredRow], denied: &StoredRow) -> Option<&'a str> {
    let accepted = |row: &&StoredRow| {
        row.kind == RowKind::Accepted.word() && !row.call.is_empty() && row.call == denied.call
    };
    rows.iter().find(accepted).map(|row| row.target.as_str())
}

fn text(
    run: &str,
    row: &StoredRow,
    by: Option<&str>,
    denial: &Denial,
    wanted: &str,
    count: usize,
) -> String {
    let during = by.map(|tool| format!(", during `{tool}`")).unwrap_or_default();
    let (why, line) = match denial.missing_in {
        MissingIn::Operator => (
            "The plugin may ask for it, and no grant of this run reaches it.",
            format!(
                "{} allows it in a run; in a policy, under [grants]: allow = [\"{wanted}\"]",
                denial.remedy
            ),
        ),
        MissingIn::Plugin => (
            "The plugin's own manifest does not ask for it, so no grant can reach it.",
            denial.remedy.clone(),
        ),
        MissingIn::Caller => (
            "Whoever called it does not hold it, and nobody passes on what they lack.",
            denial.remedy.clone(),
        ),
    };
    let more = match count {
        1 => String::new(),
        count => format!(
            "\n{} more in this run: `aos-host audit show {run} --denied`",
            count.saturating_sub(1)
        ),
    };
    format!(
        "run {run}, row {}: {} wanted {} {}{during}, and was denied.\n{why}\n{line}{more}",
        row.seq, row.who, denial.capability, denial.target
    )
}
