//! Quotas: what was used and what is set aside, in every scope that holds a call.
//!
//! A tree of meters: the host holds owners, an owner holds the trees of its agents, a tree holds
//! its children's trees and its own agent. A call **reserves** in the agent's meter and in all
//! above it, once, before it starts; it **settles** once, when it has ended. It knows nothing of
//! slots and order.

mod meter;
mod plan;
mod snapshot;
mod window;

use std::collections::HashMap;

pub use self::snapshot::LedgerSnapshot;
pub(super) use self::snapshot::OpenReservation;

use self::meter::Meter;
pub(super) use self::plan::{Need, Obstacle, Plan};
use self::window::Width;
use super::event::{Amounts, Moment, OwnerId, Pid, Scope};
use super::options::{Limits, Options};

/// What a scope used, and its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeUsage {
    /// The limits in force.
    pub limits: Limits,
    /// Charged within the present window.
    pub window: Amounts,
    /// Charged since the beginning.
    pub total: Amounts,
    /// The part of `total` that gave no answer.
    pub wasted: Amounts,
    /// Set aside for calls in flight.
    pub reserved: Amounts,
    /// Milliseconds since admission, pauses left out; zero for owners and the host.
    pub wall_ms: u64,
}

/// A meter's place in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MeterId(u32);

const HOST: MeterId = MeterId(0);

#[derive(Debug)]
pub(super) struct Ledger {
    meters: Vec<Option<Meter>>,
    free: Vec<MeterId>,
    by_scope: HashMap<Scope, MeterId>,
    width: Width,
}

impl Ledger {
    pub(super) fn new(options: &Options) -> Self {
        let window_ns = u64::try_from(options.window.as_nanos()).unwrap_or(u64::MAX);
        let mut ledger = Self {
            meters: Vec::new(),
            free: Vec::new(),
            by_scope: HashMap::new(),
            width: Width::of_window_ns(window_ns),
        };
        ledger.open(Scope::Host, None, options.host_limits);
        ledger
    }

    /// The meters of an agent, made where they are not there from before: its tree's, its own.
    pub(super) fn admit(
        &mut self,
        pid: Pid,
        owner: OwnerId,
        parent: Option<Pid>,
        options: &Options,
        limits: (Option<Limits>, Limits),
    ) -> MeterId {
        let above = match parent.and_then(|parent| self.find(Scope::Tree(parent))) {
            Some(tree) => tree,
            None => self.open_owner(owner, options),
        };
        let tree = self.open(Scope::Tree(pid), Some(above), limits.1);
        let own = limits.0.unwrap_or(options.agent_limits);
        let own = self.open(Scope::Agent(pid), Some(tree), own);
        let meter = self.meter_mut(own);
        meter.usual_request = meter.limits.request_tokens == options.agent_limits.request_tokens;
        meter.live = true;
        own
    }

    /// The agent is gone: its meters go as soon as nothing hangs on them.
    pub(super) fn leave(&mut self, own: MeterId) {
        self.meter_mut(own).live = false;
        self.sweep(own);
    }

    /// A call hangs on a meter until it is dropped.
    pub(super) fn hold(&mut self, id: MeterId) {
        self.meter_mut(id).held += 1;
    }

    pub(super) fn unhold(&mut self, id: MeterId) {
        self.meter_mut(id).held -= 1;
        self.sweep(id);
    }

    pub(super) fn find(&self, scope: Scope) -> Option<MeterId> {
        self.by_scope.get(&scope).copied()
    }

    pub(super) fn set_limits(&mut self, id: MeterId, limits: Limits) {
        let meter = self.meter_mut(id);
        meter.usual_request &= meter.limits.request_tokens == limits.request_tokens;
        meter.limits = limits;
    }

    /// Sets aside what a plan needs, in every scope above.
    pub(super) fn reserve(&mut self, own: MeterId, amounts: Amounts) {
        self.upward(own, |meter, _| meter.reserved = meter.reserved.plus(amounts));
    }

    /// Closes a reservation: `charged` takes its place, `wasted` of it gave no answer.
    pub(super) fn settle(
        &mut self,
        own: MeterId,
        reserved: Amounts,
        charged: Amounts,
        wasted: Amounts,
        now: Moment,
    ) {
        self.upward(own, |meter, width| {
            meter.reserved = meter.reserved.less(reserved);
            meter.total = meter.total.plus(charged);
            meter.wasted = meter.wasted.plus(wasted);
            if charged != Amounts::default() {
                meter.window.add(width, now, charged);
            }
        });
    }

    /// What was charged so long ago, under an earlier host.
    pub(super) fn recall(&mut self, own: MeterId, charged: Amounts, age_ns: u64, now: Moment) {
        self.upward(own, |meter, width| {
            meter.total = meter.total.plus(charged);
            meter.window.recall(width, now, age_ns, charged);
        });
    }

    /// An agent and its tree were used for so long.
    pub(super) fn add_wall(&mut self, own: MeterId, ns: u64) {
        let tree = self.meter(own).parent;
        for id in [Some(own), tree].into_iter().flatten() {
            self.meter_mut(id).wall_ns += ns;
        }
    }

