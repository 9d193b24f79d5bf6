//! Any order of events: nothing lost, nothing doubled, nothing left behind.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Move {
    Admit { pid: u64, parent: Option<u64>, priority: u8, tokens: u64 },
    Want { pid: u64, input: u64 },
    Tool { pid: u64 },
    End { which: usize, output: u64, ending: ModelEnding },
    Pace { which: usize, ms: u64 },
    Renice { pid: u64, priority: u8 },
    Pause { pid: u64 },
    Resume { pid: u64 },
    Kill { pid: u64 },
    Leave { pid: u64 },
    GiveUp { which: usize },
    Raise { pid: u64, tokens: u64 },
    Slots { slots: u32 },
    Pass { ms: u64 },
    Crash,
}

fn moves() -> impl Strategy<Value = Move> {
    let pid = || 1..12_u64;
    let ending = prop_oneof![
        4 => Just(ModelEnding::Finished),
        1 => Just(ModelEnding::Failed),
        2 => Just(ModelEnding::Cut)
    ];
    prop_oneof![
        4 => (pid(), proptest::option::of(pid()), 0..=100_u8, 500..20_000_u64)
            .prop_map(|(pid, parent, priority, tokens)| Move::Admit { pid, parent, priority, tokens }),
        12 => (pid(), 1..3_000_u64).prop_map(|(pid, input)| Move::Want { pid, input }),
        2 => pid().prop_map(|pid| Move::Tool { pid }),
        12 => (any::<usize>(), 0..6_000_u64, ending)
            .prop_map(|(which, output, ending)| Move::End { which, output, ending }),
        1 => (any::<usize>(), 0..5_000_u64).prop_map(|(which, ms)| Move::Pace { which, ms }),
        1 => (pid(), 0..=100_u8).prop_map(|(pid, priority)| Move::Renice { pid, priority }),
        1 => pid().prop_map(|pid| Move::Pause { pid }),
        2 => pid().prop_map(|pid| Move::Resume { pid }),
        1 => pid().prop_map(|pid| Move::Kill { pid }),
        1 => pid().prop_map(|pid| Move::Leave { pid }),
        1 => any::<usize>().prop_map(|which| Move::GiveUp { which }),
        1 => (pid(), 500..50_000_u64).prop_map(|(pid, tokens)| Move::Raise { pid, tokens }),
        1 => (0..5_u32).prop_map(|slots| Move::Slots { slots }),
        6 => (1..400_000_u64).prop_map(|ms| Move::Pass { ms }),
        1 => Just(Move::Crash),
    ]
}

fn limits(tokens: u64) -> Limits {
    Limits {
        window_tokens: Some(tokens.max(8_000)),
        total_tokens: Some(tokens * 3),
        total_calls: Some(40),
        total_wall_ms: Some(tokens * 200),
        ..Limits::AGENT
    }
}

struct Play {
    world: World,
    options: Options,
    admissions: BTreeMap<Pid, Admission>,
    next: u64,
    /// What the host's meter had when the last crash was over.
    before: Amounts,
}

impl Play {
    fn new() -> Self {
        let cut = Some(CutOptions { points: 20 });
        let host_limits = Limits { window_tokens: Some(60_000), ..Limits::FREE };
        let options = Options { cut, host_limits, tool_slots: 1, ..options(2) };
        Self {
            world: World::new(options.clone()),
            options,
            admissions: BTreeMap::new(),
            next: 0,
            before: Amounts::default(),
        }
    }

    fn pick(&self, which: usize) -> Option<Ticket> {
        let running: Vec<Ticket> = self.world.running.keys().copied().collect();
        (!running.is_empty()).then(|| running[which % running.len()])
    }

