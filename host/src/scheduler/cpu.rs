//! CPU turns: which guest runs on which worker, and who stops it.

use super::Scheduler;
use super::Timer;
use super::agents::Agent;
use super::event::{Action, Misuse, Moment, OwnerId, Pid, Slice, Stop, WorkerId};
use super::pool::TIME_UNITS;
use super::queue::{Line, Place, Queue, Run, Share};

/// All owners share CPU by agent: a slice costs nobody money.
const EVERYBODY: OwnerId = OwnerId(0);

/// What a guest does about CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It waits for something else, or is halted.
    Idle,
    /// It is ready.
    Waiting(Place),
    /// It has used its share, until then.
    Throttled(Moment),
    /// It runs.
    Running,
}

/// An agent's part in CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentCpu {
    turn: Turn,
    run: Run,
    /// Ready as soon as it may be: it was woken while it ran or while it was halted.
    pending: bool,
    share_permille: Option<u16>,
    /// Until when its share is used up in advance.
    used_until: Moment,
}

impl AgentCpu {
    pub(super) fn new(share_permille: Option<u16>) -> Self {
        Self {
            turn: Turn::Idle,
            run: Run::default(),
            pending: false,
            share_permille: share_permille.map(|share| share.max(1)),
            used_until: Moment::default(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Running {
    pid: Pid,
    line: Line,
    /// Since when it had waited.
    waited_since: Moment,
    until: Moment,
    is_preempted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Worker {
    /// It will ask.
    Awake,
    Asleep,
    Running(Running),
}

#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) queue: Queue,
    workers: Vec<Worker>,
    /// Workers that will ask.
    awake: usize,
    slice_ns: u64,
    period_ns: u64,
}

impl Cpu {
    pub(super) fn new(workers: u16, slice_ns: u64, period_ns: u64, patience_ns: u64) -> Self {
        Self {
            queue: Queue::new(patience_ns, 1),
            workers: vec![Worker::Awake; usize::from(workers)],
            awake: usize::from(workers),
            slice_ns,
            period_ns,
        }
    }
}

impl Scheduler {
    pub(super) fn cpu_next(&mut self, worker: WorkerId) -> Option<Slice> {
        let now = self.now;
        match self.cpu.workers.get(usize::from(worker.0))? {
            Worker::Running(running) => {
                return Some(Slice { pid: running.pid, until: running.until });
            }
            Worker::Awake => self.cpu.awake -= 1,
            Worker::Asleep => {}
        }
        let slice_ns = self.cpu.slice_ns;
        let Some(choice) = self.cpu.queue.choose(now) else {
            self.cpu.workers[usize::from(worker.0)] = Worker::Asleep;
            return None;
        };
        let pid = Pid(choice.id);
        let agent = self.agents.get_mut(&pid).expect("invariant: who waits for CPU is admitted");
        let Turn::Waiting(place) = agent.cpu.turn else {
            unreachable!("invariant: who is in the queue waits")
        };
        self.cpu.queue.remove(&place);
        self.cpu.queue.begun(choice.contest, slice_ns);
        agent.cpu.turn = Turn::Running;
        let until = now.after_ns(slice_ns);
        let running = Running {
            pid,
            line: place.line,
            waited_since: place.since,
            until,
            is_preempted: false,
        };
        self.cpu.workers[usize::from(worker.0)] = Worker::Running(running);
        Some(Slice { pid, until })
    }

    pub(super) fn cpu_ready(&mut self, pid: Pid, actions: &mut Vec<Action>) -> Result<(), Misuse> {
        let agent = self.agent_mut(pid)?;
        match agent.cpu.turn {
            Turn::Running => agent.cpu.pending = true,
            Turn::Idle if agent.is_halted() => agent.cpu.pending = true,
            Turn::Idle => self.cpu_enter(pid, self.now, actions),
            Turn::Waiting(_) | Turn::Throttled(_) => {}
        }
        Ok(())
    }

    /// An idle agent becomes ready, or throttled where its share is used up.
    fn cpu_enter(&mut self, pid: Pid, since: Moment, actions: &mut Vec<Action>) {
        let throttled = self.throttled_until(pid);
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        let line = Line { level: agent.priority.get(), owner: EVERYBODY };
        let cpu = &mut agent.cpu;
        cpu.pending = false;
        if !cpu.run.is_active() {
            self.cpu.queue.join(&mut cpu.run, line, agent.weight);
        }
        if let Some(until) = throttled {
            cpu.turn = Turn::Throttled(until);
            self.cpu.queue.part(&mut cpu.run, agent.weight);
            self.timers.insert((until, Timer::Throttle(pid)));
            return;
        }
        let place = self.cpu.queue.place(&cpu.run, since, since.0, pid.0);
        cpu.turn = Turn::Waiting(place);
        self.cpu.queue.push(&place);
        self.cpu_kick(line.level, actions);
    }

    /// Until when its own share or one above it is used up, where one is.
    fn throttled_until(&self, pid: Pid) -> Option<Moment> {
        let (now, period_ns) = (self.now, self.cpu.period_ns);
        let above = |agent: &&Agent| agent.parent.and_then(|parent| self.agents.get(&parent));
        let shares = std::iter::successors(self.agents.get(&pid), above);
        let used_up = shares.filter_map(|Agent { cpu, .. }| {
            // A share of one half may use half a period in one go: then half a period is owed.
            let unshared = u64::from(1_000_u16.saturating_sub(cpu.share_permille?));
            let most_owed = (period_ns / 1_000 * unshared).max(1);
            (cpu.used_until.since_ns(now) >= most_owed).then_some(cpu.used_until)
        });
        used_up.max()
    }

    /// What a guest ran counts in its own share and in those of all above it.
    fn charge_shares(&mut self, pid: Pid, ran_ns: u64) {
        let began = Moment(self.now.0.saturating_sub(ran_ns));
        let mut next = Some(pid);
        while let Some(agent) = next.and_then(|pid| self.agents.get_mut(&pid)) {
            let cpu = &mut agent.cpu;
            if let Some(permille) = cpu.share_permille {
                let takes_ns = ran_ns.saturating_mul(1_000) / u64::from(permille);
                cpu.used_until = cpu.used_until.max(began).after_ns(takes_ns);
            }
            next = agent.parent;
        }
    }

    /// Somebody of this level became ready: wakes a worker, or stops a less urgent guest.
    fn cpu_kick(&mut self, level: u8, actions: &mut Vec<Action>) {
        if self.cpu.awake >= self.cpu.queue.len() {
            return;
        }
        let workers = &mut self.cpu.workers;
        if let Some(at) = workers.iter().position(|worker| matches!(worker, Worker::Asleep)) {
            workers[at] = Worker::Awake;
            self.cpu.awake += 1;
            actions.push(Action::WakeWorker(worker_id(at)));
            return;
        }
        let mut worst: Option<(usize, &mut Running)> = None;
        for (at, worker) in workers.iter_mut().enumerate() {
            if let Worker::Running(running) = worker
                && !running.is_preempted
                && running.line.level > worst.as_ref().map_or(level, |worst| worst.1.line.level)
            {
                worst = Some((at, running));
            }
        }
        if let Some((at, running)) = worst {
            running.is_preempted = true;
            actions.push(Action::Preempt { worker: worker_id(at), pid: running.pid });
        }
    }

    pub(super) fn cpu_stopped(
        &mut self,
        worker: WorkerId,
        ran_ns: u64,
        why: Stop,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let slot = self.cpu.workers.get_mut(usize::from(worker.0));
        let Some(slot @ Worker::Running(_)) = slot else {
            return Err(Misuse::WrongWorker(worker));
        };
        let Worker::Running(running) = std::mem::replace(slot, Worker::Awake) else {
            return Err(Misuse::WrongWorker(worker));
        };
        self.cpu.awake += 1;
        let (now, cost) = (self.now, ran_ns.saturating_mul(TIME_UNITS));
        self.charge_shares(running.pid, ran_ns);
        let Some(agent) = self.agents.get_mut(&running.pid) else {
            return Ok(());
        };
        let share = Share { run_weight: agent.weight, owner_weight: 1 };
        let cpu = &mut agent.cpu;
        self.cpu.queue.settle(running.line, Some(&mut cpu.run), share, 0, cost);
        cpu.turn = Turn::Idle;
        let goes_on = why == Stop::StillReady || cpu.pending;
        cpu.pending = goes_on;
        if goes_on && !agent.is_halted() {
            // One that got little of its slice has not had its turn: it keeps its age.
            let had_turn = ran_ns >= self.cpu.slice_ns / 2;
            let since = if had_turn { now } else { running.waited_since };
            self.cpu_enter(running.pid, since, actions);
        } else {
            self.cpu.queue.part(&mut agent.cpu.run, agent.weight);
        }
        Ok(())
    }

    pub(super) fn cpu_unthrottle(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        if matches!(agent.cpu.turn, Turn::Throttled(_)) {
            agent.cpu.turn = Turn::Idle;
            self.cpu_enter(pid, self.now, actions);
        }
    }

    /// No CPU for it until [`Scheduler::cpu_unhalt`].
    pub(super) fn cpu_halt(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        let cpu = &mut agent.cpu;
        match cpu.turn {
            Turn::Idle => {}
            Turn::Waiting(place) => {
                self.cpu.queue.remove(&place);
                self.cpu.queue.part(&mut cpu.run, agent.weight);
                (cpu.turn, cpu.pending) = (Turn::Idle, true);
            }
            Turn::Throttled(until) => {
                self.timers.remove(&(until, Timer::Throttle(pid)));
                (cpu.turn, cpu.pending) = (Turn::Idle, true);
            }
            Turn::Running => {
                for (at, worker) in self.cpu.workers.iter_mut().enumerate() {
                    if let Worker::Running(running) = worker
                        && running.pid == pid
                        && !std::mem::replace(&mut running.is_preempted, true)
                    {
                        actions.push(Action::Preempt { worker: worker_id(at), pid });
                    }
                }
            }
        }
    }

    pub(super) fn cpu_unhalt(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        let Some(agent) = self.agents.get(&pid) else { return };
        if agent.cpu.turn == Turn::Idle && agent.cpu.pending {
            self.cpu_enter(pid, self.now, actions);
        }
    }

    pub(super) fn cpu_leave(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        self.cpu_halt(pid, actions);
        if let Some(agent) = self.agents.get_mut(&pid) {
            self.cpu.queue.retire(&mut agent.cpu.run, agent.weight);
        }
    }

    /// The agent's priority has changed.
    pub(super) fn cpu_renice(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        let line = Line { level: agent.priority.get(), owner: EVERYBODY };
        let cpu = &mut agent.cpu;
        let turn = cpu.turn;
        if let Turn::Waiting(place) = turn {
            self.cpu.queue.remove(&place);
        }
        self.cpu.queue.rebase(&mut cpu.run, line, agent.weight);
        match turn {
            Turn::Waiting(place) => {
                cpu.turn = Turn::Idle;
                self.cpu_enter(pid, place.since, actions);
            }
            Turn::Running => {
                for worker in &mut self.cpu.workers {
                    if let Worker::Running(running) = worker
                        && running.pid == pid
                    {
                        running.line = line;
                    }
                }
                if let Some(waiting) = self.cpu.queue.top_level() {
                    self.cpu_kick(waiting, actions);
                }
            }
            Turn::Idle | Turn::Throttled(_) => {}
        }
    }
}

fn worker_id(at: usize) -> WorkerId {
    WorkerId(u16::try_from(at).expect("invariant: there are at most 65,535 workers"))
}
