//! What an operator can set, with the defaults and where they come from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scheduler::ProviderId;

/// A limit on each field that is set; none leaves it free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Tokens of one request, input and output maximum together.
    pub request_tokens: Option<u64>,
    /// Tokens in any window of [`Options::window`].
    pub window_tokens: Option<u64>,
    /// Model calls in any window.
    pub window_calls: Option<u64>,
    /// Millionths of a US dollar in any window.
    pub window_microdollars: Option<u64>,
    /// Tokens in all.
    pub total_tokens: Option<u64>,
    /// Model calls in all.
    pub total_calls: Option<u64>,
    /// Millionths of a US dollar in all.
    pub total_microdollars: Option<u64>,
    /// Milliseconds since admission, pauses left out. Of an agent or tree; nothing elsewhere.
    pub total_wall_ms: Option<u64>,
}

impl Limits {
    /// An agent's own at first: 10,000 tokens a request, 100,000 tokens and 1,000 calls a window.
    pub const AGENT: Self = Self {
        request_tokens: Some(10_000),
        window_tokens: Some(100_000),
        window_calls: Some(1_000),
        ..Self::FREE
    };
    /// No limit at all.
    pub const FREE: Self = Self {
        request_tokens: None,
        window_tokens: None,
        window_calls: None,
        window_microdollars: None,
        total_tokens: None,
        total_calls: None,
        total_microdollars: None,
        total_wall_ms: None,
    };
}

/// What tokens of a model cost, in millionths of a US dollar a million tokens (a price list's
/// dollars a million tokens, times 1,000,000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Prompt tokens.
    pub input: u64,
    /// Prompt tokens that a cache serves.
    pub cache_read: u64,
    /// Tokens that come back.
    pub output: u64,
}

/// A provider and how many calls it may have in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderOptions {
    /// Its number.
    pub id: ProviderId,
    /// Calls in flight at most.
    pub slots: u32,
}

/// When a call in flight may be cut for a more urgent one, and started again later. The operator
/// pays for what it had used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOptions {
    /// The urgent one's priority must be lower by so many points.
    pub points: u8,
}

/// All that can be set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that run guests.
    pub workers: u16,
    /// One turn of CPU.
    pub cpu_slice: Duration,
    /// Over how long a CPU share is kept: a guest may use its share of this in one go.
    pub cpu_share_period: Duration,
    /// Model service after which a run's place among its equals is reckoned anew.
    pub model_slice: Duration,
    /// Providers known from the start.
    pub providers: Vec<ProviderOptions>,
    /// Tool calls at once.
    pub tool_slots: u32,
    /// A model or tool call that has waited so long for each point of its priority is due: it and
    /// its like get at least half of what is begun from then on, whatever is more urgent.
    pub model_patience: Duration,
    /// The same for a ready guest and CPU.
    pub cpu_patience: Duration,
    /// None never cuts.
    pub cut: Option<CutOptions>,
    /// Length of the sliding windows.
    pub window: Duration,
    /// Limits of the host.
    pub host_limits: Limits,
    /// Limits of an owner that has none of its own.
    pub owner_limits: Limits,
    /// Limits of an agent that brings none of its own.
    pub agent_limits: Limits,
    /// Agents at once.
    pub agents_max: u32,
    /// Owners ever known at once.
    pub owners_max: u32,
    /// Generations of a tree.
    pub depth_max: u8,
    /// Calls of one agent that wait or run.
    pub calls_per_agent_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 2,
            cpu_slice: Duration::from_millis(10),
            cpu_share_period: Duration::from_millis(100),
            model_slice: Duration::from_secs(60),
            providers: Vec::new(),
            tool_slots: 64,
            // Of priority 60: 219 s; tried on a public trace of arrivals at 33 to 40 slots.
            model_patience: Duration::from_millis(3_646),
            cpu_patience: Duration::from_millis(20),
            cut: None,
            window: Duration::from_secs(3600),
            host_limits: Limits::FREE,
            owner_limits: Limits::FREE,
            agent_limits: Limits::AGENT,
            agents_max: 20_000,
            owners_max: 1_024,
            depth_max: 16,
            calls_per_agent_max: 64,
        }
    }
}
