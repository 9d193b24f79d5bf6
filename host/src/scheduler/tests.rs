//! What the scheduler promises, each promise a test. A driver with a virtual clock plays the host.

mod cpu;
mod ledger;
mod model;
mod random;
mod shares;
mod starvation;
mod trace;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const PROVIDER: ProviderId = ProviderId(1);

pub(super) fn at(seconds: u64) -> Moment {
    Moment(seconds * SECOND)
}

pub(super) fn admission(pid: u64, priority: u8) -> Admission {
    Admission {
        pid: Pid(pid),
        parent: None,
        owner: OwnerId(1),
        priority: Priority::new(priority).expect("0 to 100"),
        weight: 1,
        limits: Some(Limits::FREE),
        tree_limits: Limits::FREE,
        cpu_share_permille: None,
    }
}

pub(super) fn call(ticket: u64, pid: u64, input_tokens: u64) -> ModelCall {
    ModelCall {
        ticket: Ticket(ticket),
        pid: Pid(pid),
        provider: PROVIDER,
        input_tokens,
        output_tokens_asked: None,
        output_tokens_model: None,
        price: Price::default(),
    }
}

pub(super) fn usage(input_tokens: u64, output_tokens: u64) -> ModelUsage {
    ModelUsage { input_tokens, output_tokens, ..ModelUsage::default() }
}

pub(super) fn options(slots: u32) -> Options {
    Options { providers: vec![ProviderOptions { id: PROVIDER, slots }], ..Options::default() }
}

