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

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

mod agents;
mod calls;
mod cpu;
mod estimate;
mod event;
mod identifiers;
mod ledger;
mod options;
mod parking;
mod pool;
mod queue;
mod recovery;
pub mod simulate;
mod wall;

use self::agents::{Agent, Owner};
use self::calls::{Call, State};
use self::cpu::Cpu;
pub use self::event::*;
use self::ledger::{Ledger, MeterId, Need};
pub use self::ledger::{LedgerSnapshot, ScopeUsage};
pub use self::options::*;
use self::pool::{Pool, Pools, Resource};
use self::recovery::Orphan;

/// Timers that one step serves; what is left is due at once again. It bounds a step.
const TIMERS_PER_STEP: usize = 64;

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

/// What time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A provider takes requests again, or a step was cut short.
    Pool(Resource),
    /// A window has room.
    Meter(MeterId),
    /// A guest has its CPU share again.
    Throttle(Pid),
    /// An agent's wall time is spent.
    Wall(Pid),
}

/// The scheduler: all three resources and the ledger.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    model_slice_ns: u64,
    now: Moment,
    agents: HashMap<Pid, Agent>,
    owners: HashMap<OwnerId, Owner>,
    calls: HashMap<Ticket, Call>,
    cpu: Cpu,
    pools: Pools,
    ledger: Ledger,
    /// Calls that wait for a limit: (meter, level, since, ticket).
    parked: BTreeSet<(MeterId, u8, Moment, Ticket)>,
    /// Room that is kept at a meter for calls that it let go on.
    promised: BTreeMap<MeterId, Amounts>,
    timers: BTreeSet<(Moment, Timer)>,
    /// Calls that were told to stop for a more urgent one.
    cut_pending: HashSet<Ticket>,
    /// Reservations of before a crash.
    recovered: BTreeMap<Ticket, Orphan>,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Scheduler {
    /// A scheduler without agents. Every worker counts as awake until it has asked.
    pub fn new(options: Options) -> Self {
        let patience_ns = nanoseconds(options.model_patience);
        let cpu = Cpu::new(
            options.workers,
            nanoseconds(options.cpu_slice),
            nanoseconds(options.cpu_share_period),
            nanoseconds(options.cpu_patience),
        );
        let pool = |of: &ProviderOptions| (of.id, Pool::models(of.slots, patience_ns));
        Self {
            model_slice_ns: nanoseconds(options.model_slice),
            now: Moment::default(),
            agents: HashMap::new(),
            owners: HashMap::new(),
            calls: HashMap::new(),
            cpu,
            pools: Pools {
                models: options.providers.iter().map(pool).collect(),
                tools: Pool::tools(options.tool_slots, patience_ns),
            },
            ledger: Ledger::new(&options),
            parked: BTreeSet::new(),
            promised: BTreeMap::new(),
            timers: BTreeSet::new(),
            cut_pending: HashSet::new(),
            recovered: BTreeMap::new(),
            options,
        }
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
        self.now = self.now.max(now);
        self.serve_timers(actions);
        match event {
            Event::Admitted(admission) => self.admit(&admission),
            Event::Left(pid) => self.leave(pid, actions),
            Event::Ready(pid) => self.cpu_ready(pid, actions),
            Event::Stopped { worker, ran_ns, why } => {
                self.cpu_stopped(worker, ran_ns, why, actions)
            }
            Event::ModelWanted(wanted) => self.model_wanted(&wanted, actions),
            Event::ModelSent(ticket) => self.model_sent(ticket),
            Event::ModelPaced { ticket, until } => self.model_paced(ticket, until, actions),
            Event::ModelEnded { ticket, ending, usage } => {
                self.model_ended(ticket, ending, &usage, actions)
            }
            Event::ToolWanted { ticket, pid } => {
                self.wanted(ticket, pid, Resource::Tools, Need::default(), None, actions)
            }
            Event::ToolBlocked(ticket) => self.tool_blocked(ticket, State::Blocked, actions),
            Event::ToolUnblocked(ticket) => self.tool_blocked(ticket, State::Running, actions),
            Event::ToolEnded(ticket) => self.tool_ended(ticket, actions),
            Event::GivenUp(ticket) => self.given_up(ticket, actions),
            Event::Reniced(pid, priority) => self.renice(pid, priority, actions),
            Event::Paused(pid) => self.pause(pid, actions),
            Event::Resumed(pid) => self.resume(pid, actions),
            Event::Killed(pid) => self.kill(pid, actions),
            Event::LimitsSet(scope, limits) => self.set_limits(scope, limits, actions),
            Event::ProviderSlots(provider, slots) => {
                self.set_slots(provider, slots, actions);
                Ok(())
            }
            Event::OwnerWeight(owner, weight) => self.set_owner_weight(owner, weight),
            Event::Timer => Ok(()),
            Event::RecoveredReservation { ticket, pid, reserved } => {
                self.recover(ticket, pid, reserved)
            }
            Event::RecoveredSettlement { ticket, charged } => {
                self.recover_settled(ticket, charged, actions)
            }
            Event::RecoveredUse { scope, charged, age_ns, wall_ns } => {
                self.recover_use(scope, charged, age_ns, wall_ns)
            }
            Event::RecoveryEnded => {
                self.end_recovery(actions);
                Ok(())
            }
        }
    }

    /// Who runs next on this worker; with none the worker sleeps until [`Action::WakeWorker`].
    /// A worker that has not given back what it ran gets the same again.
    pub fn next_cpu(&mut self, worker: WorkerId, now: Moment) -> Option<Slice> {
        self.now = self.now.max(now);
        self.cpu_next(worker)
    }

    /// When [`Event::Timer`] is due at the latest; none while nothing waits for time.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What a scope used and has set aside; none for an unknown one.
    pub fn usage(&self, scope: Scope, now: Moment) -> Option<ScopeUsage> {
        let mut usage = self.ledger.usage(self.ledger.find(scope)?, now);
        if let Scope::Agent(pid) | Scope::Tree(pid) = scope {
            usage.wall_ms += self.wall_pending_ms(pid, now);
        }
        Some(usage)
    }

    /// Tokens that one request of an agent may have; none where it is unknown or not limited.
    pub fn request_limit(&self, pid: Pid) -> Option<u64> {
        self.ledger.request_limit(self.ledger.find(Scope::Agent(pid))?)
    }

    /// A provider's slots, calls in flight, calls that wait for a slot.
    pub fn model_slots(&self, provider: ProviderId) -> Option<SlotUse> {
        self.pools.models.get(&provider).map(slot_use)
    }

    /// The same of tools.
    pub fn tool_slots(&self) -> SlotUse {
        slot_use(&self.pools.tools)
    }

    fn serve_timers(&mut self, actions: &mut Vec<Action>) {
        for _ in 0..TIMERS_PER_STEP {
            let Some(due @ (at, timer)) = self.timers.first().copied() else { return };
            if at > self.now {
                return;
            }
            self.timers.remove(&due);
            match timer {
                Timer::Pool(resource) => self.dispatch(resource, actions),
                Timer::Meter(meter) => self.release(meter, actions),
                Timer::Throttle(pid) => self.cpu_unthrottle(pid, actions),
                Timer::Wall(pid) => self.wall_due(pid, actions),
            }
        }
    }

    fn set_limits(
        &mut self,
        scope: Scope,
        limits: Limits,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let meter = match (self.ledger.find(scope), scope) {
            (Some(meter), _) => meter,
            (None, Scope::Owner(owner)) => {
                self.room_for_owner(owner)?;
                self.ledger.open_owner(owner, &self.options)
            }
            (None, Scope::Host | Scope::Tree(_) | Scope::Agent(_)) => {
                return Err(Misuse::NoScope(scope));
            }
        };
        self.ledger.set_limits(meter, limits);
        if let Scope::Agent(pid) | Scope::Tree(pid) = scope {
            self.rearm_wall_below(pid, actions);
        }
        self.release(meter, actions);
        Ok(())
    }

    fn set_slots(&mut self, provider: ProviderId, slots: u32, actions: &mut Vec<Action>) {
        let patience_ns = nanoseconds(self.options.model_patience);
        let pool =
            self.pools.models.entry(provider).or_insert_with(|| Pool::models(0, patience_ns));
        pool.slots = slots;
        self.dispatch(Resource::Model(provider), actions);
    }
}

fn slot_use(pool: &Pool) -> SlotUse {
    let waiting = u32::try_from(pool.queue.len()).unwrap_or(u32::MAX);
    SlotUse { slots: pool.slots, running: pool.running, waiting }
}

#[cfg(test)]
mod tests;
