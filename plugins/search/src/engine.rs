//! The engines: what each is asked, and how it answers.

use aos_sdk::ToolError;
use aos_sdk::http::Request;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the operator gives: keys and the address of a server, by the names of variables.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Characters of one result's text: an engine may send whole pages.
const TEXT_CHARS_MAX: usize = 2_000;
/// Characters of a title or an address.
const LINE_CHARS_MAX: usize = 500;

/// One thing that was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) title: String,
    pub(crate) url: String,
    pub(crate) text: String,
}

/// An engine and what it needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Brave { base: String, key: String },
    Tavily { base: String, key: String },
    Searxng { base: String },
}

impl Engine {
    /// The one that the operator has set up: a key, or else the address of a SearXNG.
    pub(crate) fn chosen(lookup: Lookup) -> Result<Self, ToolError> {
        let url = lookup("SEARCH_URL").map(|url| url.trim_end_matches('/').to_owned());
        let base = |own: &str| url.clone().unwrap_or_else(|| own.to_owned());
        if let Some(key) = lookup("BRAVE_API_KEY") {
            return Ok(Self::Brave { base: base("https://api.search.brave.com"), key });
        }
        if let Some(key) = lookup("TAVILY_API_KEY") {
            return Ok(Self::Tavily { base: base("https://api.tavily.com"), key });
        }
        url.map(|base| Self::Searxng { base }).ok_or_else(|| {
            ToolError::unavailable(
                "no engine is set up: give --secret \
                 'BRAVE_API_KEY@https://api.search.brave.com', --secret \
                 'TAVILY_API_KEY@https://api.tavily.com', or --allow-env SEARCH_URL=https://HOST \
                 with --allow-net https://HOST for a SearXNG",
            )
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Brave { .. } => "Brave",
            Self::Tavily { .. } => "Tavily",
            Self::Searxng { .. } => "SearXNG",
        }
    }

    /// The request for `count` results.
    pub(crate) fn request(&self, query: &str, count: u8) -> Request {
        let accept = |request: Request| request.header("accept", "application/json");
        let encoded = percent(query);
        match self {
            Self::Brave { base, key } => {
                let url = format!("{base}/res/v1/web/search?q={encoded}&count={count}");
                accept(Request::get(url)).header("x-subscription-token", key)
            }
            Self::Tavily { base, key } => {
                let body = json!({ "query": query, "max_results": count }).to_string();
                let request = Request::new("POST", format!("{base}/search"));
                Request { body: body.into_bytes(), ..accept(request) }
                    .header("content-type", "application/json")
                    .header("authorization", format!("Bearer {key}"))
            }
            Self::Searxng { base } => {
                accept(Request::get(format!("{base}/search?q={encoded}&format=json")))
            }
        }
    }

    /// What an answer holds, at most `count` results.
    pub(crate) fn read(&self, body: &[u8], count: u8) -> Result<Vec<Found>, ToolError> {
        let bad = |error: serde_json::Error| {
            ToolError::unavailable(format!("{}'s answer is none: {error}", self.name()))
        };
        let results = match self {
            Self::Brave { .. } => {
                let answer: BraveAnswer = serde_json::from_slice(body).map_err(bad)?;
                answer.web.unwrap_or_default().results
            }
            Self::Tavily { .. } | Self::Searxng { .. } => {
                let answer: Results = serde_json::from_slice(body).map_err(bad)?;
                answer.results
            }
        };
        Ok(results.into_iter().take(usize::from(count)).map(Found::from).collect())
    }
}

#[derive(Deserialize)]
struct BraveAnswer {
    web: Option<Results>,
}

#[derive(Default, Deserialize)]
struct Results {
    #[serde(default)]
    results: Vec<Entry>,
}

/// Names differ between engines, and any may be left out or null.
#[derive(Deserialize)]
struct Entry {
    title: Option<String>,
    url: Option<String>,
    #[serde(alias = "content")]
    description: Option<String>,
}

impl From<Entry> for Found {
    fn from(entry: Entry) -> Self {
        let cut = |text: Option<String>, most: usize| -> String {
            text.unwrap_or_default().chars().take(most).collect()
        };
        Self {
            title: cut(entry.title, LINE_CHARS_MAX),
            url: cut(entry.url, LINE_CHARS_MAX),
            text: cut(entry.description, TEXT_CHARS_MAX),
        }
    }
}

/// Percent-encoded for a query (RFC 3986, 2.3).
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
