//! The words of the process table: what every layer says of an agent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process: an agent. Unique in its store, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub u64);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// A model's reply.
    Model,
    /// A tool's answer.
    Tool,
    /// A message.
    Message,
    /// A child's end.
    Child,
    /// A time.
    Time,
    /// Room in a budget or window.
    Quota,
    /// A person's approval.
    Approval,
}

impl Waiting {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Message => "message",
            Self::Child => "child",
            Self::Time => "time",
            Self::Quota => "quota",
            Self::Approval => "approval",
        }
    }
}

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It could use the processor.
    Ready,
    /// A worker runs it.
    Running,
    /// It waits.
    Waiting(Waiting),
    /// Somebody paused it.
    Paused,
    /// It is over.
    Exited,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Running => f.write_str("running"),
            Self::Waiting(what) => write!(f, "waiting: {}", what.word()),
            Self::Paused => f.write_str("paused"),
            Self::Exited => f.write_str("exited"),
        }
    }
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "how", content = "text")]
pub enum Ending {
    /// With its answer.
    Returned(String),
    /// With its own error.
    Failed(String),
    /// By a crash of its program.
    Trapped(String),
    /// Somebody ended it: who, and why.
    Killed(String),
    /// A limit ended it.
    Limit(String),
}

impl Ending {
    /// One word, as the journal and `ps` have it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Returned(_) => "returned",
            Self::Failed(_) => "failed",
            Self::Trapped(_) => "trapped",
            Self::Killed(_) => "killed",
            Self::Limit(_) => "limit",
        }
    }

    /// Cuts what goes with it to so many characters, the last of which then is an ellipsis.
    pub fn shorten(&mut self, chars_max: usize) {
        let (Self::Returned(text)
        | Self::Failed(text)
        | Self::Trapped(text)
        | Self::Killed(text)
        | Self::Limit(text)) = self;
        if let Some((at, _)) = text.char_indices().nth(chars_max) {
            let kept = text[..at].char_indices().next_back().map_or(0, |(last, _)| last);
            text.truncate(kept);
            text.push('…');
        }
    }

    /// What goes with it.
    pub fn text(&self) -> &str {
        match self {
            Self::Returned(text)
            | Self::Failed(text)
            | Self::Trapped(text)
            | Self::Killed(text)
            | Self::Limit(text) => text,
        }
    }
}

/// What an agent has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentUsage {
    /// Replies of models.
    pub model_calls: u64,
    /// Calls of tools.
    pub tool_calls: u64,
    /// Prompt tokens, cached ones too.
    pub input_tokens: u64,
    /// Tokens of replies.
    pub output_tokens: u64,
    /// Prompt tokens that a provider's cache served.
    pub cache_read_tokens: u64,
    /// Millionths of a US dollar, as far as prices are known.
    pub cost_microdollars: u64,
    /// CPU time of its own instructions, in microseconds.
    pub cpu_us: u64,
    /// Its largest memory, in bytes.
    pub memory_bytes: u64,
}

/// An agent as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessView {
    /// Its number.
    pub pid: Pid,
    /// Whose child it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Pid>,
    /// Its name.
    pub name: String,
    /// The program it runs.
    pub program: String,
    /// The model it asks.
    pub model: String,
    /// 0 to 100, lower is more urgent.
    pub priority: u8,
    /// Where it stands.
    pub standing: Standing,
    /// Why it waits, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What it has used.
    pub usage: AgentUsage,
    /// Milliseconds since it was spawned, or that it lived.
    pub wall_ms: u64,
    /// Its chain in the journal.
    pub chain: String,
    /// Its task, cut to one line.
    pub task: String,
}