/// A scheduler and all that it was told and said, checked as it goes.
pub(super) struct World {
    pub(super) scheduler: Scheduler,
    pub(super) now: Moment,
    /// Wanted and neither started, rejected nor withdrawn.
    pub(super) pending: BTreeSet<Ticket>,
    /// Started, with their reservation.
    pub(super) running: BTreeMap<Ticket, (Pid, Amounts)>,
    pub(super) cut: BTreeSet<Ticket>,
    pub(super) paused: BTreeMap<Ticket, Exhausted>,
    pub(super) charged: Amounts,
    pub(super) wasted: Amounts,
    pub(super) last: Vec<Action>,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        Self::with(Scheduler::new(options))
    }

    pub(super) fn with(scheduler: Scheduler) -> Self {
        Self {
            scheduler,
            now: Moment::default(),
            pending: BTreeSet::new(),
            running: BTreeMap::new(),
            cut: BTreeSet::new(),
            paused: BTreeMap::new(),
            charged: Amounts::default(),
            wasted: Amounts::default(),
            last: Vec::new(),
        }
    }

    pub(super) fn admit(&mut self, admission: Admission) {
        self.step(Event::Admitted(Box::new(admission))).expect("is admitted");
    }

    pub(super) fn want(&mut self, wanted: ModelCall) {
        self.step(Event::ModelWanted(wanted)).expect("is wanted");
    }

    pub(super) fn end(&mut self, ticket: u64, usage: ModelUsage) {
        self.end_as(ticket, ModelEnding::Finished, usage);
    }

    pub(super) fn end_as(&mut self, ticket: u64, ending: ModelEnding, usage: ModelUsage) {
        let ticket = Ticket(ticket);
        self.step(Event::ModelEnded { ticket, ending, usage }).expect("was running");
    }

    /// Moves the clock, and serves what is due till then at its own moment.
    pub(super) fn pass_to(&mut self, now: Moment) {
        let mut turns = 0;
        while let Some(due) = self.scheduler.next_deadline().filter(|due| *due <= now) {
            turns += 1;
            assert!(turns < 10_000, "timers that never end: {:?}", self.scheduler.timers.first());
            self.now = self.now.max(due);
            self.step(Event::Timer).expect("time passes");
        }
        self.now = now;
        self.step(Event::Timer).expect("time passes");
    }

    pub(super) fn step(&mut self, event: Event) -> Result<(), Misuse> {
        let mut actions = Vec::new();
        let wanted = match &event {
            Event::ModelWanted(call) => Some(call.ticket),
            Event::ToolWanted { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let paced = match &event {
            Event::ModelPaced { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let ended = match &event {
            Event::ModelEnded { ticket, ending, .. } => Some((*ticket, *ending)),
            Event::ToolEnded(ticket) => Some((*ticket, ModelEnding::Finished)),
            _ => None,
        };
        let gone = ended.and_then(|(ticket, _)| self.running.remove(&ticket));
        let done = self.scheduler.step(event, self.now, &mut actions);
        if done.is_ok() {
            if let Some(ticket) = wanted {
                assert!(self.pending.insert(ticket), "{ticket:?} twice");
            }
            if let Some(ticket) = paced
                && self.running.remove(&ticket).is_some()
                && !actions
                    .iter()
                    .any(|a| matches!(a, Action::Settled { ticket: t, .. } if *t == ticket))
            {
                self.pending.insert(ticket);
            }
            if let Some((ticket, ModelEnding::Cut)) = ended
                && self.cut.contains(&ticket)
                && self.scheduler.calls.contains_key(&ticket)
            {
                self.pending.insert(ticket);
            }
        } else if let (Some((ticket, _)), Some(gone)) = (ended, gone) {
            self.running.insert(ticket, gone);
        }
        self.note(&actions);
        self.last = actions;
        self.check();
        done
    }

    fn note(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::StartModel { ticket, pid, reserved, .. } => {
                    assert!(self.pending.remove(ticket), "{ticket:?} started, not pending");
                    self.paused.remove(ticket);
                    assert!(self.running.insert(*ticket, (*pid, *reserved)).is_none());
                }
                Action::StartTool { ticket, pid } => {
                    assert!(self.pending.remove(ticket), "{ticket:?} started, not pending");
                    let none = Amounts::default();
                    assert!(self.running.insert(*ticket, (*pid, none)).is_none());
                }
                Action::Reject { ticket, .. } | Action::Withdraw { ticket, .. } => {
                    assert!(self.pending.remove(ticket), "{ticket:?} ended, not pending");
                    self.paused.remove(ticket);
                }
                Action::CutModel(ticket) => {
                    assert!(self.running.contains_key(ticket));
                    assert!(self.cut.insert(*ticket), "{ticket:?} cut twice");
                }
                Action::Settled { charged, wasted, .. } => {
                    self.charged = self.charged.plus(*charged);
                    self.wasted = self.wasted.plus(*wasted);
                }
                Action::Pause { ticket: Some(ticket), why, .. } => {
                    self.paused.insert(*ticket, *why);
                }
                Action::Resume { ticket: Some(ticket), .. } => {
                    self.paused.remove(ticket);
                }
                Action::Abort(ticket) => assert!(self.running.contains_key(ticket)),
                Action::Pause { ticket: None, .. }
                | Action::Resume { ticket: None, .. }
                | Action::WakeWorker(_)
                | Action::Preempt { .. } => {}
            }
        }
    }

    /// No slot idle while a call may start; what is set aside is what is in flight.
    pub(super) fn check(&self) {
        let slots = self.scheduler.model_slots(PROVIDER).expect("a provider");
        let pool = &self.scheduler.pools.models[&PROVIDER];
        let more_due = self.scheduler.next_deadline().is_some_and(|due| due <= self.now);
        if !more_due && self.now >= pool.paced_until {
            assert!(slots.running >= slots.slots || slots.waiting == 0, "idle: {slots:?}");
        }
        let tools = self.scheduler.tool_slots();
        assert!(more_due || tools.running >= tools.slots || tools.waiting == 0);
        let host = self.scheduler.usage(Scope::Host, self.now).expect("the host");
        let plans = self.scheduler.calls.values().filter_map(|call| call.plan);
        let set_aside = plans.fold(Amounts::default(), |sum, plan| sum.plus(plan.reserved));
        if self.scheduler.recovered.is_empty() {
            assert_eq!(host.reserved, set_aside, "a reservation was lost or doubled");
        }
    }
}
