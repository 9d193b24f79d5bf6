//! What a model answers, in no provider's words, whole and in pieces.

use super::request::Part;

/// A reply, after its stream has ended as it should.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// `provider/model` as it answered; `script/NAME` for a scripted one.
    pub model: String,
    /// What was said, in order. [`Part::ToolResult`] never appears.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// What it took, all attempts together.
    pub usage: TokenUsage,
}

impl Completion {
    /// All text of the reply, joined; no reasoning.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Content(crate::types::Content::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The model was done.
    EndTurn,
    /// It wants tools called.
    ToolUse,
    /// It reached the most tokens it may write; a tool call at its end may be torn.
    MaxOutput,
    /// It wrote this stop sequence, or an unnamed one (empty).
    StopSequence(String),
    /// It, or its provider's filter, refused; the text says why where that was said.
    Refusal(String),
    /// A reason that this host does not know, by its provider's name.
    Other(String),
}

/// Tokens of a call, by price class. The classes of input are disjoint: all of the prompt is
/// `input + cache_read + cache_write`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenUsage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Tokens of the reply, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning, where the provider says.
    pub reasoning: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to it.
    pub cache_write: u64,
    /// Millionths of a US dollar by the price table; none where the table has no price.
    pub cost_microdollars: Option<u64>,
    /// True when the provider did not report and the host counted.
    pub estimated: bool,
}

impl TokenUsage {
    /// The whole prompt, cached or not.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }
}

/// A piece of a reply while it streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta<'a> {
    /// The provider has accepted the request and begun: from here on there is no retry.
    Started,
    /// More of the answer.
    Text(&'a str),
    /// More of the reasoning, where it is shown.
    Reasoning(&'a str),
    /// A tool call begins; its arguments follow.
    ToolCall {
        /// As in [`Part::ToolCall`].
        id: &'a str,
        /// The tool.
        name: &'a str,
    },
    /// More of the arguments of a tool call.
    Arguments {
        /// Whose.
        id: &'a str,
        /// A fragment of JSON.
        fragment: &'a str,
    },
    /// What the provider has counted up to now.
    Usage(TokenUsage),
}

/// What a call may take, for admission and for reserving: see `Endpoint::demand`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Prompt tokens, estimated.
    pub input: u64,
    /// The most tokens that the reply may have, as it will be sent.
    pub output: u64,
}

/// What a call has taken so far, from its deltas: the charge of one that is cut or lost.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    demand: Demand,
    started: bool,
    reported: Option<TokenUsage>,
    streamed_bytes: u64,
}

/// Bytes of streamed text per token, where the provider has not counted yet: OpenAI's rule of thumb
/// of four characters a token.
const BYTES_PER_TOKEN: u64 = 4;

impl Spent {
    /// Nothing yet of this demand.
    pub fn of(demand: Demand) -> Self {
        Self { demand, started: false, reported: None, streamed_bytes: 0 }
    }

    /// Counts a delta.
    pub fn note(&mut self, delta: &Delta<'_>) {
        let streamed = match delta {
            Delta::Started => {
                self.started = true;
                0
            }
            Delta::Text(text) | Delta::Reasoning(text) => text.len(),
            Delta::ToolCall { name, .. } => name.len(),
            Delta::Arguments { fragment, .. } => fragment.len(),
            Delta::Usage(usage) => {
                self.reported = Some(*usage);
                0
            }
        };
        self.streamed_bytes = self.streamed_bytes.saturating_add(streamed as u64);
    }

    /// Input and what streamed; nothing where the provider never began. Always `estimated`.
    pub fn usage(&self) -> TokenUsage {
        if !self.started {
            return TokenUsage::default();
        }
        let counted = self.streamed_bytes.div_ceil(BYTES_PER_TOKEN);
        let floor = TokenUsage { input: self.demand.input, ..TokenUsage::default() };
        let usage = self.reported.unwrap_or(floor);
        TokenUsage { output: usage.output.max(counted), estimated: true, ..usage }
    }
}
