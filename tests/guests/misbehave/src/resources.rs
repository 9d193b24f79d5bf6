//! Too much of what a host hands out.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::Fields;
use wasip2::io::poll::{Pollable, poll};

/// Five centuries.
const FOR_EVER_NS: u64 = u64::MAX;

pub fn sleep() {
    subscribe_duration(FOR_EVER_NS).block();
}

/// Handles until the host says no.
pub fn handles() {
    let mut held = Vec::new();
    for _ in 0..1_000_000 {
        held.push(subscribe_duration(FOR_EVER_NS));
    }
    println!("{} handles", held.len());
}

fn sleepers(count: usize) -> Vec<Pollable> {
    (0..count).map(|_| subscribe_duration(FOR_EVER_NS)).collect()
}

/// Waits for many that sleep, with one among them that does not.
pub fn poll_sleepers(count: usize) {
    let mut all = sleepers(count);
    all.push(subscribe_duration(0));
    let borrowed: Vec<&Pollable> = all.iter().collect();
    println!("ready: {:?}", poll(&borrowed));
    poll(&borrowed[..count]);
}

/// One list that names the same handle over and over.
pub fn poll_one_often(count: usize) {
    let one = subscribe_duration(0);
    let borrowed = vec![&one; count];
    println!("ready: {}", poll(&borrowed).len());
}

pub fn random(bytes: u64) {
    println!("{} bytes", wasip2::random::random::get_random_bytes(bytes).len());
}

/// Header fields until the host says no.
pub fn headers() {
    let fields = Fields::new();
    for count in 0..1_000_000 {
        if let Err(error) = fields.append(&format!("x-{count}"), &[b'x'; 1000]) {
            println!("refused after {count}: {error:?}");
            return;
        }
    }
    println!("a million fields");
}

/// One call that carries much.
pub fn host_call(bytes: usize) {
    let fields = Fields::new();
    let set = fields.set("x-large", &[vec![b'x'; bytes]]);
    println!("set: {set:?}");
}

/// Waits for a byte that never comes.
pub fn read_stdin() {
    let stdin = wasip2::cli::stdin::get_stdin();
    println!("{:?}", stdin.blocking_read(1));
}
