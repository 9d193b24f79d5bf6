//! The policy of the host over a trace of arrivals, with a virtual clock.
//!
//! Each arrival is a run of its own: an agent of its priority that makes one call and leaves. A
//! call holds its slot for `input / input_rate + output / output_rate` seconds. The scheduler is
//! the one of the host and is told the output's length only when the call ends.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{
    Action, Admission, Event, Limits, Misuse, ModelCall, ModelEnding, ModelUsage, Moment, Options,
    OwnerId, Pid, Price, Priority, ProviderId, ProviderOptions, Scheduler, Ticket,
};

const PROVIDER: ProviderId = ProviderId(0);
const SECOND_NS: f64 = 1e9;

/// One call of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When it is wanted.
    pub at: Moment,
    /// How urgent it is.
    pub priority: Priority,
    /// The prompt's length.
    pub input_tokens: u64,
    /// The answer's length, which nobody knows before its end.
    pub output_tokens: u64,
}

/// What the calls run on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Calls at once.
    pub slots: u32,
    /// Prompt tokens that a call takes in per second.
    pub input_rate: f64,
    /// Tokens that a call gives per second.
    pub output_rate: f64,
}

impl Machine {
    /// How long a call holds its slot.
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates: a call may take for ever")]
    pub fn service_ns(&self, arrival: &Arrival) -> u64 {
        let input_s = arrival.input_tokens as f64 / self.input_rate;
        let output_s = arrival.output_tokens as f64 / self.output_rate;
        ((input_s + output_s) * SECOND_NS).round() as u64
    }
}

/// When each call got its slot, in the order of the arrivals, which may be in any order of time.
///
/// # Errors
/// The scheduler took an event for a mistake: never, as long as this driver keeps its protocol.
pub fn simulate(
    arrivals: &[Arrival],
    machine: &Machine,
    options: &Options,
) -> Result<Vec<Moment>, Misuse> {
    let mut driver = Driver::new(arrivals, machine, options);
    let mut order: Vec<usize> = (0..arrivals.len()).collect();
    order.sort_by_key(|at| arrivals[*at].at);
    let mut next = order.into_iter().peekable();
    loop {
        let arrives = next.peek().map(|at| arrivals[*at].at);
        let ends = driver.ends.peek().map(|Reverse((at, _))| *at);
        let due = driver.scheduler.next_deadline();
        let Some(now) = [arrives, ends, due].into_iter().flatten().min() else { break };
        // A slot that becomes free in this moment is free for who comes in this moment.
        if ends == Some(now) {
            driver.end(now)?;
        } else if due == Some(now) {
            driver.step(Event::Timer, now)?;
        } else if let Some(at) = next.next() {
            driver.arrive(at, now)?;
        }
    }
    Ok(driver.starts)
}

struct Driver<'a> {
    arrivals: &'a [Arrival],
    machine: &'a Machine,
    scheduler: Scheduler,
    ends: BinaryHeap<Reverse<(Moment, usize)>>,
    starts: Vec<Moment>,
    actions: Vec<Action>,
}

impl<'a> Driver<'a> {
    fn new(arrivals: &'a [Arrival], machine: &'a Machine, options: &Options) -> Self {
        let options = Options {
            providers: vec![ProviderOptions { id: PROVIDER, slots: machine.slots }],
            agents_max: u32::MAX,
            ..options.clone()
        };
        Self {
            arrivals,
            machine,
            scheduler: Scheduler::new(options),
            ends: BinaryHeap::new(),
            starts: vec![Moment::NEVER; arrivals.len()],
            actions: Vec::new(),
        }
    }

    fn arrive(&mut self, at: usize, now: Moment) -> Result<(), Misuse> {
        let (pid, arrival) = (Pid(at as u64), &self.arrivals[at]);
        let admission = Admission {
            pid,
            parent: None,
            owner: OwnerId(0),
            priority: arrival.priority,
            weight: 1,
            limits: Some(Limits::FREE),
            tree_limits: Limits::FREE,
            cpu_share_permille: None,
        };
        self.step(Event::Admitted(Box::new(admission)), now)?;
        let call = ModelCall {
            ticket: Ticket(at as u64),
            pid,
            provider: PROVIDER,
            input_tokens: arrival.input_tokens,
            output_tokens_asked: None,
            output_tokens_model: None,
            price: Price::default(),
        };
        self.step(Event::ModelWanted(call), now)
    }

