//! Time, memory, output, clocks, randomness, and what an agent should not find around it.

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};

use crate::bindings::aos::agent::{context, process};
use crate::bindings::aos::tool::{call, toolbox};
use crate::{Outcome, number, size};

pub fn run(what: &str, arguments: &[&str]) -> Outcome {
    Some(Ok(match (what, arguments) {
        ("trap", []) => panic!("as asked"),
        ("abort", []) => std::process::abort(),
        ("result", [bytes]) => "r".repeat(size(bytes)),
        ("spin", []) => spin(),
        ("chatter", []) => chatter(),
        ("allocate", [bytes]) => allocate(size(bytes)),
        ("allocate-all", []) => loop {
            allocate(1 << 20);
        },
        ("stderr", [bytes]) => stderr(size(bytes)),
        ("progress", [count]) => progress(number(count)),
        ("clock", [count]) => clock(number(count)),
        ("clock-forever", []) => clock(u64::MAX),
        ("random", [count]) => random(number(count)),
        ("random-forever", []) => random(u64::MAX),
        ("doze", [ms]) => {
            std::thread::sleep(Duration::from_millis(number(ms)));
            "awake".to_owned()
        }
        ("ambient", []) => ambient(),
        _ => return None,
    }))
}

fn spin() -> String {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn chatter() -> String {
    loop {
        black_box((context::pages(), context::usage(), process::self_pid()));
        black_box((toolbox::definitions(), call::id(), call::remaining_ms()));
    }
}

/// Leaked, so that the next one needs more.
fn allocate(bytes: usize) -> String {
    let block: &'static mut [u8] = vec![1_u8; bytes].leak();
    format!("{} bytes", black_box(block).len())
}

fn stderr(bytes: usize) -> String {
    let line = [b'e'; 1024];
    let mut written = 0;
    while written < bytes {
        match std::io::stderr().write_all(&line) {
            Ok(()) => written += line.len(),
            Err(error) => return format!("{written} bytes, then {error}"),
        }
    }
    format!("{written} bytes")
}

fn progress(count: u64) -> String {
    let message = "p".repeat(1000);
    for done in 0..count {
        call::progress(done as f64, Some(f64::NAN), &message);
    }
    format!("{count} reports")
}

/// How often two reads gave the same.
fn clock(count: u64) -> String {
    let (mut equal, mut before) = (0_u64, (Instant::now(), SystemTime::now()));
    for _ in 0..count {
        let now = (Instant::now(), SystemTime::now());
        equal += u64::from(now == before);
        before = now;
    }
    format!("{equal} of {count} equal")
}

fn random(count: u64) -> String {
    let (mut equal, mut before) = (0_u64, wasip2::random::random::get_random_u64());
    for _ in 0..count {
        let now = wasip2::random::random::get_random_u64();
        equal += u64::from(now == before);
        before = now;
    }
    format!("{equal} of {count} equal, last {before:016x}")
}

fn ambient() -> String {
    let roots = wasip2::filesystem::preopens::get_directories().len();
    let file = std::fs::read_dir("/").map(Iterator::count);
    let variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut input = Vec::new();
    let read = std::io::stdin().take(1 << 20).read_to_end(&mut input);
    format!(
        "roots {roots}\nfiles {}\nvariables {variables:?}\narguments {arguments:?}\nstdin {}",
        file.map_or_else(|error| error.to_string(), |count| count.to_string()),
        read.map_or_else(|error| error.to_string(), |count| count.to_string()),
    )
}
