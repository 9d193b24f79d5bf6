//! What goes over the socket. Nothing else in the host knows these types.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::agent::AgentSpec;
use crate::scheduler::{Amounts, Limits, ScopeUsage, SlotUse};
use crate::storage::{Hex, StoredRow};
use crate::types::{Ending, Pid, ProcessView};

/// The version of these words. Daemon and client must have the same.
pub const PROTOCOL: u32 = 1;

/// How long a question for an agent's end is held at most before it is answered without one.
pub const POLL: Duration = Duration::from_secs(20);

/// Bytes of one request: a task or message of 1 MiB, escaped in the worst way, has 6 MiB.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Bytes of one answer: a list of 20,000 agents, or a page of rows.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Who serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the daemon.
    pub protocol: u32,
    /// The version of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The store that it serves.
    pub store: String,
    /// How long it has served, in milliseconds.
    pub up_ms: u64,
}

/// An agent to be born. Paths are absolute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawn {
    /// What it is.
    pub spec: AgentSpec,
    /// Variables that its grants pick from.
    pub environment: Vec<(String, String)>,
    /// Configuration values.
    pub config: Vec<(String, String)>,
    /// Whether its tools see a clock that goes.
    pub clock: bool,
    /// Whether its tools get random numbers that differ.
    pub random: bool,
}

/// It was born.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawned {
    /// Its number.
    pub pid: Pid,
    /// Its name.
    pub name: String,
    /// Its chain in the journal.
    pub chain: String,
}

/// An agent, and how it ended if it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The agent now.
    pub agent: ProcessView,
    /// How it ended; none while it lives.
    pub ending: Option<Ending>,
}

/// How urgent an agent is from now on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renice {
    /// 0 to 100, lower first.
    pub priority: u8,
}

/// A text that goes with a wish: the message, or why an agent is ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The text.
    pub text: String,
}

/// A wish was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// To whom.
    pub pid: Pid,
}

/// A row of the journal; bytes are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowView {
    /// Its place in the chain.
    pub seq: i64,
    /// Microseconds since the Unix epoch.
    pub time_us: i64,
    /// What it is about.
    pub kind: String,
    /// On whose behalf.
    pub who: String,
    /// The call it belongs to, or empty.
    pub call: String,
    /// The component that ran, or empty.
    pub component: String,
    /// The capability asked for, or empty.
    pub capability: String,
    /// What on, or empty.
    pub target: String,
    /// The verdict, or empty.
    pub verdict: String,
    /// JSON text, or empty.
    pub body: String,
    /// The seal.
    pub hash: String,
}

impl From<&StoredRow> for RowView {
    fn from(row: &StoredRow) -> Self {
        Self {
            seq: row.seq,
            time_us: row.time_us,
            kind: row.kind.clone(),
            who: row.who.clone(),
            call: Hex(&row.call).to_string(),
            component: Hex(&row.component).to_string(),
            capability: row.capability.clone(),
            target: row.target.clone(),
            verdict: row.verdict.clone(),
            body: row.body.clone(),
            hash: Hex(&row.hash).to_string(),
        }
    }
}

/// A page of a chain's rows; empty at its present end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The agent.
    pub pid: Pid,
    /// Its chain.
    pub chain: String,
    /// The rows, in order.
    pub rows: Vec<RowView>,
}

/// What an agent remembers is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagesKept {
    /// The agent.
    pub pid: Pid,
    /// The context's id: the agent's chain.
    pub context: String,
}

/// The limits of a scope, and what it has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The scope, as it is asked for: `host`, `owner`, `agent:3`, `tree:3`.
    pub scope: String,
    /// The limits in force.
    pub limits: Limits,
    /// Used within the present window.
    pub window: Amounts,
    /// Used in all.
    pub total: Amounts,
    /// The part of `total` that gave no answer.
    pub wasted: Amounts,
    /// Set aside for calls in flight.
    pub reserved: Amounts,
    /// Milliseconds that an agent has lived, pauses left out.
    pub wall_ms: u64,
    /// The length of the window, in milliseconds.
    pub window_ms: u64,
}

