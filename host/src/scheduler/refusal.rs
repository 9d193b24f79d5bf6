//! The words for limits: what they hang on, which is met, when it gives way, what is refused.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scheduler::{Moment, OwnerId};
use crate::types::Pid;

/// What limits hang on. What a call uses counts in every scope that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// All agents of this host.
    Host,
    /// All agents of an owner.
    Owner(OwnerId),
    /// An agent and all below it.
    Tree(Pid),
    /// An agent alone.
    Agent(Pid),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host"),
            Self::Owner(owner) => write!(f, "owner {}", owner.0),
            Self::Tree(pid) => write!(f, "agent {pid} and its children"),
            Self::Agent(pid) => write!(f, "agent {pid}"),
        }
    }
}

/// Which limit is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quota {
    /// Tokens in one sliding window.
    WindowTokens,
    /// Calls in one sliding window.
    WindowCalls,
    /// Money in one sliding window.
    WindowMicrodollars,
    /// Tokens in all.
    TotalTokens,
    /// Calls in all.
    TotalCalls,
    /// Money in all.
    TotalMicrodollars,
    /// Time since the agent was admitted, pauses left out.
    TotalWallMs,
}

impl Quota {
    /// The limit's name for people, as `tokens an hour` for a window of an hour is the driver's.
    pub fn name(self) -> &'static str {
        match self {
            Self::WindowTokens => "tokens in a window",
            Self::WindowCalls => "model calls in a window",
            Self::WindowMicrodollars => "microdollars in a window",
            Self::TotalTokens => "tokens",
            Self::TotalCalls => "model calls",
            Self::TotalMicrodollars => "microdollars",
            Self::TotalWallMs => "milliseconds of wall time",
        }
    }
}

/// When an exhausted limit gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opens {
    /// Calls in flight hold what is missing; what they leave unused comes back as they end.
    WhenCallsEnd,
    /// The window has room again, if nothing else is used till then.
    At(Moment),
    /// Only when an operator raises it ([`Event::LimitsSet`]).
    WhenRaised,
}

/// Why an agent waits for a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// What the limit hangs on.
    pub scope: Scope,
    /// Which limit.
    pub quota: Quota,
    /// Its value.
    pub limit: u64,
    /// What the call needs at the least, in the limit's unit.
    pub needed: u64,
    /// When it gives way.
    pub opens: Opens,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, quota, limit, needed, opens } = self;
        let name = quota.name();
        write!(f, "{scope}: {limit} {name} are spent ({needed} more are needed); ")?;
        match opens {
            Opens::WhenCallsEnd => f.write_str("calls in flight hold the rest"),
            Opens::At(_) => f.write_str("the window opens by itself"),
            Opens::WhenRaised => f.write_str("only a raised limit helps"),
        }
    }
}

/// Why a call is refused where waiting cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Input and the smallest output do not fit into what one request may have.
    #[error("a request of {needed} tokens is over the limit of {limit} a request of {scope}")]
    RequestTooLarge {
        /// Whose limit.
        scope: Scope,
        /// Tokens that one request may have.
        limit: u64,
        /// Input and the smallest output.
        needed: u64,
    },
    /// Even an empty window is too small for it.
    #[error("{needed} {} can never fit into the {limit} of {scope}", quota.name())]
    WindowTooSmall {
        /// Whose window.
        scope: Scope,
        /// Which one.
        quota: Quota,
        /// Its size.
        limit: u64,
        /// What the call needs at the least.
        needed: u64,
    },
    /// The agent has too many calls waiting or in flight.
    #[error("{limit} calls of one agent wait or run already")]
    TooManyCalls {
        /// [`super::Options::calls_per_agent_max`].
        limit: u32,
    },
    /// No such provider, or it has no slots.
    #[error("{0}")]
    NoProvider(Cow<'static, str>),
    /// The agent is being killed.
    #[error("the agent is being ended")]
    Ending,
}
