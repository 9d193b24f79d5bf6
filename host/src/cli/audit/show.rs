//! `aos-host audit show`: the rows of one chain, those that are asked for.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::find::chain_of;
use super::time;
use crate::api::words::RowView;
use crate::capability::grant::Capability;
use crate::cli::exit::{Code, Failure};
use crate::cli::run::Format;
use crate::cli::terminal::{self, visible};
use crate::journal::{RowKind, Verdict, chain_rows};
use crate::storage::{RowRange, Storage, StoredRow};

/// How often a chain is looked at for new rows.
const LOOK: Duration = Duration::from_millis(200);
/// Calls of a tool that are followed at once.
const CALLS_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A pid, an agent's name, the beginning of a run's id, or `last`
    #[arg(value_name = "PID|RUN", default_value = "last")]
    run: String,
    /// Only these: `tool`, `model`, `read`, `net` and the other capabilities, `agent`, `grant`
    /// (what was granted and every verdict), or a kind of row: `opened`, `accepted`, `verdict`,
    /// `outcome`, `fault`, `closed`
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kind: Vec<String>,
    /// Only calls of this tool, with what they did
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only these verdicts
    #[arg(long, value_name = "VERDICT", value_parser = ["allowed", "denied"])]
    verdict: Option<String>,
    /// Only what was denied: as `--verdict denied`
    #[arg(long, conflicts_with = "verdict")]
    denied: bool,
    /// Only rows from then on: `2026-11-23T10:00:00Z`, or how long ago, `10m`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only rows before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Go on until the chain is closed
    #[arg(long, short)]
    follow: bool,
    /// How they are written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// A word after `--kind`.
fn kind(word: &str) -> Result<String, String> {
    let mut words = vec!["agent", "grant"];
    words.extend(Capability::ALL.iter().map(|capability| capability.name()));
    words.extend(RowKind::ALL.iter().map(|kind| kind.word()));
    match words.contains(&word) {
        true => Ok(word.to_owned()),
        false => Err(format!("there are {}", words.join(", "))),
    }
}

/// A time, or how long ago it was, in microseconds since the Unix epoch.
fn moment(text: &str) -> Result<i64, String> {
    let at = match humantime::parse_rfc3339_weak(text) {
        Ok(at) => at,
        Err(_) => {
            let ago = humantime::parse_duration(text);
            let ago = ago.map_err(|_| "a time is `2026-11-23T10:00:00Z` or `10m` (ago)")?;
            SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)
        }
    };
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).map_err(|_| "it is too far away".to_owned())
}

/// Which rows are wanted.
#[derive(Default)]
struct Wanted<'a> {
    kinds: &'a [String],
    tool: Option<&'a str>,
    verdict: Option<&'a str>,
    since: Option<i64>,
    until: Option<i64>,
    /// Calls of the tool that are under way.
    calls: HashSet<Vec<u8>>,
}

impl<'a> Wanted<'a> {
    fn of(arguments: &'a ShowArgs) -> Self {
        let denied = arguments.denied.then_some(Verdict::Denied.word());
        Self {
            kinds: &arguments.kind,
            tool: arguments.tool.as_deref(),
            verdict: arguments.verdict.as_deref().or(denied),
            since: arguments.since,
            until: arguments.until,
            calls: HashSet::new(),
        }
    }

    /// Rows are to be asked about in order.
    fn has(&mut self, row: &StoredRow) -> bool {
        let of_tool = self.is_of_tool(row);
        let is = |word: &String| {
            let grant = word == "grant"
                && (row.kind == RowKind::Verdict.word() || row.kind == RowKind::Opened.word());
            grant || *word == row.kind || *word == row.capability
        };
        of_tool
            && (self.kinds.is_empty() || self.kinds.iter().any(is))
            && self.verdict.is_none_or(|verdict| verdict == row.verdict)
            && self.since.is_none_or(|since| row.time_us >= since)
            && self.until.is_none_or(|until| row.time_us < until)
    }

    /// Whether it is about a call of the tool: the verdict by name, the call, what it did.
    fn is_of_tool(&mut self, row: &StoredRow) -> bool {
        let Some(tool) = self.tool else { return true };
        let names = |target: &str| {
            let rest = target.strip_suffix(tool);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with("__") || rest.ends_with('.'))
        };
        let is_call = row.capability == "tool";
        if is_call && row.kind == RowKind::Accepted.word() && names(&row.target) {
            if self.calls.len() < CALLS_MAX {
                self.calls.insert(row.call.clone());
            }
            return true;
        }
        if is_call && row.kind == RowKind::Verdict.word() {
            return names(&row.target);
        }
        let ended = is_call && row.kind != RowKind::Accepted.word();
        match ended {
            true => self.calls.remove(&row.call) || names(&row.target),
            false => !row.call.is_empty() && self.calls.contains(&row.call),
        }
    }
}

