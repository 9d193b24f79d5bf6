//! The processor: one inference over the agent's context, or over messages of its own.
//!
//! An exhausted quota pauses the agent instead of failing it, so most errors here mean that waiting
//! cannot help.

mod error;
mod options;

use crate::agent::{Part, ToolCall, part_text};
use crate::context::PageId;

#[cfg(target_family = "wasm")]
use crate::component::agent::model as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::link as host;

pub use error::Error;
pub use options::{Options, ToolChoice};

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It said all it had to say.
    EndTurn,
    /// It waits for the results of its tool calls.
    ToolUse,
    /// The reply was cut at its length limit.
    MaxOutput,
    /// The sequence that was met.
    StopSequence(String),
    /// The model's own words for why.
    Refusal(String),
    /// A reason that this version has no case for.
    Other(String),
}

/// What one inference took, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the model read.
    pub input_tokens: u64,
    /// What the model wrote.
    pub output_tokens: u64,
    /// Part of `output_tokens`.
    pub reasoning_tokens: u64,
    /// Part of `input_tokens`.
    pub cache_read_tokens: u64,
    /// Part of `input_tokens`.
    pub cache_write_tokens: u64,
    /// Millionths of a US dollar; none where the host has no price for the model.
    pub cost_microdollars: Option<u64>,
    /// The provider did not report, and the host counted.
    pub estimated: bool,
}

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// `provider/model`, as it answered.
    pub model: String,
    /// In the order the model gave them.
    pub parts: Vec<Part>,
    /// Why it stopped.
    pub stop: StopReason,
    /// What it took.
    pub usage: Usage,
    /// The pages that the reply became; empty for [`complete`].
    pub pages: Vec<PageId>,
}

impl Completion {
    /// All text of the reply.
    #[must_use]
    pub fn text(&self) -> String {
        part_text(&self.parts)
    }

    /// The tool calls of the reply, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            Part::Content(_) | Part::Reasoning(_) | Part::ToolResult(_) => None,
        })
    }
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who set the model up.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation that is not in the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What.
    pub parts: Vec<Part>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::text(text)] }
    }
}

/// Vectors of texts. Those of two spaces cannot be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The embedding space's id.
    pub space: String,
    /// One a text, all of one length.
    pub vectors: Vec<Vec<f32>>,
}

/// One inference over the agent's context. The reply is appended to it.
///
/// # Errors
/// Where the model cannot answer, and waiting cannot help.
pub fn step(options: &Options) -> Result<Completion, Error> {
    host::step(options)
}

/// One inference over these messages alone. The context is neither read nor written.
///
/// # Errors
/// As [`step`].
pub fn complete(messages: &[Message], options: &Options) -> Result<Completion, Error> {
    host::complete(messages, options)
}

/// The vectors of some texts.
///
/// # Errors
/// As [`step`].
pub fn embed<S: AsRef<str>>(texts: &[S]) -> Result<Embeddings, Error> {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    host::embed(&texts)
}
