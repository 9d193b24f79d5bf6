//! `aos-host context recall`: the ranking over a file of pages.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::exit::{Code, Failure};
use super::lines::{self, Writer};
use crate::pager::recall::{Document, Index};
use crate::pager::{Count, PageId, Tokenizer};

/// More hits a query are a listing, not a ranking.
const LIMIT_MAX: u64 = 10_000;

/// Which pages, which queries.
#[derive(Debug, Args)]
pub struct RecallArgs {
    /// Pages in the order of the log, one a line:
    /// {"label","kind","text","speaker"?,"session"?,"said_at"?,"agent"?}
    #[arg(long, value_name = "FILE")]
    pages: PathBuf,
    /// Queries, one a line: {"id","query","agent"?}
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Only the lines of this agent; without it each query is asked of its own agent's pages
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Pages a query, best first
    #[arg(long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
    /// How tokens are counted: o200k, cl100k or chars4
    #[arg(long, value_name = "NAME", default_value = "chars4")]
    tokenizer: Tokenizer,
    /// The answer's form: {"id","pages":[{"label","tokens","score"}]} a line
    #[arg(long, value_enum, default_value_t = Form::Jsonl)]
    output: Form,
}

/// Forms of the answer.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Jsonl,
}

#[derive(serde::Deserialize)]
struct PageLine {
    label: String,
    text: String,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    speaker: Option<String>,
    #[serde(default)]
    session: Option<u64>,
    #[serde(default)]
    said_at: Option<String>,
}

#[derive(serde::Deserialize)]
struct QueryLine {
    id: String,
    query: String,
    #[serde(default)]
    agent: Option<String>,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    id: &'a str,
    pages: Vec<Found<'a>>,
}

#[derive(serde::Serialize)]
struct Found<'a> {
    label: &'a str,
    tokens: u64,
    score: f32,
}

/// An agent's pages.
#[derive(Default)]
struct Pages {
    index: Index,
    /// Label and tokens of each page, by its number.
    known: Vec<(String, u64)>,
}

pub fn recall(arguments: &RecallArgs) -> Result<Code, Failure> {
    let Form::Jsonl = arguments.output;
    let counter = arguments.tokenizer.counter();
    let mut agents: HashMap<String, Pages> = HashMap::new();
    lines::read(&arguments.pages, |line: PageLine| {
        if let Some(agent) = asked(arguments, line.agent.as_deref()) {
            agents.entry(agent.to_owned()).or_default().add(line, &*counter);
        }
        Ok(())
    })?;
    let mut out = Writer::open(None)?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    lines::read(&arguments.queries, |line: QueryLine| {
        let Some(agent) = asked(arguments, line.agent.as_deref()) else { return Ok(()) };
        let Some(pages) = agents.get(agent) else {
            return Err(Failure::usage(format!(
                "no page of {} is of the agent `{agent}`",
                arguments.pages.display()
            )));
        };
        out.write(&Answer { id: &line.id, pages: pages.find(&line.query, limit) })
    })?;
    out.finish()
}

/// Whose a line is, where it is asked for. A line that names no agent is of the one asked for.
fn asked<'a>(arguments: &'a RecallArgs, line: Option<&'a str>) -> Option<&'a str> {
    match (arguments.agent.as_deref(), line) {
        (Some(asked), Some(agent)) => (asked == agent).then_some(agent),
        (Some(asked), None) => Some(asked),
        (None, agent) => Some(agent.unwrap_or("")),
    }
}

impl Pages {
    fn add(&mut self, line: PageLine, counter: &dyn Count) {
        // A page's text is `speaker: text`.
        let tokens = match &line.speaker {
            Some(speaker) => counter.tokens(&format!("{speaker}: {}", line.text)),
            None => counter.tokens(&line.text),
        };
        self.index.add(Document {
            id: PageId(self.known.len() as u64),
            text: &line.text,
            speaker: line.speaker.as_deref(),
            session: line.session,
            said_at: line.said_at.as_deref(),
        });
        self.known.push((line.label, tokens));
    }

    fn find(&self, query: &str, limit: usize) -> Vec<Found<'_>> {
        let hits = self.index.rank(query, limit);
        let found = hits.into_iter().filter_map(|hit| {
            let (label, tokens) = self.known.get(usize::try_from(hit.id.0).ok()?)?;
            Some(Found { label, tokens: *tokens, score: hit.score })
        });
        found.collect()
    }
}