    fn make(&mut self, play: Move) {
        // Some moves fit nothing that is there: the scheduler says so and changes nothing.
        let event = match play {
            Move::Admit { pid, parent, priority, tokens } => {
                let limits = Some(limits(tokens));
                let parent = parent.map(Pid);
                let owner = parent.and_then(|parent| self.admissions.get(&parent));
                let owner = owner.map_or(OwnerId((pid % 3) as u32), |above| above.owner);
                let admission = Admission { limits, parent, owner, ..admission(pid, priority) };
                let done = self.world.step(Event::Admitted(Box::new(admission.clone())));
                if done.is_ok() {
                    self.admissions.insert(Pid(pid), admission);
                }
                return;
            }
            Move::Want { pid, input } => {
                self.next += 1;
                Event::ModelWanted(call(self.next, pid, input))
            }
            Move::Tool { pid } => {
                self.next += 1;
                Event::ToolWanted { ticket: Ticket(self.next), pid: Pid(pid) }
            }
            Move::End { which, output, ending } => {
                let Some(ticket) = self.pick(which) else { return };
                let usage = usage(output / 2, output);
                let ended = Event::ModelEnded { ticket, ending, usage };
                if self.world.step(ended).is_ok() {
                    return;
                }
                Event::ToolEnded(ticket)
            }
            Move::Pace { which, ms } => {
                let Some(ticket) = self.pick(which) else { return };
                let until = Moment(self.world.now.0 + ms * 1_000_000);
                Event::ModelPaced { ticket, until }
            }
            Move::Renice { pid, priority } => {
                Event::Reniced(Pid(pid), Priority::new(priority).expect("0 to 100"))
            }
            Move::Pause { pid } => Event::Paused(Pid(pid)),
            Move::Resume { pid } => Event::Resumed(Pid(pid)),
            Move::Kill { pid } => Event::Killed(Pid(pid)),
            Move::Leave { pid } => {
                self.admissions.remove(&Pid(pid));
                Event::Left(Pid(pid))
            }
            Move::GiveUp { which } => Event::GivenUp(Ticket(which as u64 % self.next.max(1) + 1)),
            Move::Raise { pid, tokens } => Event::LimitsSet(Scope::Agent(Pid(pid)), limits(tokens)),
            Move::Slots { slots } => Event::ProviderSlots(PROVIDER, slots),
            Move::Pass { ms } => {
                let to = Moment(self.world.now.0 + ms * 1_000_000);
                return self.world.pass_to(to);
            }
            Move::Crash => return self.crash(),
        };
        let _fits = self.world.step(event);
    }

    /// The host dies and starts again from its ledger: calls in flight are charged in full.
    fn crash(&mut self) {
        self.check_charged();
        let world = &self.world;
        let total = world.scheduler.usage(Scope::Host, world.now).expect("the host").total;
        let open = world.scheduler.calls.values().filter_map(|call| call.plan);
        let open = open.fold(Amounts::default(), |sum, plan| sum.plus(plan.reserved));
        let ledger = world.scheduler.snapshot(world.now);
        let (now, slept) = (world.now, Duration::from_secs(1));
        let restored = Scheduler::restore(self.options.clone(), &ledger, slept, now);
        self.world = World::with(restored);
        self.world.now = now;
        // Parents before their children, those whose parents have left as trees of their own.
        let mut left: Vec<Admission> = self.admissions.values().cloned().collect();
        for _ in 0..20 {
            left.retain(|admission| {
                let event = Event::Admitted(Box::new(admission.clone()));
                self.world.step(event).is_err()
            });
        }
        for admission in left {
            self.admissions.remove(&admission.pid);
        }
        self.world.step(Event::RecoveryEnded).expect("ends");
        let after = self.world.scheduler.usage(Scope::Host, now).expect("the host");
        assert_eq!(after.total, total.plus(open), "charged in full, once");
        assert_eq!(after.reserved, Amounts::default());
        self.before = after.total;
        self.world.charged = Amounts::default();
    }

    fn check_charged(&self) {
        let world = &self.world;
        let total = world.scheduler.usage(Scope::Host, world.now).expect("the host").total;
        assert_eq!(total, self.before.plus(world.charged), "what was told is what was charged");
    }

    /// Everybody leaves and every call ends: nothing may be left.
    fn close(mut self) {
        for pid in 1..12 {
            let _was_there = self.world.step(Event::Left(Pid(pid)));
        }
        assert!(self.world.pending.is_empty(), "calls that never ended: {:?}", self.world.pending);
        let running: Vec<Ticket> = self.world.running.keys().copied().collect();
        for ticket in running {
            let (ending, usage) = (ModelEnding::Failed, usage(10, 10));
            let ended = Event::ModelEnded { ticket, ending, usage };
            if self.world.step(ended).is_err() {
                self.world.step(Event::ToolEnded(ticket)).expect("one of both");
            }
        }
        self.check_charged();
        let scheduler = &self.world.scheduler;
        assert!(scheduler.calls.is_empty() && scheduler.agents.is_empty());
        assert!(scheduler.parked.is_empty() && scheduler.promised.is_empty());
        assert!(scheduler.cut_pending.is_empty() && scheduler.owners.is_empty());
        let pool = &scheduler.pools.models[&PROVIDER];
        assert_eq!((pool.running, pool.cutting, pool.queue.len()), (0, 0, 0));
        assert_eq!(scheduler.tool_slots().running, 0);
        assert!(pool.cuttable.is_empty());
        let host = scheduler.usage(Scope::Host, self.world.now).expect("the host");
        assert_eq!(host.reserved, Amounts::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_once_and_every_reservation_is_closed_once(
        plays in proptest::collection::vec(moves(), 1..250)
    ) {
        let mut play = Play::new();
        for one in plays {
            play.make(one);
        }
        play.close();
    }
}
