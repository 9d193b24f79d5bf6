//! `search`: a question out, results back.

use std::time::Duration;

use aos_sdk::http::{self, Request};
use aos_sdk::{Output, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Found, Lookup};

/// More is no answer to a search.
const BODY_BYTES_MAX: u64 = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);
const QUERY_CHARS_MAX: usize = 400;
const COUNT_DEFAULT: u8 = 5;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Search {
    /// What to look for, for example `rust async cancellation safety`.
    #[schemars(length(min = 1, max = 400))]
    pub(crate) query: String,
    /// How many results at most: 5 where it is not given.
    #[schemars(range(min = 1, max = 20))]
    pub(crate) count: Option<u8>,
}

#[derive(Serialize)]
struct Structured<'a> {
    engine: &'a str,
    results: &'a [Found],
}

/// Searches the web and returns titles, addresses and excerpts.
#[tool(read_only, idempotent, open_world, title = "Web search")]
pub(crate) fn search(arguments: Search) -> Result<Output, ToolError> {
    searched(&arguments, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

pub(crate) fn searched(arguments: &Search, lookup: Lookup) -> Result<Output, ToolError> {
    let query = arguments.query.trim();
    if query.is_empty() || query.chars().count() > QUERY_CHARS_MAX {
        let expected = format!("a text of 1 to {QUERY_CHARS_MAX} characters");
        return Err(ToolError::invalid("/query", expected));
    }
    let count = arguments.count.unwrap_or(COUNT_DEFAULT).clamp(1, 20);
    let engine = Engine::chosen(lookup)?;
    let request = Request {
        timeout: Some(TIMEOUT),
        body_bytes_max: BODY_BYTES_MAX,
        ..engine.request(query, count)
    };
    let response = http::send(&request)?;
    match response.status {
        200 => {}
        401 | 403 => {
            let name = engine.name();
            let what = format!("{name} refuses the key (status {})", response.status);
            return Err(ToolError::failed(what));
        }
        429 => return Err(ToolError::unavailable(format!("{} is busy", engine.name()))),
        status => {
            let what = format!("{} answers with status {status}", engine.name());
            return Err(ToolError::unavailable(what));
        }
    }
    let found = engine.read(&response.body, count)?;
    Output::text(text(&found))
        .with_structured(&Structured { engine: engine.name(), results: &found })
}

fn text(found: &[Found]) -> String {
    if found.is_empty() {
        return "nothing was found".to_owned();
    }
    let lines = found.iter().enumerate().map(|(at, found)| {
        let Found { title, url, text } = found;
        format!("{}. {title}\n   {url}\n   {}", at + 1, text.replace('\n', " "))
    });
    lines.collect::<Vec<_>>().join("\n")
}
