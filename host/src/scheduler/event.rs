//! The words in and out: events, actions, identifiers. Everything that can happen is here.

use serde::{Deserialize, Serialize};

use super::options::{Limits, Price};
use super::refusal::{Exhausted, Rejection, Scope};

/// A point in time: nanoseconds since the scheduler's clock began. The driver owns the clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moment(pub u64);

impl Moment {
    /// The end of time: what never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment and so many nanoseconds, at most [`Moment::NEVER`].
    #[must_use]
    pub fn after_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this; zero where `earlier` is later.
    pub fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

pub use crate::types::Pid;

/// Whoever agents run for; the driver maps names to numbers and keeps them across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnerId(pub u32);

/// A provider of models: a pool of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderId(pub u16);

/// One thread that runs guests: 0 to [`super::Options::workers`] less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// One model or tool call, unique among all that ever were; the driver numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// How urgent: 0 to 100, lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

impl Priority {
    /// The least urgent.
    pub const LEAST: Self = Self(100);

    /// None above 100.
    pub const fn new(value: u8) -> Option<Self> {
        if value <= Self::LEAST.0 { Some(Self(value)) } else { None }
    }

    /// 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    /// The middle.
    fn default() -> Self {
        Self(50)
    }
}

/// An agent as it enters.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its number.
    pub pid: Pid,
    /// Whose child it is; its budgets draw on the parent's.
    pub parent: Option<Pid>,
    /// Whom it runs for; a child has its parent's.
    pub owner: OwnerId,
    /// How urgent its CPU and its calls are.
    pub priority: Priority,
    /// Its share against agents of the same priority: 1 to 1,000, usually 1.
    pub weight: u16,
    /// Windows and budgets of its own; none takes [`super::Options::agent_limits`].
    pub limits: Option<Limits>,
    /// Windows and budgets of it and all below it together; what is left free in it is free.
    pub tree_limits: Limits,
    /// CPU it may use at most, in thousandths of one core (500 is `--cpu 50%`); none is all.
    pub cpu_share_permille: Option<u16>,
}

/// A model call that an agent wants to make.
#[derive(Clone, Debug)]
pub struct ModelCall {
    /// Its number.
    pub ticket: Ticket,
    /// Who asks.
    pub pid: Pid,
    /// Whose slots it needs.
    pub provider: ProviderId,
    /// The prompt's length, as counted or estimated.
    pub input_tokens: u64,
    /// What the caller asked for at most; none leaves it to the policy.
    pub output_tokens_asked: Option<u64>,
    /// What the model can give at most.
    pub output_tokens_model: Option<u64>,
    /// What tokens cost.
    pub price: Price,
}

/// What a model call used, as its provider reported or the host counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// All prompt tokens, cached ones too.
    pub input_tokens: u64,
    /// All tokens that came back.
    pub output_tokens: u64,
    /// The part of `input_tokens` that a cache served; weighs a tenth.
    pub cache_read_tokens: u64,
    /// Millionths of a US dollar; none has the call's [`Price`] reckon it.
    pub microdollars: Option<u64>,
}

/// How a started model call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelEnding {
    /// An answer came.
    Finished,
    /// It failed, or its caller gave it up: what it used is charged as wasted.
    Failed,
    /// It was stopped because of [`Action::CutModel`]: what it used is charged as wasted, and the
    /// call goes back to its place.
    Cut,
}

/// Why a guest gave its worker back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It could go on: its slice is over, it was preempted, or it yielded.
    StillReady,
    /// It waits for something; [`Event::Ready`] says when it has come.
    Blocked,
}

/// Everything that can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// An agent entered. It is not ready yet.
    Admitted(Box<Admission>),
    /// An agent is gone. Waiting calls of it are withdrawn; started ones still end by their event.
    Left(Pid),
    /// An agent can use CPU. Nothing happens where it already is ready or runs; one that runs while
    /// this comes is ready again after [`Stop::Blocked`].
    Ready(Pid),
    /// A worker gave back what [`Scheduler::next_cpu`](super::Scheduler::next_cpu) gave it.
    Stopped {
        /// Which worker.
        worker: WorkerId,
        /// Nanoseconds that the guest ran.
        ran_ns: u64,
        /// Whether it can go on.
        why: Stop,
    },
    /// An agent wants a model call.
    ModelWanted(ModelCall),
    /// The request of a started call has been sent: its service is measured from here.
    ModelSent(Ticket),
    /// The provider takes no request before `until`: the started call keeps its place and its
    /// reservation, its slot is free, and no call of this provider starts before then.
    ModelPaced {
        /// The call that could not go.
        ticket: Ticket,
        /// When the provider may be asked again.
        until: Moment,
    },
    /// A started call ended, with what it used (also when it failed or was cut).
    ModelEnded {
        /// Which call.
        ticket: Ticket,
        /// How.
        ending: ModelEnding,
        /// What it used.
        usage: ModelUsage,
    },
    /// An agent wants a tool call.
    ToolWanted {
        /// The call.
        ticket: Ticket,
        /// Who asks.
        pid: Pid,
    },
    /// A started tool call waits for a call of its own: its slot is free meanwhile.
    ToolBlocked(Ticket),
    /// It goes on. It takes a slot at once, even when that makes one too many for a while.
    ToolUnblocked(Ticket),
    /// A started tool call ended.
    ToolEnded(Ticket),
    /// The caller gave a call up. A waiting one is withdrawn, a started one is aborted.
    GivenUp(Ticket),
    /// An agent has another priority from now on.
    Reniced(Pid, Priority),
    /// An operator or parent pauses an agent: no CPU, and no call of it starts.
    Paused(Pid),
    /// The pause is over.
    Resumed(Pid),
    /// An agent is to end: its waiting calls are withdrawn, its started ones aborted, it gets no
    /// CPU. [`Event::Left`] follows when it is gone.
    Killed(Pid),
    /// An operator set the limits of a scope; what they open goes on at once.
    LimitsSet(Scope, Limits),
    /// A provider has so many slots from now on; new providers are named so too.
    ProviderSlots(ProviderId, u32),
    /// An owner's share of model service against other owners, 1 (as at first) to 1,000.
    OwnerWeight(OwnerId, u16),
    /// Only time has passed.
    Timer,
    /// After [`Scheduler::restore`](super::Scheduler::restore): an [`Action::StartModel`] that was
    /// recorded after the snapshot.
    RecoveredReservation {
        /// The call of before the crash.
        ticket: Ticket,
        /// Who asked.
        pid: Pid,
        /// What was set aside.
        reserved: Amounts,
    },
    /// After a restore: an [`Action::Settled`] that was recorded after the snapshot.
    RecoveredSettlement {
        /// The call of before the crash.
        ticket: Ticket,
        /// What it was charged.
        charged: Amounts,
    },
    /// After a restore and its records: reservations that are still open are charged in full, each
    /// with an [`Action::Settled`].
    RecoveryEnded,
}