    fn end(&mut self, now: Moment) -> Result<(), Misuse> {
        let Some(Reverse((_, at))) = self.ends.pop() else { return Ok(()) };
        let Arrival { input_tokens, output_tokens, .. } = self.arrivals[at];
        let usage = ModelUsage { input_tokens, output_tokens, ..ModelUsage::default() };
        let (ticket, ending) = (Ticket(at as u64), ModelEnding::Finished);
        self.step(Event::ModelEnded { ticket, ending, usage }, now)?;
        self.step(Event::Left(Pid(at as u64)), now)
    }

    fn step(&mut self, event: Event, now: Moment) -> Result<(), Misuse> {
        self.scheduler.step(event, now, &mut self.actions)?;
        for action in self.actions.drain(..) {
            if let Action::StartModel { ticket: Ticket(ticket), .. } = action
                && let Ok(at) = usize::try_from(ticket)
            {
                self.starts[at] = now;
                let service_ns = self.machine.service_ns(&self.arrivals[at]);
                self.ends.push(Reverse((now.after_ns(service_ns), at)));
            }
        }
        Ok(())
    }
}

/// How long the calls of one class waited for their slots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    /// Calls.
    pub calls: usize,
    /// The median, in seconds.
    pub p50_s: f64,
    /// Of a hundred, one waits longer.
    pub p99_s: f64,
    /// The longest.
    pub max_s: f64,
}

impl Waits {
    /// From the waits of its calls in nanoseconds, in any order.
    pub fn of(mut waits_ns: Vec<u64>) -> Self {
        waits_ns.sort_unstable();
        let calls = waits_ns.len();
        let seconds = |at: usize| waits_ns.get(at).map_or(0.0, |ns| *ns as f64 / SECOND_NS);
        let last = calls.saturating_sub(1);
        Self {
            calls,
            p50_s: seconds((calls / 2).min(last)),
            p99_s: seconds((calls * 99 / 100).min(last)),
            max_s: seconds(last),
        }
    }
}

/// The part of the slots' time, from the first arrival to the last end, that calls held, 0 to 1.
pub fn utilisation(arrivals: &[Arrival], starts: &[Moment], machine: &Machine) -> f64 {
    let calls = || arrivals.iter().zip(starts);
    let ends = calls().map(|(call, start)| start.after_ns(machine.service_ns(call)));
    let (first, last) = (arrivals.iter().map(|call| call.at).min(), ends.max());
    let span_ns = last.unwrap_or_default().since_ns(first.unwrap_or_default());
    let held_ns: f64 = calls().map(|(call, _)| machine.service_ns(call) as f64).sum();
    held_ns / (span_ns as f64 * f64::from(machine.slots)).max(1.0)
}

/// When work was left while a slot stood idle, in nanoseconds: zero for a policy that conserves
/// work.
pub fn idle_while_waiting_ns(arrivals: &[Arrival], starts: &[Moment], machine: &Machine) -> u64 {
    let mut changes: BTreeMap<Moment, (i64, i64)> = BTreeMap::new();
    for (call, start) in arrivals.iter().zip(starts) {
        changes.entry(call.at).or_default().0 += 1;
        let begun = changes.entry(*start).or_default();
        (begun.0, begun.1) = (begun.0 - 1, begun.1 + 1);
        changes.entry(start.after_ns(machine.service_ns(call))).or_default().1 -= 1;
    }
    let (mut waiting, mut running, mut idle_ns, mut before) = (0, 0, 0, Moment::default());
    for (at, (waits, runs)) in changes {
        if waiting > 0 && running < i64::from(machine.slots) {
            idle_ns += at.since_ns(before);
        }
        (waiting, running, before) = (waiting + waits, running + runs, at);
    }
    idle_ns
}
