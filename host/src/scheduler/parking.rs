//! Calls that cannot go on now: at a limit, or because their agent is paused; and how they return.

use super::calls::State;
use super::ledger::{MeterId, Obstacle};
use super::{Scheduler, Timer};
use crate::scheduler::{Action, Amounts, Exhausted, Opens, Pid, Ticket};

/// A step lets so many calls of one meter go on; the rest follow at once by the timer.
const RELEASES_PER_STEP: usize = 64;

impl Scheduler {
    /// A call whose turn it was meets a limit: it makes room.
    pub(super) fn stand_aside(
        &mut self,
        ticket: Ticket,
        obstacle: Obstacle,
        actions: &mut Vec<Action>,
    ) {
        self.take_out(ticket);
        let Some(pid) = self.calls.get(&ticket).map(|call| call.pid) else { return };
        match obstacle {
            Obstacle::Never(why) => {
                actions.push(Action::Reject { ticket, pid, why });
                self.drop_call(ticket);
            }
            Obstacle::Wait(meter, why) => self.park(ticket, pid, meter, why, actions),
        }
    }

    fn park(
        &mut self,
        ticket: Ticket,
        pid: Pid,
        meter: MeterId,
        why: Exhausted,
        actions: &mut Vec<Action>,
    ) {
        let Some(call) = self.calls.get_mut(&ticket) else { return };
        call.state = State::Parked(meter, why);
        self.parked.insert(call.key(meter, ticket));
        if let Opens::At(at) = why.opens {
            self.timers.insert((at, Timer::Meter(meter)));
        }
        actions.push(Action::Pause { pid, ticket: Some(ticket), why });
    }

    /// Takes a call that has not started out of wherever it waits.
    pub(super) fn take_out(&mut self, ticket: Ticket) {
        let Some(call) = self.calls.get_mut(&ticket) else { return };
        let promise = call.promise.take();
        match call.state {
            State::Waiting(place) => {
                let resource = call.resource;
                if let Some(pool) = self.pools.get_mut(resource) {
                    pool.queue.remove(&place);
                }
            }
            State::Parked(meter, _) => {
                let key = call.key(meter, ticket);
                self.parked.remove(&key);
            }
            State::Held | State::Running | State::Blocked => {}
        }
        if let Some(meter) = promise {
            self.take_back(ticket, meter);
        }
    }

    fn take_back(&mut self, ticket: Ticket, meter: MeterId) {
        let Some(least) = self.calls.get(&ticket).map(|call| call.need.least()) else { return };
        if let Some(promised) = self.promised.get_mut(&meter) {
            *promised = promised.less(least);
            if *promised == Amounts::default() {
                self.promised.remove(&meter);
            }
        }
    }

    /// Something was settled or raised: whoever waits at a meter or above it may go on.
    pub(super) fn release_chain(&mut self, own: MeterId, actions: &mut Vec<Action>) {
        if self.parked.is_empty() {
            return;
        }
        let chain: Vec<MeterId> = self.ledger.chain(own).collect();
        for meter in chain {
            self.release(meter, actions);
        }
    }

    /// Lets calls that wait at a meter go on, in order, as far as there is room.
    pub(super) fn release(&mut self, meter: MeterId, actions: &mut Vec<Action>) {
        for _ in 0..RELEASES_PER_STEP {
            let Some(ticket) = self.first_parked(meter) else { return };
            let Some(call) = self.calls.get(&ticket) else { return };
            let (own, need, pid, resource) = (call.meter, call.need, call.pid, call.resource);
            let State::Parked(_, before) = call.state else { return };
            let promised = self.promised.get(&meter).map(|amounts| (meter, *amounts));
            match self.ledger.plan(own, &need, self.now, promised) {
                Ok(_) => {
                    self.take_out(ticket);
                    let promised = self.promised.entry(meter).or_default();
                    *promised = promised.plus(need.least());
                    if let Some(call) = self.calls.get_mut(&ticket) {
                        call.promise = Some(meter);
                    }
                    actions.push(Action::Resume { pid, ticket: Some(ticket) });
                    self.enqueue(ticket);
                    self.dispatch(resource, actions);
                }
                Err(Obstacle::Wait(at, why)) if at == meter => {
                    if let Opens::At(at) = why.opens {
                        self.timers.insert((at, Timer::Meter(meter)));
                    }
                    if why != before {
                        self.tell_all_parked(meter, actions);
                    }
                    return;
                }
                Err(obstacle) => self.stand_aside(ticket, obstacle, actions),
            }
        }
        self.timers.insert((self.now, Timer::Meter(meter)));
    }

    /// The reason of those that wait at a meter has changed. Each hears it once a change.
    fn tell_all_parked(&mut self, meter: MeterId, actions: &mut Vec<Action>) {
        let first = (meter, 0, super::Moment(0), Ticket(0));
        let here = self.parked.range(first..).take_while(|(at, ..)| *at == meter);
        let tickets: Vec<Ticket> = here.map(|(.., ticket)| *ticket).collect();
        for ticket in tickets {
            let Some(call) = self.calls.get_mut(&ticket) else { continue };
            let (own, need, pid) = (call.meter, call.need, call.pid);
            if let Err(Obstacle::Wait(at, why)) = self.ledger.plan(own, &need, self.now, None)
                && at == meter
                && call.state != State::Parked(meter, why)
            {
                call.state = State::Parked(meter, why);
                actions.push(Action::Pause { pid, ticket: Some(ticket), why });
            }
        }
    }

    fn first_parked(&self, meter: MeterId) -> Option<Ticket> {
        let first = (meter, 0, super::Moment(0), Ticket(0));
        let (at, .., ticket) = self.parked.range(first..).next()?;
        (*at == meter).then_some(*ticket)
    }

    /// Its agent is halted: a call that waits for a slot does so no more.
    pub(super) fn hold_back(&mut self, ticket: Ticket) {
        if let Some(State::Waiting(_)) = self.calls.get(&ticket).map(|call| call.state) {
            self.take_out(ticket);
            if let Some(call) = self.calls.get_mut(&ticket) {
                call.state = State::Held;
            }
        }
    }

    /// Its agent goes on.
    pub(super) fn let_on(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        let Some(call) = self.calls.get(&ticket).filter(|call| call.state == State::Held) else {
            return;
        };
        let resource = call.resource;
        self.enqueue(ticket);
        self.dispatch(resource, actions);
    }

    /// Its agent has another priority.
    pub(super) fn place_anew(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        let Some(call) = self.calls.get(&ticket) else { return };
        let resource = call.resource;
        if let State::Waiting(_) = call.state {
            self.take_out(ticket);
            self.enqueue(ticket);
        }
        self.dispatch(resource, actions);
    }
}
