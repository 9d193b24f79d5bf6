//! The ledger as data, for whoever makes it durable.

use serde::{Deserialize, Serialize};

use super::meter::Meter;
use super::window::Window;
use super::{HOST, Ledger, MeterId};
use crate::scheduler::options::{Limits, Options};
use crate::scheduler::{Amounts, Moment, Pid, Scope, Ticket};

/// The ledger at one moment, to be stored by whoever makes it durable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerSnapshot {
    /// Parents before their children.
    meters: Vec<MeterRecord>,
    /// Reservations of calls in flight.
    pub(in crate::scheduler) open: Vec<OpenReservation>,
}

/// A reservation that was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct OpenReservation {
    pub(in crate::scheduler) ticket: Ticket,
    pub(in crate::scheduler) pid: Pid,
    pub(in crate::scheduler) reserved: Amounts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MeterRecord {
    scope: Scope,
    parent: Option<Scope>,
    limits: Limits,
    /// (nanoseconds until it slides out, what it holds), oldest first.
    window: Vec<(u64, Amounts)>,
    total: Amounts,
    wasted: Amounts,
    wall_ns: u64,
}

impl Ledger {
    pub(in crate::scheduler) fn snapshot(
        &self,
        open: Vec<OpenReservation>,
        now: Moment,
    ) -> LedgerSnapshot {
        let mut ids: Vec<MeterId> = self.by_scope.values().copied().collect();
        ids.sort_by_key(|id| (self.chain(*id).count(), self.scope(*id)));
        let record = |id: MeterId| {
            let meter = self.meter(id);
            MeterRecord {
                scope: meter.scope,
                parent: meter.parent.map(|parent| self.scope(parent)),
                limits: meter.limits,
                window: meter.window.ages(self.width, now),
                total: meter.total,
                wasted: meter.wasted,
                wall_ns: meter.wall_ns,
            }
        };
        LedgerSnapshot { meters: ids.into_iter().map(record).collect(), open }
    }

    /// Reservations are not restored here: whoever knows their calls sets them aside again.
    pub(in crate::scheduler) fn restore(
        options: &Options,
        snapshot: &LedgerSnapshot,
        slept_ns: u64,
        now: Moment,
    ) -> Self {
        let mut ledger = Self::new(options);
        for record in &snapshot.meters {
            let parent = record.parent.and_then(|scope| ledger.find(scope));
            if parent.is_none() && record.scope != Scope::Host {
                continue;
            }
            let id = ledger.open(record.scope, parent, record.limits);
            let width = ledger.width;
            let meter: &mut Meter = ledger.meter_mut(id);
            meter.limits = record.limits;
            meter.window = Window::from_ages(&record.window, width, slept_ns, now);
            meter.total = record.total;
            meter.wasted = record.wasted;
            meter.wall_ns = record.wall_ns;
        }
        ledger
    }

    /// Drops what the snapshot knew and nobody came back for.
    pub(in crate::scheduler) fn forget_absent(&mut self) {
        let mut ids: Vec<MeterId> = self.by_scope.values().copied().collect();
        ids.sort_by_key(|id| std::cmp::Reverse(self.chain(*id).count()));
        for id in ids.into_iter().filter(|id| *id != HOST) {
            let meter = self.meters[id.0 as usize].as_ref();
            if meter.is_some_and(|meter| !matches!(meter.scope, Scope::Owner(_))) {
                self.sweep(id);
            }
        }
    }
}
