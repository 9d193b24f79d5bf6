//! What stands in an agent's chain of its questions, answers and of what happened to it: the words
//! that a replay is made of.
//!
//! A short value stands in its row; a longer one is a body, and its row has the hash. Both are
//! compared by the hash of their JSON text, which is the same for the same value.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::memory::Call;
use crate::journal::{Body, Digest, JournalError, PackedBody, Row, RowKind};
use crate::model::TokenUsage;
use crate::scheduler::{Amounts, Limits, Scope};

/// Values up to this many bytes of JSON stand in their row: a body of their own would be longer.
const INLINE_BYTES_MAX: usize = 96;

/// The capability of rows about one member of a `call-all`; rows of whole questions have `ask`.
pub(in crate::kernel) const MEMBER: &str = "member";
/// The capability of rows of questions and answers.
pub(in crate::kernel) const ASK: &str = "ask";
/// The capability of rows about the agent itself: its birth, its notes, its end.
pub(in crate::kernel) const AGENT: &str = "agent";

/// A value, by its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::kernel) struct Told {
    /// 64 hexadecimal digits.
    blake3: String,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) value: Option<Value>,
}

impl Told {
    /// A value as a row tells it, and its body where it is too long for the row.
    pub(in crate::kernel) fn of<T: Serialize>(
        value: &T,
    ) -> Result<(Self, Option<PackedBody>), JournalError> {
        let text = serde_json::to_vec(value)?;
        let bytes = text.len() as u64;
        if text.len() <= INLINE_BYTES_MAX {
            let blake3 = blake3::hash(&text).to_hex().to_string();
            return Ok((Self { blake3, bytes, value: Some(serde_json::to_value(value)?) }, None));
        }
        let body = PackedBody::pack(&text)?;
        Ok((Self { blake3: body.hash.to_string(), bytes, value: None }, Some(body)))
    }

    /// Its hash; none where that was tampered with.
    pub(in crate::kernel) fn digest(&self) -> Option<Digest> {
        self.blake3.parse().ok()
    }

    /// Whether both are the same value.
    pub(in crate::kernel) fn is(&self, other: &Self) -> bool {
        self.blake3 == other.blake3
    }
}

/// A question that takes a while: its answer is a later row.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::kernel) struct AskedRow {
    pub(in crate::kernel) ask: Told,
    /// When it was asked, in nanoseconds since the Unix epoch.
    pub(in crate::kernel) at: u64,
    /// The times that the agent's clock moved on to by itself before, as `at`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::kernel) clock: Vec<u64>,
}

/// An answer, and its question where that has no row of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::kernel) struct AnsweredRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) ask: Option<Told>,
    /// None: the answer is put together from so many members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) answer: Option<Told>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) members: Option<u64>,
    /// What the agent's clock showed from then on, in nanoseconds since the Unix epoch.
    pub(in crate::kernel) at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::kernel) clock: Vec<u64>,
    #[serde(default, skip_serializing_if = "Paged::is_nothing")]
    pub(in crate::kernel) paged: Paged,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) took: Option<Took>,
    /// The child that the question made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) born: Option<u64>,
}

/// What a question did with the agent's memory, as far as it does not follow from the question and
/// its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::kernel) struct Paged {
    /// Pages that were used, in their order: a use keeps a page longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::kernel) looked: Vec<Looked>,
    /// The prompt that a `model.step` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) prompt: Option<Box<Prompted>>,
}

impl Paged {
    fn is_nothing(&self) -> bool {
        self.looked.is_empty() && self.prompt.is_none()
    }
}

/// A use of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::kernel) enum Looked {
    /// It was read by its number.
    Read(u64),
    /// A recall found it.
    Found(u64),
}

/// How far a `model.step` came with the agent's context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::kernel) struct Prompted {
    /// What the prompt was made for.
    pub(in crate::kernel) call: Call,
    /// What a model said of the pages that left for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) summary: Option<String>,
    /// Whether it went out.
    pub(in crate::kernel) sent: bool,
    /// Tokens of pages that were recalled for its tail.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::kernel) tail_tokens: u64,
    /// What the reply used, from which the count of tokens learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) used: Option<TokenUsage>,
    /// The row that says what the reply used: calls that it asks for point there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::kernel) row: Option<u64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Prompted {
    /// Nothing has left for it yet.
    pub(super) fn of(call: Call) -> Self {
        Self { call, summary: None, sent: false, tail_tokens: 0, used: None, row: None }
    }
}

/// What a `process.wait` took out of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::kernel) enum Took {
    /// The oldest message.
    Message,
    /// This child's end.
    Exit(u64),
}

/// The answer of one member of a `call-all`.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::kernel) struct MemberRow {
    pub(in crate::kernel) member: u32,
    pub(in crate::kernel) answer: Told,
}

/// What a session's accepted row says of an agent's call, as far as a recovery needs it.
#[derive(Debug, Deserialize)]
pub(in crate::kernel) struct AcceptedRow {
    pub(in crate::kernel) member: Option<u32>,
    #[serde(default)]
    pub(in crate::kernel) again: bool,
}

/// What happened to an agent beside its questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::kernel) enum Note {
    /// A message came into its mailbox.
    Message { from: u64, body: Told },
    /// A child is over: how, and what it and all below it used.
    Exit { pid: u64, ending: Told, used: Amounts },
    /// An operator paused it.
    Paused,
    /// An operator let it go on.
    Resumed,
    /// It is so urgent from now on.
    Reniced { priority: u8 },
    /// An operator set limits of it or of its tree.
    Limits { scope: Scope, limits: Limits },
    /// A named point to come back to.
    Checkpoint { label: String },
    /// It stands where it stood after this row of its chain; what came between counts no more.
    Restored { to: i64 },
    /// A later host took it up.
    Recovered,
    /// It begins where another agent stood: that one's number, chain and row, and what its random
    /// numbers come from after that.
    Forked { pid: u64, chain: String, seq: i64, seed: String },
}

impl Note {
    /// The word that its row has as target.
    pub(in crate::kernel) fn word(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Exit { .. } => "exit",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Reniced { .. } => "reniced",
            Self::Limits { .. } => "limits",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Restored { .. } => "restored",
            Self::Recovered => "recovered",
            Self::Forked { .. } => "forked",
        }
    }

    /// Its row's body.
    pub(in crate::kernel) fn text(&self) -> Result<String, JournalError> {
        Ok(serde_json::to_string(self)?)
    }

    /// The row, with the body that [`Note::text`] gave.
    pub(in crate::kernel) fn row<'a>(&self, who: &'a str, text: &'a str) -> Row<'a> {
        Row {
            who,
            capability: AGENT,
            target: self.word(),
            body: Body::Text(text),
            ..Row::new(RowKind::Noted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_value_stands_in_its_row_and_a_long_one_is_a_body() {
        let (short, none) = Told::of(&"short").expect("JSON");
        assert!(none.is_none() && short.value == Some("short".into()));
        let text = "long ".repeat(100);
        let (long, body) = Told::of(&text).expect("JSON");
        let body = body.expect("a body");
        assert_eq!((long.digest(), long.value), (Some(body.hash), None));
        assert_eq!(body.unpack().expect("sound"), serde_json::to_vec(&text).expect("JSON"));
    }
}
