//! Tools of each language beside each other: size, cold compile, a warm start to its result as a
//! whole process, a warm call inside a host that lives.
//!
//! `cargo bench --bench languages -- NAME=FILE.wasm=INPUT …`; without any, the calculator and the
//! JavaScript that come with the host. `tests/languages.sh` builds all and gives them.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::sandbox::engine::Profile;
use aos_host::storage::StoreUrl;
use aos_host::types::{Reply, Syscall};
use serde_json::Value;

/// Runs of a process; calls are more, since they are shorter.
const RUNS: usize = 30;
const CALLS: usize = 200;

/// A tool plugin and the arguments of its only tool.
struct Subject {
    name: String,
    file: String,
    input: String,
}

impl Subject {
    fn parse(word: &str) -> Self {
        let mut parts = word.splitn(3, '=');
        let mut next = || parts.next().expect("NAME=FILE=INPUT").to_owned();
        Self { name: next(), file: next(), input: next() }
    }

    fn dist(name: &str, input: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist");
        let file = format!("{folder}/{name}.wasm");
        Self { name: name.into(), file, input: input.into() }
    }
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// A whole process, from its start to its end.
fn process(home: &Path, subject: &Subject) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aos-host"));
    command
        .env("XDG_STATE_HOME", home)
        .env("XDG_CACHE_HOME", home)
        .args(["run", &subject.file, "--input", &subject.input])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let began = Instant::now();
    let output = command.output().expect("starts");
    let took = began.elapsed();
    assert!(output.status.success(), "{}", subject.name);
    took
}

/// Calls of one session in one host, with its journal on the disk, each in a fresh instance.
fn calls(home: &Path, subject: &Subject) -> (f64, Vec<Duration>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = StoreUrl::Sqlite(home.join(format!("{}.db", subject.name)));
        let builder = Kernel::builder().profile(Profile::Daemon).store(store);
        let kernel = builder.build().await.expect("a kernel");
        let bytes = std::fs::read(&subject.file).expect("the plugin");
        let began = Instant::now();
        // This kernel keeps no compiled components: each load compiles.
        let plugin = kernel.load(&subject.name, bytes).await.expect("loads");
        let compile_ms = began.elapsed().as_secs_f64() * 1e3;
        let session = kernel.session(plugin, SessionOptions::default()).expect("opens");
        let arguments: Value = serde_json::from_str(&subject.input).expect("JSON");
        let mut times = Vec::new();
        for _ in 0..CALLS {
            let call = Syscall::Call { tool: None, arguments: arguments.clone() };
            let began = Instant::now();
            let reply = kernel.submit(&session, call).await;
            times.push(began.elapsed());
            assert!(matches!(reply, Ok(Reply::Output(..))), "{}", subject.name);
        }
        kernel.close_session(session, "ok").await.expect("closes");
        (compile_ms, times)
    })
}

fn main() {
    let words = std::env::args().skip(1).filter(|word| word.contains('='));
    let mut subjects: Vec<Subject> = words.map(|word| Subject::parse(&word)).collect();
    if subjects.is_empty() {
        subjects.push(Subject::dist("calculator", r#"{"expression":"(2+3)*4^2"}"#));
        subjects.push(Subject::dist("javascript", r#"{"code":"(2+3)*4**2"}"#));
    }
    println!("| tool | size | cold compile | warm start to result | warm call |");
    println!("|---|---|---|---|---|");
    for subject in &subjects {
        let home = tempfile::tempdir().expect("a home");
        let size = std::fs::metadata(&subject.file).expect("the plugin").len();
        let (compile_ms, times) = calls(home.path(), subject);
        // The first fills the cache.
        process(home.path(), subject);
        let starts = (0..RUNS).map(|_| process(home.path(), subject)).collect();
        println!(
            "| {} | {:.2} MB | {:.0} ms | {:.1} ms | {:.2} ms |",
            subject.name,
            size as f64 / 1e6,
            compile_ms,
            middle(starts),
            middle(times),
        );
    }
}