/// Prints the rows that are wanted.
pub(super) async fn show(store: &dyn Storage, arguments: &ShowArgs) -> Result<Code, Failure> {
    let chain = chain_of(store, &arguments.run).await?.number;
    let mut wanted = Wanted::of(arguments);
    let (mut from, mut closed) = (0, false);
    loop {
        let rows = chain_rows(store, chain, from).await?;
        for row in &rows {
            from = row.seq + 1;
            closed |= row.kind == RowKind::Closed.word();
            if wanted.has(row) {
                let reason = reason(store, row).await?;
                terminal::print_line(&match arguments.output {
                    Format::Text => with_reason(row_text(&row.into()), reason.as_ref()),
                    Format::Json => json_with_reason(&row.into(), reason.as_ref()),
                })?;
            }
        }
        match rows.is_empty() {
            false => {}
            true if closed || !arguments.follow => return Ok(Code::Ok),
            true => tokio::time::sleep(LOOK).await,
        }
    }
}

/// The model's words that asked for a call.
struct Reason {
    seq: i64,
    said: String,
}

/// The row that an accepted call names as its reason.
async fn reason(store: &dyn Storage, row: &StoredRow) -> Result<Option<Reason>, Failure> {
    if row.kind != RowKind::Accepted.word() || row.capability != "tool" {
        return Ok(None);
    }
    let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
    let Some(seq) = body["asked_by"].as_i64().filter(|seq| *seq < row.seq) else { return Ok(None) };
    let range = RowRange { from: (row.chain, seq), until_chain: row.chain };
    let reply = store.rows(range, 1).await.map_err(Failure::host)?.pop();
    let Some(reply) = reply.filter(|reply| reply.seq == seq) else { return Ok(None) };
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let said = body["said"].as_str().unwrap_or_default().to_owned();
    Ok(Some(Reason { seq, said }))
}

fn with_reason(row: String, reason: Option<&Reason>) -> String {
    match reason {
        None => row,
        Some(Reason { seq, said }) if said.is_empty() => {
            format!("{row}\n     asked for by the model in row {seq}")
        }
        Some(Reason { seq, said }) => {
            format!("{row}\n     asked for by the model in row {seq}: {}", visible(said))
        }
    }
}

fn json_with_reason(row: &RowView, reason: Option<&Reason>) -> String {
    let Some(Reason { seq, said }) = reason else { return row_json(row) };
    let mut value: serde_json::Value = serde_json::from_str(&row_json(row)).unwrap_or_default();
    value["reason"] = json!({ "row": seq, "said": said });
    value.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, capability: &str, target: &str, call: u8) -> StoredRow {
        StoredRow {
            chain: 1,
            seq: 0,
            time_us: 5,
            kind: kind.into(),
            who: String::new(),
            call: vec![call; 16],
            component: Vec::new(),
            capability: capability.into(),
            target: target.into(),
            verdict: String::new(),
            body: String::new(),
            hash: Vec::new(),
        }
    }

    #[test]
    fn a_tool_is_shown_with_what_its_calls_did_and_nothing_else() {
        let mut wanted = Wanted { tool: Some("read_file"), ..Wanted::default() };
        let rows = [
            (row("verdict", "tool", "files__read_file", 9), true),
            (row("accepted", "tool", "read_file", 1), true),
            (row("accepted", "tool", "calculate", 2), false),
            (row("verdict", "read", "/a", 1), true),
            (row("verdict", "read", "/b", 2), false),
            (row("outcome", "tool", "read_file", 1), true),
            (row("outcome", "read", "/late", 1), false),
            (row("accepted", "tool", "unread_file", 3), false),
        ];
        for (row, expected) in rows {
            assert_eq!(wanted.has(&row), expected, "{row:?}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(1_000_000));
        let ago = moment("10m").expect("ten minutes");
        assert!(ago < moment("1s").expect("a second"));
        assert!(moment("yesterday").expect_err("none").contains("10m"));
        assert!(kind("took").expect_err("none").contains("tool"));
    }
}
