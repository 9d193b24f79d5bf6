//! Agents: how they enter, pause, change and leave.

use std::collections::HashMap;

use super::cpu::AgentCpu;
use super::ledger::MeterId;
use super::pool::Resource;
use super::queue::{Line, Run, Share};
use super::{Scheduler, Timer};
use crate::scheduler::{Action, Admission, Misuse, Moment, OwnerId, Pid, Priority, Ticket};

const WEIGHT_MAX: u16 = 1_000;

#[derive(Debug)]
pub(super) struct Agent {
    pub(super) owner: OwnerId,
    pub(super) parent: Option<Pid>,
    pub(super) children: Vec<Pid>,
    pub(super) depth: u8,
    pub(super) priority: Priority,
    pub(super) weight: u16,
    pub(super) meter: MeterId,
    pub(super) paused: bool,
    pub(super) killed: bool,
    pub(super) wall_spent: bool,
    /// Since when wall time counts that the ledger has not yet.
    pub(super) wall_since: Option<Moment>,
    pub(super) wall_timer: Option<Moment>,
    pub(super) cpu: AgentCpu,
    pub(super) runs: Vec<(Resource, Run)>,
    pub(super) calls: Vec<Ticket>,
}

impl Agent {
    /// Nothing of it may start.
    pub(super) fn is_halted(&self) -> bool {
        self.paused || self.killed || self.wall_spent
    }

    pub(super) fn line(&self) -> Line {
        Line { level: self.priority.get(), owner: self.owner }
    }

    pub(super) fn run_mut(&mut self, resource: Resource) -> &mut Run {
        let at = match self.runs.iter().position(|(of, _)| *of == resource) {
            Some(at) => at,
            None => {
                self.runs.push((resource, Run::default()));
                self.runs.len() - 1
            }
        };
        &mut self.runs[at].1
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) agents: u32,
    pub(super) weight: u16,
}

impl Scheduler {
    pub(super) fn admit(&mut self, admission: &Admission) -> Result<(), Misuse> {
        let Admission { pid, parent, owner, .. } = *admission;
        let depth = self.room_for(admission)?;
        let limits = (admission.limits, admission.tree_limits);
        let meter = self.ledger.admit(pid, owner, parent, &self.options, limits);
        self.owners.entry(owner).or_insert(Owner { agents: 0, weight: 1 }).agents += 1;
        if let Some(parent) = parent.and_then(|parent| self.agents.get_mut(&parent)) {
            parent.children.push(pid);
        }
        let agent = Agent {
            owner,
            parent,
            children: Vec::new(),
            depth,
            priority: admission.priority,
            weight: admission.weight.clamp(1, WEIGHT_MAX),
            meter,
            paused: false,
            killed: false,
            wall_spent: false,
            wall_since: Some(self.now),
            wall_timer: None,
            cpu: AgentCpu::new(admission.cpu_share_permille),
            runs: Vec::new(),
            calls: Vec::new(),
        };
        self.agents.insert(pid, agent);
        self.arm_wall(pid);
        Ok(())
    }

    /// The depth that it will have.
    fn room_for(&self, admission: &Admission) -> Result<u8, Misuse> {
        let Admission { pid, parent, owner, .. } = *admission;
        if self.agents.contains_key(&pid) {
            return Err(Misuse::AgentTwice(pid));
        }
        let full = |what, limit| Err(Misuse::Full { what, limit });
        if self.agents.len() >= self.options.agents_max as usize {
            return full("agents", self.options.agents_max.into());
        }
        let known = self.owners.contains_key(&owner);
        if !known && self.owners.len() >= self.options.owners_max as usize {
            return full("owners", self.options.owners_max.into());
        }
        let Some(parent) = parent else { return Ok(0) };
        let above = self.agents.get(&parent).filter(|above| above.owner == owner);
        let depth = above.ok_or(Misuse::WrongParent(pid))?.depth + 1;
        if depth >= self.options.depth_max {
            return full("generations", self.options.depth_max.into());
        }
        Ok(depth)
    }

