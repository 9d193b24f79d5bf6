//! `aos-host storage`: documents of agents, put in and found again by words or vectors.

use std::io::{BufRead, Read};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::audit::{count, opened};
use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, one_line};
use crate::config::Config;
use crate::storage::documents::{HITS_MAX, PUT_MAX};
use crate::storage::{Document, Hit, Scope, Space};

#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Put documents in: JSON lines with `id`, `text` and, with --model, `vector`
    Put(PutArgs),
    /// Find an agent's documents by their words or by a vector
    Search(SearchArgs),
    /// Remove documents by their names
    Remove {
        /// Whose they are
        agent: String,
        /// Their names
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// The space of vectors.
#[derive(Debug, Args)]
struct SpaceArgs {
    /// The model that made the vectors, as provider/model: vectors of two models are not compared
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The version of the model
    #[arg(long, value_name = "VERSION", default_value = "", requires = "model")]
    model_version: String,
}

#[derive(Debug, Args)]
pub struct PutArgs {
    /// Whose they are: any name
    agent: String,
    /// The file, or `-` for stdin
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    space: SpaceArgs,
}

#[derive(Debug, Args)]
#[group(id = "question", required = true, multiple = false, args = ["text", "vector"])]
pub struct SearchArgs {
    /// Whose documents
    #[arg(required_unless_present = "all_agents")]
    agent: Option<String>,
    /// Those of all agents
    #[arg(long, conflicts_with = "agent")]
    all_agents: bool,
    /// Words; any of them is enough
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// A vector: JSON numbers, or @FILE; with --model
    #[arg(long, value_name = "JSON|@FILE", requires = "model")]
    vector: Option<String>,
    #[command(flatten)]
    space: SpaceArgs,
    /// How many documents
    #[arg(long, short = 'n', default_value_t = 10)]
    limit: usize,
    /// How they are written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// One line of what is put in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    text: String,
    vector: Option<Vec<f32>>,
}

/// The longest line, in bytes: a text with every byte escaped, and a vector.
const LINE_BYTES_MAX: u64 = 4 << 20;

pub async fn storage(config: &Config, command: StorageCommand) -> Result<Code, Failure> {
    match command {
        StorageCommand::Put(arguments) => put(config, &arguments).await,
        StorageCommand::Search(arguments) => search(config, &arguments).await,
        StorageCommand::Remove { agent, ids } => {
            let store = opened(&config.store).await?;
            let removed = store.documents().remove_documents(&agent, &ids).await;
            let removed = removed.map_err(Failure::host)?;
            terminal::print_line(&format!("removed: {}", count(removed, "document")))
        }
    }
}

async fn put(config: &Config, arguments: &PutArgs) -> Result<Code, Failure> {
    let name = &arguments.file;
    let mut input: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(std::io::stdin().lock()),
        path => {
            let file = std::fs::File::open(path);
            let file = file.map_err(|error| Failure::usage(format!("{path}: {error}")))?;
            Box::new(std::io::BufReader::new(file))
        }
    };
    let store = config.store.open().await.map_err(Failure::host)?;
    let (mut number, mut total, mut batch) = (0u64, 0u64, Vec::new());
    let mut space: Option<Space> = None;
    loop {
        number += 1;
        let wrong = |what: &str| Failure::usage(format!("{name}, line {number}: {what}"));
        let mut line = Vec::new();
        let read = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let read = read.map_err(|error| wrong(&error.to_string()))?;
        if read as u64 == LINE_BYTES_MAX {
            return Err(wrong("it is longer than 4 MiB"));
        }
        let ended = read == 0;
        if !line.trim_ascii().is_empty() {
            let read: Line =
                serde_json::from_slice(&line).map_err(|error| wrong(&error.to_string()))?;
            if let Some(vector) = &read.vector {
                let own = space_of(&arguments.space, vector.len());
                let own = own.ok_or_else(|| wrong("a vector needs its `--model`"))?;
                let first = space.get_or_insert_with(|| own.clone());
                if *first != own {
                    let (is, was) = (own.dimensions, first.dimensions);
                    return Err(wrong(&format!(
                        "its vector has {is} numbers, those before have {was}"
                    )));
                }
            }
            batch.push(Document { id: read.id, text: read.text, vector: read.vector });
        }
        if batch.len() == PUT_MAX || (ended && !batch.is_empty()) {
            total += batch.len() as u64;
            let put = store.documents().put_documents(&arguments.agent, &batch, space.as_ref());
            put.await.map_err(|error| wrong(&error.to_string()))?;
            batch.clear();
        }
        if ended {
            return terminal::print_line(&format!("put: {}", count(total, "document")));
        }
    }
}

fn space_of(arguments: &SpaceArgs, dimensions: usize) -> Option<Space> {
    let version = arguments.model_version.clone();
    arguments.model.clone().map(|model| Space { model, version, dimensions })
}

async fn search(config: &Config, arguments: &SearchArgs) -> Result<Code, Failure> {
    if arguments.limit == 0 || arguments.limit > HITS_MAX {
        return Err(Failure::usage(format!("--limit is 1 to {HITS_MAX}")));
    }
    let scope = match &arguments.agent {
        Some(agent) => Scope::Agent(agent),
        None => Scope::All,
    };
    let vector = arguments.vector.as_deref().map(vector_of).transpose()?;
    let store = opened(&config.store).await?;
    let documents = store.documents();
    let found = match (&arguments.text, vector) {
        (Some(text), _) => documents.find_words(scope, text, arguments.limit).await,
        (None, Some(vector)) => {
            let space = space_of(&arguments.space, vector.len());
            let space = space.ok_or_else(|| Failure::usage("a vector needs its `--model`"))?;
            documents.find_nearest(scope, &space, &vector, arguments.limit).await
        }
        (None, None) => return Err(Failure::usage("--text or --vector says what to look for")),
    };
    for hit in &found.map_err(Failure::host)? {
        terminal::print_line(&written(hit, arguments.output))?;
    }
    Ok(Code::Ok)
}

fn vector_of(text: &str) -> Result<Vec<f32>, Failure> {
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(path) => super::audit::small_file(std::path::Path::new(path))?,
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("--vector: it is no JSON list of numbers: {error}"))
    })
}

fn written(hit: &Hit, format: Format) -> String {
    let Hit { agent, id, text, score } = hit;
    match format {
        Format::Json => {
            json!({ "agent": agent, "id": id, "score": score, "text": text }).to_string()
        }
        Format::Text => {
            let start: String = text.chars().take(120).collect();
            one_line(&format!("{score:8.4}  {agent}  {id}  {start}"))
        }
    }
}
