//! The words in and out: events, actions, reasons. Everything that can happen is here.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use super::identifiers::*;
use super::options::{Limits, Price};

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
    /// call goes back to its place. Where no cut was asked for it is [`ModelEnding::Failed`].
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
    /// An operator set the limits of a scope; what they open goes on at once. An owner may be one
    /// whose agents are still to come.
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
    /// What a scope of an agent that a host took up again was charged before, with all that hold
    /// it; what is younger than a window counts in the windows too.
    RecoveredUse {
        /// The agent, or its tree for what its children used that are over.
        scope: Scope,
        /// What was charged.
        charged: Amounts,
        /// Nanoseconds since then.
        age_ns: u64,
        /// Nanoseconds of wall time that the agent had lived.
        wall_ns: u64,
    },
    /// After a restore and its records: reservations that are still open are charged in full, each
    /// with an [`Action::Settled`].
    RecoveryEnded,
}

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
