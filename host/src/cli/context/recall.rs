//! `aos-host context recall`: what says most about a query, of an agent, of loaded pages, or of a
//! file that is kept nowhere.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::super::exit::{Code, Failure};
use super::super::terminal;
use super::lines::{self, Writer};
use super::{context_of, tell_damage};
use crate::config::Config;
use crate::kernel::contexts::{Line, Remembered};
use crate::pager::recall::{Document, Index};
use crate::pager::{Count, PageId, Tokenizer};

/// More hits a query are a listing, not a ranking.
const LIMIT_MAX: u64 = 10_000;

/// Which pages, which queries.
#[derive(Debug, Args)]
pub struct RecallArgs {
    /// The agent's pid or name, or the name of loaded pages
    #[arg(value_name = "PID", conflicts_with_all = ["pages", "agent"])]
    who: Option<String>,
    /// What to look for
    #[arg(value_name = "QUERY", conflicts_with = "queries")]
    query: Option<String>,
    /// Pages that fit so many tokens together
    #[arg(long, value_name = "TOKENS", default_value_t = 2_000, conflicts_with = "queries",
          value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: u64,
    /// Rank the pages of a file, in the order of the log, one a line:
    /// {"label","kind","text","speaker"?,"session"?,"said_at"?,"agent"?}
    #[arg(long, value_name = "FILE")]
    pages: Option<PathBuf>,
    /// Many queries, one a line: {"id","query","agent"?}
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// The agent or name whose pages are asked; with --pages, only the lines of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Pages a query, best first
    #[arg(long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=LIMIT_MAX))]
    limit: u64,
    /// How tokens of a file are counted: o200k, cl100k or chars4
    #[arg(long, value_name = "NAME", default_value = "chars4")]
    tokenizer: Tokenizer,
    /// The answer's form; of many queries {"id","pages":[{"label","tokens","score"}]} a line
    #[arg(long, short, value_enum)]
    output: Option<Form>,
}

/// Forms of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
    Jsonl,
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
    /// Label and tokens of each page, by its place.
    known: Vec<(String, u64)>,
    /// The place of each page, where numbers are not places.
    places: HashMap<PageId, usize>,
}

pub async fn recall(config: &Config, arguments: &RecallArgs) -> Result<Code, Failure> {
    let RecallArgs { who, query, pages, queries, agent, .. } = arguments;
    match (pages, queries, who.as_ref().or(agent.as_ref()), query) {
        (Some(pages), Some(queries), _, None) => of_file(arguments, pages, queries),
        (None, Some(queries), Some(who), None) => many(config, arguments, who, queries).await,
        (None, None, Some(who), Some(query)) => one(config, arguments, who, query).await,
        (None, None, Some(who), None) => {
            Err(Failure::usage(format!("say what to look for: context recall {who} \"QUERY\"")))
        }
        (Some(_), None, ..) => Err(Failure::usage("--pages needs --queries FILE")),
        (None, ..) => Err(Failure::usage(
            "say whose pages: `context recall PID \"QUERY\"`, or `--agent NAME --queries FILE`",
        )),
        (Some(_), Some(_), _, Some(_)) => {
            Err(Failure::usage("give a query or --queries, not both"))
        }
    }
}

/// One query for people, or as one JSON value.
async fn one(
    config: &Config,
    arguments: &RecallArgs,
    who: &str,
    query: &str,
) -> Result<Code, Failure> {
    let (store, record) = context_of(config, who).await?;
    let all = Remembered::read(&*store, record, true).await?;
    tell_damage(&all.damaged, all.damaged_count);
    let found = all.recall(&all.index(), query, arguments.max_tokens);
    let values = found.iter().map(|(at, score, text)| {
        let page = &all.pages[*at].page;
        serde_json::json!({
            "page": page.id, "label": page.label, "kind": page.kind, "tokens": page.tokens,
            "resident": page.resident, "score": score, "text": text,
        })
    });
    match arguments.output.unwrap_or(Form::Text) {
        Form::Json => terminal::print_line(&serde_json::Value::from_iter(values).to_string()),
        Form::Jsonl => {
            for value in values {
                terminal::print_line(&value.to_string())?;
            }
            Ok(Code::Ok)
        }
        Form::Text if found.is_empty() => {
            eprintln!("no page says anything about that");
            Ok(Code::Ok)
        }
        Form::Text => {
            for (at, score, text) in &found {
                let page = &all.pages[*at].page;
                let label = page.label.as_deref().map(|label| format!(" {label}"));
                let label = terminal::one_line(&label.unwrap_or_default());
                let (id, tokens) = (page.id, page.tokens);
                let place = if page.resident { "in the window" } else { "outside it" };
                let head = format!("page {id}{label}: {tokens} tokens, {place}, score {score:.2}");
                terminal::print_line(&head)?;
                for line in terminal::shown(text).lines() {
                    terminal::print_line(&format!("  {line}"))?;
                }
            }
            Ok(Code::Ok)
        }
    }
}

