//! Guests that do not end by themselves.

use std::time::Duration;

use aos_host::sandbox::limits::Limits;
use aos_host::types::Syscall;

use super::house::{command, guest, house, limits, misbehave, options};

const SHORT: Duration = Duration::from_millis(300);

fn short() -> Limits {
    Limits { wall: SHORT, ..limits() }
}

#[test]
fn an_infinite_loop_ends_by_its_time() {
    let ending =
        house().beside_a_neighbour(&guest("loop.wat"), &options(short(), &[]), &command(&[]));
    ending.by_limit("time");
    assert!(ending.sentence().contains("300 ms"), "{}", ending.sentence());
    assert!(ending.sentence().contains("--timeout"), "{}", ending.sentence());
}

#[test]
fn an_infinite_loop_ends_by_its_cpu_time() {
    let limits = Limits { cpu: SHORT, ..limits() };
    let ending =
        house().beside_a_neighbour(&guest("loop.wat"), &options(limits, &[]), &command(&[]));
    ending.by_limit("cpu");
    assert!(ending.sentence().contains("--max-cpu"), "{}", ending.sentence());
}

#[test]
fn a_sleep_in_a_host_call_ends_by_its_time() {
    let sleep = command(&["sleep"]);
    house().beside_a_neighbour(misbehave(), &options(short(), &[]), &sleep).by_limit("time");
}

#[test]
fn a_poll_of_thousands_of_sleepers_ends_by_its_time() {
    let poll = command(&["poll", "4000"]);
    let ending = house().beside_a_neighbour(
        misbehave(),
        &options(Limits { wall: Duration::from_secs(2), ..limits() }, &[]),
        &poll,
    );
    ending.by_limit("time");
    assert_eq!(ending.stdout, "ready: [4000]\n");
}

#[test]
fn a_start_function_that_loops_is_inside_the_time() {
    let call = Syscall::Call { tool: Some("f".into()), arguments: serde_json::json!({}) };
    let ending = house().beside_a_neighbour(&guest("start.wat"), &options(short(), &[]), &call);
    ending.by_limit("time");
}
