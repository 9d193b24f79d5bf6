//! Many agents on one host: births, wake-ups, memory, and a full queue of model calls.
//!
//! `cargo bench --bench agents` prints each figure beside its budget, and beside a bare thing that
//! was measured in the same run. It takes a minute and two gigabytes.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aos_host::config::Config;
use aos_host::config::agent::{AgentSpec, agent_options};
use aos_host::kernel::agents::{Agents, Spawn};
use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::model::{ModelOptions, Models};
use aos_host::sandbox::engine::Profile;
use aos_host::types::{Ending, Pid};

mod wake;

/// Agents that live at once, where the system's memory maps allow it.
const LIVE: usize = 10_000;
/// Agents that are born and end.
const BORN: usize = 20_000;
/// Wake-ups that are measured.
const WAKES: usize = 20_000;
/// Model calls at once in the last figure, its agents' calls, and how long each takes.
const SLOTS: u32 = 512;
const CALLS: usize = 10;
const CALL: Duration = Duration::from_millis(100);

/// The smallest agent: it answers with its task.
const ECHO: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
        (func (export "run") (param i32 i32) (result i32)
            (i32.store8 (i32.const 16) (i32.const 0))
            (i32.store (i32.const 20) (local.get 0))
            (i32.store (i32.const 24) (local.get 1))
            (i32.const 16)))
    (core instance $i (instantiate $m))
    (func $run (param "task" string) (result (result string (error string)))
        (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc"))))
    (instance $program (export "run" (func $run)))
    (export "aos:agent/program@0.1.0" (instance $program)))"#;

struct Bench {
    kernel: Kernel,
    models: Models,
    config: Config,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("echo.wat"), ECHO).expect("writes");
        let script =
            format!("[[turn]]\nsay = \"x\"\ndelay_ms = {}\nrepeat = 1000\n", CALL.as_millis());
        std::fs::write(folder.path().join("slow.toml"), script).expect("writes");
        let file = folder.path().join("aos.toml");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        std::fs::write(&file, format!("[cache]\nfolder = {cache:?}\n")).expect("writes");
        let mut config = Config::load(Some(&file)).expect("loads");
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/dist");
        config.plugin_path = vec![folder.path().to_owned(), guests];
        let kernel = Kernel::builder().profile(Profile::Host).cache(cache, None).build().await;
        let kernel = kernel.expect("a kernel");
        let models =
            Models::new(ModelOptions::default(), Arc::new(|_: &str| None)).expect("models");
        let mut options = agent_options(&config, models.clone());
        options.model_slots = SLOTS;
        options.exited_max = 100;
        kernel.start_agents(options).expect("starts");
        Self { kernel, models, config, folder }
    }

    fn agents(&self) -> &Agents {
        self.kernel.agents().expect("started")
    }

    async fn spec(&self, program: &str, task: &str) -> Spawn {
        let model = format!("script:{}", self.folder.path().join("slow.toml").display());
        let spec = AgentSpec {
            program: program.into(),
            task: task.into(),
            model: Some(model),
            ..AgentSpec::default()
        };
        let options = SessionOptions::default();
        let spawn = spec.resolve(&self.config, &self.kernel, &self.models, options).await;
        spawn.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts so many, and gives their numbers.
    async fn spawn(&self, spawn: &Spawn, many: usize) -> Vec<Pid> {
        let mut pids = Vec::with_capacity(many);
        for _ in 0..many {
            pids.push(self.agents().spawn_first(spawn.clone()).await.expect("spawns"));
        }
        pids
    }

    async fn end(&self, pids: &[Pid]) {
        for pid in pids {
            // One that has ended by itself needs no end.
            let _ended = self.agents().end(*pid, "the bench");
        }
        while self.agents().list().iter().any(|view| view.ending.is_none()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn line(name: &str, figure: String, budget: &str, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    println!("{name:<52} {figure:>22}   {budget:<24} {verdict}");
}

/// Resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4_096
}

async fn births(bench: &Bench) {
    let echo = bench.spec("echo", "hello").await;
    let few = bench.spawn(&echo, 100).await;
    bench.agents().wait(few[99]).await.expect("is");
    let began = Instant::now();
    let mut open = std::collections::VecDeque::new();
    for _ in 0..BORN {
        if open.len() >= 64 {
            let oldest: Pid = open.pop_front().expect("some");
            // One that is forgotten has ended long ago.
            let _ended = bench.agents().wait(oldest).await;
        }
        open.push_back(bench.agents().spawn_first(echo.clone()).await.expect("spawns"));
    }
    for pid in open {
        if let Ok(ending) = bench.agents().wait(pid).await {
            assert_eq!(ending, Ending::Returned("hello".into()));
        }
    }
    let rate = BORN as f64 / began.elapsed().as_secs_f64();
    line(
        "spawn, run, exit of a small agent",
        format!("{rate:.0} a second"),
        ">= 8,000",
        rate >= 8e3,
    );
}

async fn idle(bench: &Bench) -> Vec<Pid> {
    let mail = bench.spec("rogue", "mail 1000000").await;
    let warm = bench.spawn(&mail, 10).await;
    bench.end(&warm).await;
    let before = resident_bytes();
    let pids = bench.spawn(&mail, LIVE).await;
    settle(bench, &pids).await;
    let each = (resident_bytes() - before) / LIVE as u64 / 1_024;
    line("memory of a live idle agent", format!("{each} KB of {LIVE}"), "<= 120 KB", each <= 120);
    pids
}

/// Until all of them wait.
async fn settle(bench: &Bench, pids: &[Pid]) {
    loop {
        let all = bench.agents().list();
        let waiting = all.iter().filter(|view| {
            view.standing == aos_host::types::Standing::Waiting(aos_host::types::Waiting::Message)
        });
        if waiting.count() >= pids.len() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wakes(bench: &Bench, pids: &[Pid]) {
    let bare = tokio::task::spawn_blocking(|| wake::bare_p99(WAKES / 10)).await.expect("no panic");
    bench.agents().latency();
    for n in 0..WAKES {
        let pid = pids[(n * 7_919) % pids.len()];
        bench.agents().send(pid, "wake".into()).await.expect("lives");
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    let latency = bench.agents().latency();
    let p99 = latency.p99_ns as f64 / 1e3;
    line(
        &format!("ready to running, {} agents, p99", pids.len()),
        format!("{p99:.0} us (bare {:.0})", bare.as_secs_f64() * 1e6),
        "<= 200 us",
        p99 <= 200.0,
    );
}

async fn full_queue(bench: &Bench) {
    let count = bench.spec("rogue", &format!("count {CALLS}")).await;
    let began = Instant::now();
    let pids = bench.spawn(&count, LIVE).await;
    while bench.agents().list().iter().any(|view| view.ending.is_none()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed().as_secs_f64();
    let ideal = (LIVE * CALLS) as f64 * CALL.as_secs_f64() / f64::from(SLOTS);
    let ratio = took / ideal;
    let figure = format!("{took:.1} s = {ratio:.2} x ideal");
    line(
        &format!("{} agents, {CALLS} calls each, {SLOTS} slots", pids.len()),
        figure,
        "<= 1.2 x",
        ratio <= 1.2,
    );
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let bench = Bench::new().await;
        births(&bench).await;
        let pids = idle(&bench).await;
        wakes(&bench, &pids).await;
        bench.end(&pids).await;
        full_queue(&bench).await;
    });
}
