//! Identifiers, units and the words that every layer shares. Knows nothing of any other layer.

mod process;

use std::borrow::Cow;
use std::fmt;

pub use process::*;

/// One call of a tool; the same across a retry, so it can serve as an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub uuid::Uuid);

impl CallId {
    /// A fresh identifier, ordered by creation time (UUID version 7).
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The blake3 hash of a component's bytes as they were read: its identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentHash(pub [u8; 32]);

impl ComponentHash {
    /// Hashes the bytes of a component.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ComponentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ComponentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentHash({self})")
    }
}

/// Who lacks the grant that an effect needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingIn {
    /// The plugin's manifest does not ask for it.
    Plugin,
    /// The operator did not give it.
    Operator,
    /// The agent or tool that called does not hold it.
    Caller,
}

/// A refused effect: what was wanted, who lacks it, and the one line that would allow it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Denial {
    /// The capability's name in the grammar of grants, as `read` or `net`.
    pub capability: String,
    /// What was wanted, as the guest named it.
    pub target: String,
    /// Who lacks the grant.
    pub missing_in: MissingIn,
    /// The flag or manifest line that would allow it.
    pub remedy: String,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, target, remedy, .. } = self;
        match self.missing_in {
            MissingIn::Operator => {
                write!(f, "denied: {capability} {target} is not granted; {remedy} would allow it")
            }
            MissingIn::Plugin => write!(
                f,
                "denied: the plugin's manifest does not ask for {capability} {target}; {remedy}"
            ),
            MissingIn::Caller => {
                write!(f, "denied: the caller does not hold {capability} {target}; {remedy}")
            }
        }
    }
}

/// A limit that ended or refused something, with its value and the flag that moves it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LimitHit {
    /// The limit's name, as in `memory`.
    pub name: Cow<'static, str>,
    /// The value in force, in `unit`.
    pub value: u64,
    /// The unit of `value`.
    pub unit: Cow<'static, str>,
    /// The flag that would raise it.
    pub remedy: Cow<'static, str>,
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, unit, remedy } = self;
        write!(f, "limit {name} of {value} {unit} reached; {remedy} raises it")
    }
}

impl std::error::Error for LimitHit {}

/// What a call may do to the world, as its plugin states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Behaviour {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy what cannot be brought back.
    pub destructive: bool,
    /// A second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// Reaches things outside the host.
    pub open_world: bool,
}

impl Default for Behaviour {
    /// A tool that does not say otherwise is taken as destructive and not idempotent.
    fn default() -> Self {
        Self { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

/// One tool as its plugin describes it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Definition {
    /// The name to call it by.
    pub name: String,
    /// A short title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does.
    pub description: String,
    /// JSON Schema (2020-12) of its arguments, an object schema.
    pub input_schema: serde_json::Value,
    /// JSON Schema of its structured output, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<serde_json::Value>,
    /// What a call may do.
    pub behaviour: Behaviour,
}

/// One piece of a tool's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// UTF-8 text.
    Text(String),
    /// An image.
    Image(Blob),
    /// A sound.
    Audio(Blob),
    /// Something with a name.
    Document(String, Blob),
}

/// Bytes with their media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The media type, as `image/png`.
    pub media_type: String,
    /// The bytes.
    pub data: Vec<u8>,
}

/// What a tool call answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The pieces, in order.
    pub content: Vec<Content>,
    /// A JSON value, where the tool gives one.
    pub structured: Option<serde_json::Value>,
}

/// Every way a tool call can end without an output: the caller reads it and decides.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ToolError {
    /// No such tool; the text says which is nearest.
    #[error("{0}")]
    UnknownTool(String),
    /// Which argument, and what was expected.
    #[error("invalid arguments: {0}")]
    InvalidArguments(String),
    /// A grant is missing.
    #[error("{0}")]
    Denied(Denial),
    /// A person or a rule said no.
    #[error("rejected: {0}")]
    Rejected(String),
    /// A limit or quota said no.
    #[error("{0}")]
    Limit(LimitHit),
    /// Sent before a crash, outcome unknown.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// What the tool needs is not there now.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The tool's own failure.
    #[error("{0}")]
    Failed(String),
    /// A kind that this host does not know: its name and its text.
    #[error("{0}: {1}")]
    Other(String, String),
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Wall time, in microseconds.
    pub wall_us: u64,
    /// CPU time of the guest's own instructions and of host calls on its thread, in microseconds.
    pub cpu_us: u64,
    /// The largest sum of all memories and tables, in bytes.
    pub memory_bytes: u64,
}

/// Everything that can enter the kernel: its one door.
#[derive(Clone, Debug)]
pub enum Syscall {
    /// Which tools the session's plugin has.
    Definitions,
    /// Call one of them.
    Call {
        /// Its name; none where the plugin has just one.
        tool: Option<String>,
        /// A JSON object.
        arguments: serde_json::Value,
    },
    /// Run the session's plugin as a command.
    Run {
        /// Its arguments, without the program's name.
        arguments: Vec<String>,
    },
}

/// What the kernel answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The tools.
    Definitions(Vec<Definition>),
    /// What a call gave, and what it took.
    Output(Output, Usage),
    /// The exit code of a command, and what it took.
    Exit(i32, Usage),
}