/// Amounts of what the ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Tokens; cache reads weigh a tenth, rounded up.
    pub tokens: u64,
    /// Model calls.
    pub calls: u64,
    /// Millionths of a US dollar.
    pub microdollars: u64,
}

impl Amounts {
    /// The sum, field by field.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            calls: self.calls.saturating_add(other.calls),
            microdollars: self.microdollars.saturating_add(other.microdollars),
        }
    }

    /// What is left without `other`, field by field; nothing where it is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            calls: self.calls.saturating_sub(other.calls),
            microdollars: self.microdollars.saturating_sub(other.microdollars),
        }
    }
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A sleeping worker should ask [`Scheduler::next_cpu`](super::Scheduler::next_cpu).
    WakeWorker(WorkerId),
    /// A running guest should stop now; it comes back as [`Event::Stopped`].
    Preempt {
        /// The worker it runs on.
        worker: WorkerId,
        /// The guest.
        pid: Pid,
    },
    /// Make the call, with this output maximum in the request. The reservation is made; whoever
    /// keeps it durable writes it before the request is sent.
    StartModel {
        /// The call.
        ticket: Ticket,
        /// Who asked.
        pid: Pid,
        /// Whose slot it holds.
        provider: ProviderId,
        /// Always sent.
        output_tokens_max: u64,
        /// What is set aside in every scope.
        reserved: Amounts,
    },
    /// Stop the in-flight call of a far less urgent agent; it ends as [`ModelEnding::Cut`] (or as
    /// it would have, where it was quicker) and is started again later. Once in a call's life.
    CutModel(Ticket),
    /// Stop this started model or tool call for good: nobody waits for it. It still ends by its
    /// event.
    Abort(Ticket),
    /// A reservation is closed.
    Settled {
        /// The call; the same one twice when it was cut between.
        ticket: Ticket,
        /// What it is charged.
        charged: Amounts,
        /// The part of it that gave no answer.
        wasted: Amounts,
    },
    /// Make the tool call.
    StartTool {
        /// The call.
        ticket: Ticket,
        /// Who asked.
        pid: Pid,
    },
    /// An agent cannot go on because of a limit. Told again when the reason changes.
    Pause {
        /// Which agent.
        pid: Pid,
        /// The call that waits; none when the agent's wall time is spent.
        ticket: Option<Ticket>,
        /// Why, and until when.
        why: Exhausted,
    },
    /// The limit gave way.
    Resume {
        /// Which agent.
        pid: Pid,
        /// The call of the [`Action::Pause`] that is over.
        ticket: Option<Ticket>,
    },
    /// The call cannot be made, ever.
    Reject {
        /// The call.
        ticket: Ticket,
        /// Who asked.
        pid: Pid,
        /// Why.
        why: Rejection,
    },
    /// The call will not be made: its caller gave it up, left or was killed.
    Withdraw {
        /// The call.
        ticket: Ticket,
        /// Who asked.
        pid: Pid,
    },
}

/// One turn of CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Who runs.
    pub pid: Pid,
    /// When it must give the worker back.
    pub until: Moment,
}

/// An event that does not fit what went before: the driver's mistake, and nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// The pid was never admitted or has left.
    #[error("no agent {0}")]
    NoAgent(Pid),
    /// The pid is admitted already.
    #[error("agent {0} is admitted already")]
    AgentTwice(Pid),
    /// A child of a parent that is not there, or of another owner's.
    #[error("agent {0} is no child of its parent's owner")]
    WrongParent(Pid),
    /// As many agents or owners as [`super::Options`] allows, or a tree too deep.
    #[error("no room: {what} is at its limit of {limit}")]
    Full {
        /// What is full.
        what: &'static str,
        /// Its limit.
        limit: u64,
    },
    /// No such call, or not in the state that the event needs.
    #[error("call {} is not there or not in a state for this", .0.0)]
    WrongCall(Ticket),
    /// The call's number is in use.
    #[error("call {} is there already", .0.0)]
    CallTwice(Ticket),
    /// No such worker, or it runs nothing.
    #[error("worker {} is not there or runs nothing", .0.0)]
    WrongWorker(WorkerId),
    /// No such scope.
    #[error("{0} is not known")]
    NoScope(Scope),
}
