//! Nothing starves, and nobody is shut out, over long seeded runs.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::simulate::{Arrival, Machine, simulate};
use super::*;

const SEED: u64 = 21;
const MACHINE: Machine = Machine { slots: 8, input_rate: 8_000.0, output_rate: 40.0 };

fn arrival(at_ns: u64, priority: u8, input_tokens: u64, output_tokens: u64) -> Arrival {
    let priority = Priority::new(priority).expect("0 to 100");
    Arrival { at: Moment(at_ns), priority, input_tokens, output_tokens }
}

/// Urgent calls that come in bursts far above what the machine can do, and calls of all priorities
/// between them: 250,000 calls, four events each.
fn bursts(calls: usize) -> Vec<Arrival> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut now = 0;
    let mut all = Vec::with_capacity(calls);
    while all.len() < calls {
        // Ten minutes at 140 % of the machine, then twenty at 55 %.
        let load = if (now / SECOND) % 1_800 < 600 { 1.4 } else { 0.55 };
        let output = rng.random_range(10..=190);
        let mean_gap_s = (100.0 / 40.0 + 0.0625) / (8.0 * load);
        now += (rng.random_range(0.0..2.0) * mean_gap_s * SECOND as f64) as u64;
        let priority = if rng.random_range(0..10) < 7 { 0 } else { rng.random_range(1..=100) };
        all.push(arrival(now, priority, rng.random_range(1..=1_000), output));
    }
    all
}

#[test]
fn a_due_call_waits_no_longer_than_twice_the_work_before_it() {
    let trace = bursts(250_000);
    let options = Options::default();
    let starts = simulate(&trace, &MACHINE, &options).expect("keeps the protocol");
    let patience_ns = nanoseconds(options.model_patience);
    let longest = trace.iter().map(|call| MACHINE.service_ns(call)).max().expect("calls");
    // The work of those that wait while a call is due, by the time of their starts.
    let mut by_start: Vec<(Moment, u64, u8, Moment)> = (trace.iter().zip(&starts))
        .map(|(call, start)| (*start, MACHINE.service_ns(call), call.priority.get(), call.at))
        .collect();
    by_start.sort_unstable();
    let lateness = |at: Moment, level: u8| at.0 + u64::from(level) * patience_ns;
    let mut due_calls = 0;
    for (call, start) in trace.iter().zip(&starts) {
        let level = call.priority.get();
        let due = lateness(call.at, level);
        if start.0 <= due || level == 0 {
            continue;
        }
        due_calls += 1;
        // Those that came before it among the due, or before it in its own line.
        let first = by_start.partition_point(|other| other.0.0 < due);
        let last = by_start.partition_point(|other| other.0 < *start);
        let before: u64 = by_start[first..last]
            .iter()
            .filter(|(_, _, other, came)| {
                *other > 0 && (lateness(*came, *other) <= due + 30 * SECOND || *other == level)
            })
            .map(|(_, service, ..)| service)
            .sum();
        let bound = due + 2 * before / u64::from(MACHINE.slots) + 2 * longest;
        assert!(
            start.0 <= bound,
            "seed {SEED}: {call:?} started {} s after its bound",
            (start.0 - bound) / SECOND
        );
    }
    assert!(due_calls > 100, "only {due_calls} calls were ever due: the test tests nothing");
}

#[test]
fn no_slot_is_idle_while_a_call_waits() {
    let trace = bursts(30_000);
    let starts = simulate(&trace, &MACHINE, &Options::default()).expect("keeps the protocol");
    assert_eq!(simulate::idle_while_waiting_ns(&trace, &starts, &MACHINE), 0, "seed {SEED}");
}

#[test]
fn a_flood_of_old_background_calls_leaves_half_to_urgent_ones() {
    // An hour's work of priority 90 at once, and after twenty minutes an urgent call every two
    // seconds: a sixth of the machine.
    let mut trace: Vec<Arrival> = (0..11_000).map(|_| arrival(0, 90, 1_000, 100)).collect();
    let flood = trace.len();
    trace.extend((0..300).map(|n| arrival((1_200 + 2 * n) * SECOND, 10, 1_000, 100)));
    let starts = simulate(&trace, &MACHINE, &Options::default()).expect("keeps the protocol");
    let waits = trace.iter().zip(&starts).skip(flood);
    let longest = waits.map(|(call, start)| start.since_ns(call.at)).max().expect("calls");
    assert!(longest < 10 * SECOND, "an urgent call waited {} s", longest / SECOND);
}

#[test]
fn an_endless_stream_of_urgent_calls_leaves_half_to_due_ones() {
    let mut trace: Vec<Arrival> =
        (0..40_000_u64).map(|n| arrival(n * SECOND / 8, 0, 1_000, 100)).collect();
    let urgent = trace.len();
    trace.extend((0..20).map(|n| arrival(n * 60 * SECOND, 100, 1_000, 100)));
    let starts = simulate(&trace, &MACHINE, &Options::default()).expect("keeps the protocol");
    let waits = trace.iter().zip(&starts).skip(urgent);
    let longest = waits.map(|(call, start)| start.since_ns(call.at)).max().expect("calls");
    let bound = 100 * nanoseconds(Options::default().model_patience) + 10 * SECOND;
    assert!(longest <= bound, "one waited {} s", longest / SECOND);
}

#[test]
fn a_stream_of_new_runs_does_not_starve_a_run_that_has_had_much() {
    let mut world = World::new(options(1));
    world.admit(admission(1, 50));
    for ticket in 1..=5 {
        world.want(call(ticket, 1, 9_000));
        world.end(ticket, usage(9_000, 1_000));
    }
    // Two new runs for each that ends, each with one small call.
    let mut next = 100;
    let mut arrive = |world: &mut World| {
        next += 1;
        world.admit(admission(next, 50));
        world.want(call(next, next, 500));
    };
    arrive(&mut world);
    arrive(&mut world);
    world.want(call(6, 1, 100));
    let mut passed = 0;
    while !world.running.contains_key(&Ticket(6)) {
        let ticket = world.running.keys().next().expect("one runs").0;
        world.end(ticket, usage(500, 10));
        world.step(Event::Left(Pid(ticket))).expect("leaves");
        arrive(&mut world);
        arrive(&mut world);
        passed += 1;
        assert!(passed < 2_000, "the old run starves");
    }
}
