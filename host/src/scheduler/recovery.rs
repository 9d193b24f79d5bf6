//! After a crash: reservations of before are settled once each, or charged in full.

use std::time::Duration;

use super::event::{Action, Amounts, Misuse, Moment, Pid, Scope, Ticket};
use super::ledger::OpenReservation;
use super::ledger::{Ledger, LedgerSnapshot, MeterId};
use super::options::Options;
use super::{Scheduler, nanoseconds};

/// A reservation whose call is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphan {
    pid: Pid,
    meter: MeterId,
    reserved: Amounts,
}

impl Scheduler {
    /// A scheduler with the ledger of an earlier one. `slept` is the time since its snapshot:
    /// windows slid meanwhile, wall time of agents did not pass. Agents are admitted anew with
    /// their old pids and find what they had used and their limits. Then come the recovered
    /// records, then [`Event::RecoveryEnded`](super::Event::RecoveryEnded).
    pub fn restore(
        options: Options,
        ledger: &LedgerSnapshot,
        slept: Duration,
        now: Moment,
    ) -> Self {
        let mut scheduler = Self::new(options);
        scheduler.now = now;
        scheduler.ledger = Ledger::restore(&scheduler.options, ledger, nanoseconds(slept), now);
        for open in &ledger.open {
            // A snapshot that names no meter for it was not written by this program.
            let _known = scheduler.recover(open.ticket, open.pid, open.reserved);
        }
        scheduler
    }

    /// All that the ledger knows, reservations in flight too.
    pub fn snapshot(&self, now: Moment) -> LedgerSnapshot {
        let running = self.calls.iter().filter_map(|(ticket, call)| {
            let reserved = call.plan?.reserved;
            Some(OpenReservation { ticket: *ticket, pid: call.pid, reserved })
        });
        let orphans = self.recovered.iter().map(|(ticket, orphan)| OpenReservation {
            ticket: *ticket,
            pid: orphan.pid,
            reserved: orphan.reserved,
        });
        let mut open: Vec<_> = running.chain(orphans).collect();
        open.sort_by_key(|open| open.ticket);
        self.ledger.snapshot(open, now)
    }

    pub(super) fn recover(
        &mut self,
        ticket: Ticket,
        pid: Pid,
        reserved: Amounts,
    ) -> Result<(), Misuse> {
        if self.recovered.contains_key(&ticket) || self.calls.contains_key(&ticket) {
            return Err(Misuse::CallTwice(ticket));
        }
        let meter = self.ledger.find(Scope::Agent(pid)).ok_or(Misuse::NoAgent(pid))?;
        self.ledger.hold(meter);
        self.ledger.reserve(meter, reserved);
        self.recovered.insert(ticket, Orphan { pid, meter, reserved });
        Ok(())
    }

    pub(super) fn recover_settled(
        &mut self,
        ticket: Ticket,
        charged: Amounts,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let orphan = self.recovered.remove(&ticket).ok_or(Misuse::WrongCall(ticket))?;
        self.close(orphan, charged, Amounts::default(), actions);
        Ok(())
    }

    /// Nobody waits for what is charged here: it comes before the agent's first call.
    pub(super) fn recover_use(
        &mut self,
        scope: Scope,
        charged: Amounts,
        age_ns: u64,
        wall_ns: u64,
    ) -> Result<(), Misuse> {
        let meter = self.ledger.find(scope).ok_or(Misuse::NoScope(scope))?;
        self.ledger.recall(meter, charged, age_ns, self.now);
        if wall_ns > 0 {
            self.ledger.add_wall(meter, wall_ns);
        }
        Ok(())
    }

    pub(super) fn end_recovery(&mut self, actions: &mut Vec<Action>) {
        for (ticket, orphan) in std::mem::take(&mut self.recovered) {
            let charged = orphan.reserved;
            actions.push(Action::Settled { ticket, charged, wasted: charged });
            self.close(orphan, charged, charged, actions);
        }
        self.ledger.forget_absent();
    }

    fn close(
        &mut self,
        orphan: Orphan,
        charged: Amounts,
        wasted: Amounts,
        actions: &mut Vec<Action>,
    ) {
        let Orphan { meter, reserved, .. } = orphan;
        self.ledger.settle(meter, reserved, charged, wasted, self.now);
        self.release_chain(meter, actions);
        self.ledger.unhold(meter);
    }
}
