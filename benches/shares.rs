//! Who gets the processor: equal shares, weighted shares, and how soon an urgent guest runs.
//!
//! `cargo bench --bench shares` prints each figure beside its budget, and beside a bare thing that
//! was measured in the same run. It takes two minutes and wants a machine that does nothing else.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::time::Duration;

use aos_host::config::Config;
use aos_host::config::agent::{AgentSpec, agent_options};
use aos_host::kernel::agents::Agents;
use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::model::{ModelOptions, Models};
use aos_host::sandbox::engine::Profile;
use aos_host::types::Pid;

mod wake;

/// How long shares are watched, after a second in which all of them begin.
const WATCHED: Duration = Duration::from_secs(10);
/// Wake-ups of the urgent guest.
const WAKES: usize = 3_000;

struct Bench {
    kernel: Kernel,
    models: Models,
    config: Config,
}

impl Bench {
    async fn new() -> Self {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/dist");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("aos.toml");
        std::fs::write(&file, format!("plugin_path = [{guests:?}]\n")).expect("writes");
        let config = Config::load(Some(&file)).expect("loads");
        let kernel = Kernel::builder().profile(Profile::Daemon).cache(cache, None).build().await;
        let kernel = kernel.expect("a kernel");
        let models = Models::new(ModelOptions::default(), std::sync::Arc::new(|_: &str| None));
        let models = models.expect("models");
        kernel.start_agents(agent_options(&config, models.clone())).expect("starts");
        Self { kernel, models, config }
    }

    fn agents(&self) -> &Agents {
        self.kernel.agents().expect("started")
    }

    async fn spawn(&self, task: &str, priority: u8, weight: u16) -> Pid {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/assistant/demo.toml");
        let spec = AgentSpec {
            program: "rogue".into(),
            task: task.into(),
            model: Some(format!("script:{script}")),
            priority: Some(priority),
            weight: Some(weight),
            ..AgentSpec::default()
        };
        let options = SessionOptions::default();
        let spawn = spec.resolve(&self.config, &self.kernel, &self.models, options).await;
        let spawn = spawn.unwrap_or_else(|error| panic!("{error}"));
        self.agents().spawn_first(spawn).await.expect("spawns")
    }

    fn cpu_us(&self, pid: Pid) -> f64 {
        self.agents().show(pid).expect("lives").usage.cpu_us as f64
    }

    async fn end(&self, pids: &[Pid]) {
        for pid in pids {
            self.agents().end(*pid, "the bench").expect("lives");
            self.agents().wait(*pid).await.expect("is");
        }
    }

    /// CPU time of each in the same stretch of time, over its weight.
    async fn shares(&self, weights: &[u16]) -> Vec<f64> {
        let mut pids = Vec::new();
        for weight in weights {
            pids.push(self.spawn("spin", 50, *weight).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before: Vec<_> = pids.iter().map(|pid| self.cpu_us(*pid)).collect();
        tokio::time::sleep(WATCHED).await;
        let after: Vec<_> = pids.iter().map(|pid| self.cpu_us(*pid)).collect();
        self.end(&pids).await;
        let used = after.iter().zip(before).zip(weights);
        used.map(|((after, before), weight)| (after - before) / f64::from(*weight)).collect()
    }
}

fn line(name: &str, figure: String, budget: &str, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    println!("{name:<52} {figure:>24}   {budget:<12} {verdict}");
}

/// How far the one that is furthest from the mean is from it.
fn furthest(shares: &[f64]) -> f64 {
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    shares.iter().map(|share| (share / mean - 1.0).abs()).fold(0.0, f64::max)
}

async fn equal(bench: &Bench) {
    for guests in [2, 3, 4, 8, 16] {
        let off = furthest(&bench.shares(&vec![1; guests]).await) * 100.0;
        line(
            &format!("{guests} guests that compute, the same priority"),
            format!("{off:.2} % from the mean"),
            "<= 1 %",
            off <= 1.0,
        );
    }
}

async fn weighted(bench: &Bench) {
    // Twice, since one guest alone cannot use more than one core.
    let off = furthest(&bench.shares(&[1, 2, 4, 1, 2, 4]).await) * 100.0;
    line("weights 1:2:4, two guests each", format!("{off:.2} % from them"), "<= 3 %", off <= 3.0);
}

async fn urgent(bench: &Bench) {
    let mut pids = Vec::new();
    for _ in 0..8 {
        pids.push(bench.spawn("spin", 80, 1).await);
    }
    let urgent = bench.spawn("mail 1000000", 5, 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let bare = tokio::task::spawn_blocking(|| wake::bare_p99(WAKES)).await.expect("no panic");
    bench.agents().latency();
    for _ in 0..WAKES {
        bench.agents().send(urgent, "wake".into()).await.expect("lives");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let p99 = bench.agents().latency().p99_ns as f64 / 1e3;
    line(
        "an urgent guest runs, 8 that compute, p99",
        format!("{p99:.0} us (bare {:.0})", bare.as_secs_f64() * 1e6),
        "<= 500 us",
        p99 <= 500.0,
    );
    pids.push(urgent);
    bench.end(&pids).await;
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let bench = Bench::new().await;
        urgent(&bench).await;
        equal(&bench).await;
        weighted(&bench).await;
    });
}
