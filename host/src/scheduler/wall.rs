//! Wall time: how long agents have been there, and what happens when that is spent.

use super::{Scheduler, Timer};
use crate::scheduler::{Action, Exhausted, Moment, Opens, Pid, Quota};

const MS_NS: u64 = 1_000_000;

impl Scheduler {
    /// Counts an agent's wall time up to now.
    pub(super) fn flush_wall(&mut self, pid: Pid) {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        if let Some(since) = agent.wall_since.replace(now) {
            self.ledger.add_wall(agent.meter, now.since_ns(since));
        } else {
            agent.wall_since = None;
        }
    }

    fn flush_wall_upward(&mut self, pid: Pid) {
        let mut next = Some(pid);
        while let Some(pid) = next {
            self.flush_wall(pid);
            next = self.agents.get(&pid).and_then(|agent| agent.parent);
        }
    }

    /// Sets the timer for the moment at which an agent's wall time is spent.
    pub(super) fn arm_wall(&mut self, pid: Pid) {
        self.flush_wall_upward(pid);
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        if let Some(at) = agent.wall_timer.take() {
            self.timers.remove(&(at, Timer::Wall(pid)));
        }
        if agent.wall_spent || agent.paused {
            return;
        }
        if let Some((left_ns, ..)) = self.ledger.wall_left_ns(agent.meter) {
            let at = self.now.after_ns(left_ns);
            agent.wall_timer = Some(at);
            self.timers.insert((at, Timer::Wall(pid)));
        }
    }

    /// Wall time may be spent; it is not where an agent above was paused meanwhile.
    pub(super) fn wall_due(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        self.flush_wall_upward(pid);
        let Some(agent) = self.agents.get_mut(&pid) else { return };
        agent.wall_timer = None;
        match self.ledger.wall_left_ns(agent.meter) {
            Some((0, scope, limit)) => {
                agent.wall_spent = true;
                let (quota, opens) = (Quota::TotalWallMs, Opens::WhenRaised);
                let why = Exhausted { scope, quota, limit, needed: 1, opens };
                actions.push(Action::Pause { pid, ticket: None, why });
                self.halt(pid, actions);
            }
            Some(_) => self.arm_wall(pid),
            None => {}
        }
    }

    /// Limits of an agent or tree changed: all below look anew.
    pub(super) fn rearm_wall_below(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        let mut left = vec![pid];
        while let Some(pid) = left.pop() {
            self.flush_wall_upward(pid);
            let Some(agent) = self.agents.get_mut(&pid) else { continue };
            left.extend_from_slice(&agent.children);
            let spent = self.ledger.wall_left_ns(agent.meter).is_some_and(|left| left.0 == 0);
            if agent.wall_spent && !spent {
                agent.wall_spent = false;
                actions.push(Action::Resume { pid, ticket: None });
                self.unhalt(pid, actions);
            }
            self.arm_wall(pid);
        }
    }

    /// Milliseconds of wall time that the ledger has not counted yet.
    pub(super) fn wall_pending_ms(&self, pid: Pid, now: Moment) -> u64 {
        let since = self.agents.get(&pid).and_then(|agent| agent.wall_since);
        since.map_or(0, |since| now.since_ns(since) / MS_NS)
    }
}