    pub(super) fn leave(&mut self, pid: Pid, actions: &mut Vec<Action>) -> Result<(), Misuse> {
        self.end_calls(pid, actions)?;
        self.cpu_leave(pid, actions);
        self.flush_wall(pid);
        let mut agent = self.agents.remove(&pid).ok_or(Misuse::NoAgent(pid))?;
        if let Some(at) = agent.wall_timer {
            self.timers.remove(&(at, Timer::Wall(pid)));
        }
        for (resource, mut run) in agent.runs.drain(..) {
            if let Some(pool) = self.pools.get_mut(resource) {
                pool.queue.retire(&mut run, agent.weight);
            }
        }
        if let Some(parent) = agent.parent.and_then(|parent| self.agents.get_mut(&parent)) {
            parent.children.retain(|child| *child != pid);
        }
        // Its meters stay above theirs; the agent is nobody's parent any more.
        for child in &agent.children {
            if let Some(child) = self.agents.get_mut(child) {
                child.parent = None;
            }
        }
        self.ledger.leave(agent.meter);
        let owner =
            self.owners.get_mut(&agent.owner).expect("invariant: an agent's owner is known");
        owner.agents -= 1;
        if owner.agents == 0 {
            self.owners.remove(&agent.owner);
            self.pools.tools.queue.forget(agent.owner);
            self.pools.models.values_mut().for_each(|pool| pool.queue.forget(agent.owner));
        }
        Ok(())
    }

    pub(super) fn kill(&mut self, pid: Pid, actions: &mut Vec<Action>) -> Result<(), Misuse> {
        self.agent_mut(pid)?.killed = true;
        self.end_calls(pid, actions)?;
        self.cpu_halt(pid, actions);
        Ok(())
    }

    pub(super) fn pause(&mut self, pid: Pid, actions: &mut Vec<Action>) -> Result<(), Misuse> {
        if std::mem::replace(&mut self.agent_mut(pid)?.paused, true) {
            return Ok(());
        }
        self.flush_wall(pid);
        self.agent_mut(pid)?.wall_since = None;
        self.halt(pid, actions);
        Ok(())
    }

    pub(super) fn resume(&mut self, pid: Pid, actions: &mut Vec<Action>) -> Result<(), Misuse> {
        let now = self.now;
        let agent = self.agent_mut(pid)?;
        if std::mem::replace(&mut agent.paused, false) {
            agent.wall_since = Some(now);
            self.arm_wall(pid);
            self.unhalt(pid, actions);
        }
        Ok(())
    }

    /// Takes an agent out of every queue.
    pub(super) fn halt(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        self.cpu_halt(pid, actions);
        for ticket in self.agents.get(&pid).map(|agent| agent.calls.clone()).unwrap_or_default() {
            self.hold_back(ticket);
        }
    }

    /// Puts it back, where nothing else holds it.
    pub(super) fn unhalt(&mut self, pid: Pid, actions: &mut Vec<Action>) {
        let Some(agent) = self.agents.get(&pid).filter(|agent| !agent.is_halted()) else { return };
        let calls = agent.calls.clone();
        self.cpu_unhalt(pid, actions);
        for ticket in calls {
            self.let_on(ticket, actions);
        }
    }

    pub(super) fn renice(
        &mut self,
        pid: Pid,
        priority: Priority,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        self.agent_mut(pid)?.priority = priority;
        self.cpu_renice(pid, actions);
        let agent = self.agent_mut(pid)?;
        let (line, weight) = (agent.line(), agent.weight);
        let (calls, mut runs) = (agent.calls.clone(), std::mem::take(&mut agent.runs));
        for (resource, run) in &mut runs {
            if let Some(pool) = self.pools.get_mut(*resource) {
                pool.queue.rebase(run, line, weight);
            }
        }
        self.agent_mut(pid)?.runs = runs;
        for ticket in calls {
            self.place_anew(ticket, actions);
        }
        Ok(())
    }

    pub(super) fn agent_mut(&mut self, pid: Pid) -> Result<&mut Agent, Misuse> {
        self.agents.get_mut(&pid).ok_or(Misuse::NoAgent(pid))
    }

    pub(super) fn set_owner_weight(&mut self, owner: OwnerId, weight: u16) -> Result<(), Misuse> {
        let known = self.owners.get_mut(&owner);
        let known = known.ok_or(Misuse::NoScope(super::Scope::Owner(owner)))?;
        known.weight = weight.clamp(1, WEIGHT_MAX);
        Ok(())
    }
}

/// The weights of an agent's and its owner's shares.
pub(super) fn share(owners: &HashMap<OwnerId, Owner>, run_weight: u16, owner: OwnerId) -> Share {
    Share { run_weight, owner_weight: owners.get(&owner).map_or(1, |owner| owner.weight) }
}
