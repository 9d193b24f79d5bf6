//! The words of the journal: what a row says.

use super::JournalError;
use crate::storage::Texts;
use crate::types::{CallId, ComponentHash};

/// How long the caller of an append waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Not at all, except for room in the queue: reads, the clock.
    Queued,
    /// For the commit, which survives `kill -9`: verdicts of writes and requests, outcomes.
    Written,
    /// For a synced commit, which survives a power loss and carries every earlier row: what may not
    /// happen twice, and what a client is told is done.
    Synced,
}

/// Names a closed enum's variants with the words that stand in the store.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in the store and in exports; it never changes.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The variant of a word, or `None`.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// All that a row can be about.
    RowKind {
        /// Row 0 of each chain: what runs.
        Opened = "opened",
        /// A call was taken on; its effects come after this row.
        Accepted = "accepted",
        /// The gate has decided; an allowed effect comes after this row.
        Verdict = "verdict",
        /// An effect or call has ended; the body says how.
        Outcome = "outcome",
        /// An agent asked something that takes a while; its answer comes after it.
        Asked = "asked",
        /// What an agent asked, and the answer that it got: what a replay is made of.
        Answered = "answered",
        /// Something happened to an agent: mail, a child's end, what an operator did.
        Noted = "noted",
        /// A program was stopped: a trap or a limit.
        Fault = "fault",
        /// The last row of a chain: how it ended and what it used.
        Closed = "closed",
    }
}

words! {
    /// What the gate says.
    Verdict {
        /// The effect may happen.
        Allowed = "allowed",
        /// It may not, and does not.
        Denied = "denied",
    }
}

/// What a row carries besides its fixed fields.
#[derive(Clone, Copy, Debug, Default)]
pub enum Body<'a> {
    /// Nothing.
    #[default]
    None,
    /// JSON text that the caller vouches for; it is stored as it is.
    Text(&'a str),
    /// A value, written as compact JSON.
    Value(&'a serde_json::Value),
}

/// A row to append. Texts that are empty mean "none".
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// What it is about.
    pub kind: RowKind,
    /// On whose behalf: a plugin or an agent.
    pub who: &'a str,
    /// The call it belongs to.
    pub call: Option<CallId>,
    /// The component that is running.
    pub component: Option<ComponentHash>,
    /// The capability asked for: `read`, `net`, `tool`.
    pub capability: &'a str,
    /// What it is asked for on: a path, an origin, a tool's name.
    pub target: &'a str,
    /// What the gate says, in rows about a verdict.
    pub verdict: Option<Verdict>,
    /// Outcome, usage, arguments' hash: whatever the kind needs.
    pub body: Body<'a>,
}

impl Row<'_> {
    /// A row that says nothing but its kind; fill in the rest with `..Row::new(kind)`.
    pub const fn new(kind: RowKind) -> Self {
        Self {
            kind,
            who: "",
            call: None,
            component: None,
            capability: "",
            target: "",
            verdict: None,
            body: Body::None,
        }
    }

    /// Copies the texts into one buffer. Fails when they are over `limit` bytes.
    pub(super) fn texts(&self, limit: usize) -> Result<Texts, JournalError> {
        let written;
        let body = match self.body {
            Body::None => "",
            Body::Text(text) => text,
            Body::Value(value) => {
                written = serde_json::to_string(value)?;
                &written
            }
        };
        let bytes = self.who.len() + self.capability.len() + self.target.len() + body.len();
        if bytes > limit {
            return Err(JournalError::RowTooLarge { bytes, limit });
        }
        let mut texts = Texts::new(self.who, self.capability, self.target, body.len());
        texts.push_body(body);
        Ok(texts)
    }
}

/// What row 0 of a chain says.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The plugin's name or path; also the `who` of row 0.
    pub plugin: &'a str,
    /// The component that runs.
    pub component: Option<ComponentHash>,
    /// The version of the host.
    pub host_version: &'a str,
    /// The grants in force, as the operator wrote them.
    pub grants: &'a [String],
}

impl Opening<'_> {
    pub(super) fn body(&self) -> serde_json::Value {
        serde_json::json!({
            "host": self.host_version,
            "grants": self.grants,
        })
    }
}

/// What the last row of a chain says.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// How it ended, in one word: `ok`, `error`, `denied`, `limit`, `fault`.
    pub outcome: &'a str,
    /// What it used, as JSON: time, memory, bytes, tokens.
    pub usage: &'a serde_json::Value,
}

impl Closing<'_> {
    /// The row's body.
    pub fn body(&self) -> serde_json::Value {
        serde_json::json!({ "outcome": self.outcome, "usage": self.usage })
    }
}
