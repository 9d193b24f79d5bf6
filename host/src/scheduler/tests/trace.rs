//! The simulation: its arithmetic, and what must hold for any trace.

use super::simulate::{Arrival, Machine, Waits, simulate, utilisation};
use super::*;

const MACHINE: Machine = Machine { slots: 1, input_rate: 1_000.0, output_rate: 10.0 };

fn arrival(at_s: u64, priority: u8, input_tokens: u64, output_tokens: u64) -> Arrival {
    let priority = Priority::new(priority).expect("0 to 100");
    Arrival { at: at(at_s), priority, input_tokens, output_tokens }
}

#[test]
fn starts_come_in_the_order_of_the_arrivals() {
    // The second row is the first in time; the third is more urgent than the first.
    let trace = [arrival(1, 50, 1_000, 10), arrival(0, 50, 1_000, 10), arrival(1, 10, 1_000, 10)];
    let starts = simulate(&trace, &MACHINE, &Options::default()).expect("keeps the protocol");
    assert_eq!(starts, [at(4), at(0), at(2)]);
    assert_eq!(utilisation(&trace, &starts, &MACHINE), 1.0);
}

#[test]
fn an_answers_length_is_not_known_before_its_end() {
    // Were it known, the short one would start first.
    let long_first = [arrival(0, 50, 1, 10), arrival(1, 50, 100, 900), arrival(1, 50, 100, 1)];
    let starts = simulate(&long_first, &MACHINE, &Options::default()).expect("runs");
    assert!(starts[1] < starts[2], "{starts:?}");
}

#[test]
fn waits_are_taken_by_rank() {
    let waits = Waits::of((0..200).rev().map(|s| s * SECOND).collect());
    assert_eq!((waits.calls, waits.p50_s, waits.p99_s, waits.max_s), (200, 100.0, 198.0, 199.0));
    assert_eq!(Waits::of(Vec::new()), Waits::default());
}
