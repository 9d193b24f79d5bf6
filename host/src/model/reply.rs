//! What both wire formats build while a reply streams: the draft, and how a stream can fail. Pure.

use super::completion::Stop;
use super::request::Part;

/// Pieces of one reply at most: a remote server chooses their number.
pub const PIECES_MAX: usize = 4096;

/// Whether a stream goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    More,
    /// The provider said that this was all.
    Done,
}

/// How a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// The provider sent an error inside the stream.
    #[error("{message}")]
    Provider {
        /// The provider's name for it, as `overloaded_error`, or its code.
        kind: String,
        /// Its words.
        message: String,
    },
    /// The stream is not what it should be.
    #[error("{0}")]
    Broken(String),
}

impl StreamFault {
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self::Broken(reason.into())
    }
}

/// Tokens as a provider counted them, in the classes of [`super::TokenUsage`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Neither read from nor written to a cache.
    pub input: u64,
    /// The reply, reasoning included.
    pub output: u64,
    /// The reasoning in it.
    pub reasoning: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to it.
    pub cache_write: u64,
    /// What the provider says it cost, in millionths of a US dollar.
    pub cost_microdollars: Option<u64>,
}

/// A whole reply before it is named and priced.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The model as the provider names it; empty where it did not.
    pub model: String,
    /// What was said.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// What the provider counted; none where it did not.
    pub counted: Option<Counted>,
}

/// The error object that both formats share: `{"error": {"type", "code", "message"}}`, its inner
/// object, or a bare sentence. The kind is the most telling of `type` and `code`.
pub fn provider_error(error: &serde_json::Value) -> (String, String) {
    let text = |key: &str| match error.get(key) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let message = match error {
        serde_json::Value::String(text) => text.clone(),
        _ => [text("message"), text("detail"), text("error")]
            .into_iter()
            .find(|t| !t.is_empty())
            .unwrap_or_default(),
    };
    let kind = [text("code"), text("type")].into_iter().filter(|kind| !kind.is_empty());
    (kind.collect::<Vec<_>>().join(" "), message)
}

impl Counted {
    /// As the rest of the host counts.
    pub fn usage(self) -> super::TokenUsage {
        super::TokenUsage {
            input: self.input,
            output: self.output,
            reasoning: self.reasoning,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cost_microdollars: self.cost_microdollars,
            estimated: false,
        }
    }
}