impl Quota {
    /// A scope's usage under the name by which it was asked for.
    pub fn new(scope: String, usage: ScopeUsage, window: Duration) -> Self {
        let ScopeUsage { limits, window: used, total, wasted, reserved, wall_ms } = usage;
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        Self { scope, limits, window: used, total, wasted, reserved, wall_ms, window_ms }
    }
}

/// What an operator changes of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Set {
    /// Nothing.
    #[default]
    Keep,
    /// There is none any more.
    Lift,
    /// It is this.
    To(u64),
}

impl Set {
    /// The limit after the change.
    pub fn over(self, limit: Option<u64>) -> Option<u64> {
        match self {
            Self::Keep => limit,
            Self::Lift => None,
            Self::To(value) => Some(value),
        }
    }
}

/// What an operator changes of a scope's limits. The fields are those of [`Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Tokens of one request.
    pub request_tokens: Set,
    /// Tokens in a window.
    pub window_tokens: Set,
    /// Model calls in a window.
    pub window_calls: Set,
    /// Millionths of a US dollar in a window.
    pub window_microdollars: Set,
    /// Tokens in all.
    pub total_tokens: Set,
    /// Model calls in all.
    pub total_calls: Set,
    /// Millionths of a US dollar in all.
    pub total_microdollars: Set,
    /// Milliseconds of life.
    pub total_wall_ms: Set,
}

impl Change {
    /// The limits after the change.
    pub fn over(self, limits: Limits) -> Limits {
        Limits {
            request_tokens: self.request_tokens.over(limits.request_tokens),
            window_tokens: self.window_tokens.over(limits.window_tokens),
            window_calls: self.window_calls.over(limits.window_calls),
            window_microdollars: self.window_microdollars.over(limits.window_microdollars),
            total_tokens: self.total_tokens.over(limits.total_tokens),
            total_calls: self.total_calls.over(limits.total_calls),
            total_microdollars: self.total_microdollars.over(limits.total_microdollars),
            total_wall_ms: self.total_wall_ms.over(limits.total_wall_ms),
        }
    }
}

/// How full a resource is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Whose: a provider's name, or `tools`.
    pub name: String,
    /// Calls in flight at most.
    pub slots: u32,
    /// Calls in flight.
    pub running: u32,
    /// Calls that wait.
    pub waiting: u32,
}

impl Slots {
    /// The slots of what is called so.
    pub fn new(name: String, slots: SlotUse) -> Self {
        let SlotUse { slots, running, waiting } = slots;
        Self { name, slots, running, waiting }
    }
}

/// All that `top` shows, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Who serves.
    pub host: Hello,
    /// What all agents together have used.
    pub used: Quota,
    /// The slots of providers, then of tools.
    pub slots: Vec<Slots>,
    /// The agents, oldest first.
    pub agents: Vec<ProcessView>,
}

/// What kind of thing went wrong: what a program does next depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The caller asked for what cannot be.
    Usage,
    /// There is no such agent.
    NoAgent,
    /// More than one agent is meant.
    Unclear,
    /// The agent has ended.
    Ended,
    /// A plugin is missing or broken.
    Plugin,
    /// A bound was reached.
    Limit,
    /// The host is closing.
    Closing,
    /// The host failed.
    Host,
}

/// What went wrong: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind.
    pub blame: Blame,
    /// The sentence.
    pub sentence: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(blame: Blame, sentence: impl std::fmt::Display) -> Self {
        Self { blame, sentence: sentence.to_string() }
    }
}

/// The id of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// `PID.ROW`.
    pub id: String,
}

/// An imported agent that is to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// The id of its chain, as 32 hexadecimal digits.
    pub chain: String,
    /// What it is called; its own name where it is left out.
    pub name: Option<String>,
    /// What it may do, as `--allow` takes it; nothing that it had comes with it.
    pub grants: Vec<String>,
}

/// A fork to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// What it is called; its source's name with `-fork` where it is left out.
    pub name: Option<String>,
}
