//! `aos-host run` as a whole process with a warm cache, against `wasmtime run` where it is
//! installed.
//!
//! `cargo bench --bench process`; set AOS_BENCH_PEER to a command that calls the same tool.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 60;
const SUM: &str = r#"{"expression":"(2+3)*4^2"}"#;

/// The smallest, the middle and the largest of some times, in milliseconds.
fn summary(mut times: Vec<Duration>) -> (f64, f64, f64) {
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    (millis(times[0]), millis(times[times.len() / 2]), millis(times[times.len() - 1]))
}

fn time(command: &mut Command) -> Duration {
    let began = Instant::now();
    let output = command.stderr(Stdio::inherit()).output().expect("starts");
    let took = began.elapsed();
    assert!(output.status.success(), "{command:?}");
    took
}

fn main() {
    let home = tempfile::tempdir().expect("a home");
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/calculator.wasm");
    let host = |store: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aos-host"));
        command
            .env("XDG_STATE_HOME", home.path())
            .env("XDG_CACHE_HOME", home.path())
            .args(["run", plugin, "--input", SUM]);
        if !store.is_empty() {
            command.args(["--store", store]);
        }
        command
    };
    time(&mut host("memory:"));
    let peer = std::env::var("AOS_BENCH_PEER").ok();
    let mut times: [Vec<Duration>; 3] = Default::default();
    // In turns, so that whatever else the machine does is shared.
    for _ in 0..RUNS {
        times[0].push(time(&mut host("memory:")));
        times[1].push(time(&mut host("")));
        if let Some(peer) = &peer {
            times[2].push(time(Command::new("sh").args(["-c", &format!("exec {peer}")])));
        }
    }
    let [memory, disk, peers] = times;
    print("journal in memory", memory, Some(20.0));
    print("journal on disk", disk, Some(20.0));
    match peer {
        Some(_) => print("peer", peers, None),
        None => println!("peer: not measured; AOS_BENCH_PEER names no command"),
    }
    assert!(Path::new(plugin).exists());
}

fn print(name: &str, times: Vec<Duration>, at_most_ms: Option<f64>) {
    let (least, middle, most) = summary(times);
    let verdict = match at_most_ms {
        Some(budget) if middle <= budget => format!(" (at most {budget} ms): met"),
        Some(budget) => format!(" (at most {budget} ms): MISSED"),
        None => String::new(),
    };
    println!("{name}: min {least:.1} median {middle:.1} max {most:.1} ms{verdict}");
}