/// Only lines can be told apart by many answers.
fn lines_only(arguments: &RecallArgs) -> Result<(), Failure> {
    match arguments.output {
        None | Some(Form::Jsonl) => Ok(()),
        Some(Form::Text | Form::Json) => {
            Err(Failure::usage("many queries are answered as lines: --output jsonl"))
        }
    }
}

/// Many queries over the pages that the store has of somebody.
async fn many(
    config: &Config,
    arguments: &RecallArgs,
    who: &str,
    queries: &Path,
) -> Result<Code, Failure> {
    lines_only(arguments)?;
    let mut asked: Vec<QueryLine> = Vec::new();
    lines::read(queries, |line: QueryLine| {
        asked.push(line);
        Ok(())
    })?;
    let asked = own(asked, who, &queries.display().to_string())?;
    let (store, record) = context_of(config, who).await?;
    let all = Remembered::read(&*store, record, true).await?;
    tell_damage(&all.damaged, all.damaged_count);
    let pages = Pages::of(&all);
    let mut out = Writer::open(None)?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    for QueryLine { id, query, .. } in &asked {
        out.write(&Answer { id, pages: pages.find(query, limit) })?;
    }
    out.finish()
}

/// The queries of this name; of a file that names one agent at most, all.
fn own(all: Vec<QueryLine>, name: &str, file: &str) -> Result<Vec<QueryLine>, Failure> {
    let named: BTreeSet<&str> = all.iter().filter_map(|line| line.agent.as_deref()).collect();
    if named.len() <= 1 {
        return Ok(all);
    }
    if !named.contains(name) {
        let some: Vec<&str> = named.into_iter().take(8).collect();
        let some = some.join(", ");
        return Err(Failure::usage(format!("{file}: no query is of `{name}`; it has {some}, …")));
    }
    let of = |line: &QueryLine| line.agent.as_deref().is_none_or(|agent| agent == name);
    Ok(all.into_iter().filter(of).collect())
}

/// Many queries over a file of pages, which are kept nowhere.
fn of_file(arguments: &RecallArgs, pages: &Path, queries: &Path) -> Result<Code, Failure> {
    lines_only(arguments)?;
    let counter = arguments.tokenizer.counter();
    let mut agents: HashMap<String, Pages> = HashMap::new();
    lines::read(pages, |line: Line| {
        if let Some(agent) = asked(arguments, line.agent.as_deref()) {
            agents.entry(agent.to_owned()).or_default().add(line, &*counter);
        }
        Ok(())
    })?;
    let mut out = Writer::open(None)?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    lines::read(queries, |line: QueryLine| {
        let Some(agent) = asked(arguments, line.agent.as_deref()) else { return Ok(()) };
        let Some(known) = agents.get(agent) else {
            let file = pages.display();
            return Err(Failure::usage(format!("no page of {file} is of the agent `{agent}`")));
        };
        out.write(&Answer { id: &line.id, pages: known.find(&line.query, limit) })
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
    fn of(all: &Remembered) -> Self {
        let label = |id: PageId, label: Option<&str>| match label {
            Some(label) => label.to_owned(),
            None => id.to_string(),
        };
        let known = all.pages.iter().map(|kept| {
            let page = &kept.page;
            (label(page.id, page.label.as_deref()), page.tokens)
        });
        let places = all.pages.iter().enumerate().map(|(at, kept)| (kept.page.id, at));
        Self { index: all.index(), known: known.collect(), places: places.collect() }
    }

    fn add(&mut self, line: Line, counter: &dyn Count) {
        let tokens = line.tokens(counter);
        let (at, id) = (self.known.len(), PageId(self.known.len() as u64));
        self.index.add(Document {
            id,
            text: &line.text,
            speaker: line.speaker.as_deref(),
            session: line.session,
            said_at: line.said_at.as_deref(),
        });
        self.known.push((line.label, tokens));
        self.places.insert(id, at);
    }

    fn find(&self, query: &str, limit: usize) -> Vec<Found<'_>> {
        let hits = self.index.rank(query, limit);
        let found = hits.into_iter().filter_map(|hit| {
            let (label, tokens) = self.known.get(*self.places.get(&hit.id)?)?;
            Some(Found { label, tokens: *tokens, score: hit.score })
        });
        found.collect()
    }
}
