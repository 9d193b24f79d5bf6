//! Who is next: the pure scheduler of CPU slices, model slots and tool slots, and the quota ledger.
//!
//! It knows nothing of threads, clocks, networks, storage or WebAssembly: [`Scheduler::step`] takes
//! an [`Event`] and the present [`Moment`] and answers with [`Action`]s, so that a simulation with
//! a virtual clock runs the very policy of the host.
//!
//! # Protocol
//! - An agent is [`Event::Admitted`] once and [`Event::Left`] once. Between them it is ready for
//!   CPU, running, or waits for calls.
//! - **CPU is pulled**: a worker asks [`Scheduler::next_cpu`]; when it gets nothing it sleeps until
//!   [`Action::WakeWorker`] names it. What it ran comes back as [`Event::Stopped`].
//!   [`Action::Preempt`] asks for that before the slice is over.
//! - **Slots are pushed**: [`Event::ModelWanted`] and [`Event::ToolWanted`] end in exactly one of
//!   started, rejected, withdrawn ([`Action::StartModel`], [`Action::StartTool`],
//!   [`Action::Reject`], [`Action::Withdraw`]). A started call ends in one
//!   [`Event::ModelEnded`] or [`Event::ToolEnded`], and holds its slot until then.
//! - A call that was cut or paced after it was started goes back to its place and is started again;
//!   to the caller it is the same call.
//! - Time passes by `now` alone: it never goes back. Whoever drives calls [`Event::Timer`] at
//!   [`Scheduler::next_deadline`] or later.

use std::time::Duration;

mod event;
mod ledger;
mod options;

pub use self::event::*;
pub use self::ledger::{LedgerSnapshot, ScopeUsage};
pub use self::options::*;

/// How full a resource is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotUse {
    /// Calls in flight at most.
    pub slots: u32,
    /// Calls in flight.
    pub running: u32,
    /// Calls that wait for a slot.
    pub waiting: u32,
}

/// The scheduler: all three resources and the ledger.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
}

impl Scheduler {
    /// A scheduler without agents. Every worker counts as awake until it has asked.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Takes what happened at `now` and appends what is to be done, in order.
    ///
    /// # Errors
    /// The event does not fit what went before; time passed, but the event changed nothing.
    pub fn step(
        &mut self,
        event: Event,
        now: Moment,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let _ = (event, now, actions, &self.options);
        Ok(())
    }

    /// Who runs next on this worker; with none the worker sleeps until [`Action::WakeWorker`].
    /// A worker that has not given back what it ran gets the same again.
    pub fn next_cpu(&mut self, worker: WorkerId, now: Moment) -> Option<Slice> {
        let _ = (worker, now);
        None
    }

    /// When [`Event::Timer`] is due at the latest; none while nothing waits for time.
    pub fn next_deadline(&self) -> Option<Moment> {
        None
    }

    /// A scheduler with the ledger of an earlier one. `slept` is the time since its snapshot:
    /// windows slid meanwhile, wall time of agents did not pass. Agents are admitted anew with
    /// their old pids and find what they had used. Then come the recovered records, then
    /// [`Event::RecoveryEnded`].
    pub fn restore(options: Options, ledger: LedgerSnapshot, slept: Duration, now: Moment) -> Self {
        let _ = (ledger, slept, now);
        Self { options }
    }

    /// All that the ledger knows, reservations in flight too.
    pub fn snapshot(&self, now: Moment) -> LedgerSnapshot {
        let _ = now;
        LedgerSnapshot {}
    }

    /// What a scope used and has set aside; none for an unknown one.
    pub fn usage(&self, scope: Scope, now: Moment) -> Option<ScopeUsage> {
        let _ = (scope, now);
        None
    }

    /// A provider's slots, calls in flight, calls that wait for a slot.
    pub fn model_slots(&self, provider: ProviderId) -> Option<SlotUse> {
        let _ = provider;
        None
    }

    /// The same of tools.
    pub fn tool_slots(&self) -> SlotUse {
        SlotUse::default()
    }
}
