//! A place in a provider's limits: what an admitted call holds until it has ended.

use super::completion::{Demand, TokenUsage};
use super::pacing::{Admit, Answer, Pacer, Ticket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Whether a call may start.
#[derive(Debug)]
pub enum Admission {
    /// Yes; the place goes into the call.
    Now(Place),
    /// Not before this much time has passed: keep the call's place in the queue, then ask again.
    After(Duration),
}

/// The pacing of one model, shared by everybody who calls it.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pacer: Arc<Mutex<Pacer>>,
    start: Instant,
}

impl Pace {
    pub(super) fn new(start: Instant) -> Self {
        Self { pacer: Arc::default(), start }
    }

    pub(super) fn admit(&self, demand: Demand) -> Admission {
        let now = self.start.elapsed();
        match self.lock().admit(now, demand) {
            Admit::At(at) => Admission::After(at.saturating_sub(now)),
            Admit::Now(ticket) => {
                let held = Held { pace: self.clone(), ticket, sent: false };
                Admission::Now(Place { demand, held: Some(held) })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pacer> {
        // Its numbers are sound after a panic elsewhere: no step leaves them half done.
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make one call. Dropped before the call was sent it is given back whole; dropped
/// after it, the call counts as made.
#[derive(Debug)]
pub struct Place {
    demand: Demand,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    pace: Pace,
    ticket: Ticket,
    sent: bool,
}

impl Place {
    /// The right to call what has no limits.
    pub(super) fn free(demand: Demand) -> Self {
        Self { demand, held: None }
    }

    /// What it was asked for.
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// The call goes out; again, where it already had: another attempt counts anew.
    pub(super) fn send(&mut self) {
        let Some(held) = &mut self.held else { return };
        if std::mem::replace(&mut held.sent, true) {
            let mut pacer = held.pace.lock();
            pacer.settle(held.ticket, self.demand, None);
            held.ticket = pacer.let_out(held.pace.start.elapsed(), self.demand);
        }
    }

    /// What an answer said of the limits.
    pub(super) fn learn(&self, answer: &Answer) {
        if let Some(held) = &self.held {
            held.pace.lock().learn(held.pace.start.elapsed(), held.ticket, answer);
        }
    }

    /// The call has ended.
    pub(super) fn settle(mut self, usage: &TokenUsage) {
        if let Some(held) = self.held.take() {
            held.pace.lock().settle(held.ticket, self.demand, Some(usage));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let mut pacer = held.pace.lock();
        match held.sent {
            true => pacer.settle(held.ticket, self.demand, None),
            false => pacer.take_back(held.ticket, self.demand),
        }
    }
}