    /// Nanoseconds of wall time that the limits of an agent and of the trees that hold it leave,
    /// with the scope and its limit in milliseconds; none is endless.
    pub(super) fn wall_left_ns(&self, own: MeterId) -> Option<(u64, Scope, u64)> {
        let left = |id: MeterId| {
            let meter = self.meter(id);
            let limit_ms = match meter.scope {
                Scope::Agent(_) | Scope::Tree(_) => meter.limits.total_wall_ms?,
                Scope::Owner(_) | Scope::Host => return None,
            };
            let left_ns = limit_ms.saturating_mul(1_000_000).saturating_sub(meter.wall_ns);
            Some((left_ns, meter.scope, limit_ms))
        };
        self.chain(own).filter_map(left).min_by_key(|left| left.0)
    }

    /// Every scope from a meter up to the host.
    pub(super) fn chain(&self, own: MeterId) -> impl Iterator<Item = MeterId> + '_ {
        std::iter::successors(Some(own), |id| self.meter(*id).parent)
    }

    pub(super) fn scope(&self, id: MeterId) -> Scope {
        self.meter(id).scope
    }

    pub(super) fn usage(&self, id: MeterId, now: Moment) -> ScopeUsage {
        let meter = self.meter(id);
        ScopeUsage {
            limits: meter.limits,
            window: meter.window.sum_at(self.width, now),
            total: meter.total,
            wasted: meter.wasted,
            reserved: meter.reserved,
            wall_ms: meter.wall_ns / 1_000_000,
        }
    }

    /// How many meters there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_scope.len()
    }

    fn open(&mut self, scope: Scope, parent: Option<MeterId>, limits: Limits) -> MeterId {
        if let Some(id) = self.find(scope) {
            return id;
        }
        let meter = Meter::new(scope, parent, limits);
        let id = match self.free.pop() {
            Some(id) => {
                self.meters[id.0 as usize] = Some(meter);
                id
            }
            None => {
                let next = u32::try_from(self.meters.len());
                self.meters.push(Some(meter));
                MeterId(next.expect("invariant: agents and owners are bounded far below 2^32"))
            }
        };
        self.by_scope.insert(scope, id);
        if let Some(parent) = parent {
            self.meter_mut(parent).held += 1;
        }
        id
    }

    /// How many owners have meters. They stay when their last agent leaves, or an owner could
    /// have a new window by leaving.
    pub(super) fn owners(&self) -> usize {
        self.by_scope.keys().filter(|scope| matches!(scope, Scope::Owner(_))).count()
    }

    /// The meter of an owner, made where it is not there.
    pub(super) fn open_owner(&mut self, owner: OwnerId, options: &Options) -> MeterId {
        self.open(Scope::Owner(owner), Some(HOST), options.owner_limits)
    }

    /// Forgets owners without agents who used nothing in the present window and whose limits, as
    /// they are the usual ones, would be the same again; totals that are limited are kept.
    pub(super) fn forget_idle_owners(&mut self, options: &Options, now: Moment) {
        let usual = options.owner_limits;
        let limits_totals = usual.total_tokens.is_some()
            || usual.total_calls.is_some()
            || usual.total_microdollars.is_some();
        if limits_totals {
            return;
        }
        let width = self.width;
        let idle = |(scope, id): (&Scope, &MeterId)| {
            let meter = self.meters[id.0 as usize].as_ref()?;
            let is_idle = matches!(scope, Scope::Owner(_))
                && meter.held == 0
                && meter.limits == usual
                && meter.window.sum_at(width, now) == Amounts::default();
            is_idle.then_some((*scope, *id))
        };
        let gone: Vec<_> = self.by_scope.iter().filter_map(idle).collect();
        for (scope, id) in gone {
            self.by_scope.remove(&scope);
            self.meters[id.0 as usize] = None;
            self.free.push(id);
            self.meter_mut(HOST).held -= 1;
        }
    }

    /// Removes an agent's meter on which nothing hangs, and then those above it up to its owner's.
    fn sweep(&mut self, from: MeterId) {
        let mut next = Some(from);
        while let Some(id) = next {
            let meter = self.meter(id);
            let stays = matches!(meter.scope, Scope::Host | Scope::Owner(_));
            if stays || meter.live || meter.held > 0 {
                return;
            }
            let scope = meter.scope;
            next = meter.parent;
            self.by_scope.remove(&scope);
            self.meters[id.0 as usize] = None;
            self.free.push(id);
            if let Some(parent) = next {
                self.meter_mut(parent).held -= 1;
            }
        }
    }

    fn upward(&mut self, own: MeterId, mut change: impl FnMut(&mut Meter, Width)) {
        let width = self.width;
        let mut next = Some(own);
        while let Some(id) = next {
            let meter = self.meter_mut(id);
            change(meter, width);
            next = meter.parent;
        }
    }

    fn meter(&self, id: MeterId) -> &Meter {
        self.meters[id.0 as usize].as_ref().expect("invariant: whoever names a meter holds it")
    }

    fn meter_mut(&mut self, id: MeterId) -> &mut Meter {
        self.meters[id.0 as usize].as_mut().expect("invariant: whoever names a meter holds it")
    }
}
