//! A tool call in a fresh instance, against bare wasmtime doing the same with the same component.
//!
//! `cargo bench --bench call`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use aos_host::kernel::{Kernel, Session, SessionOptions};
use aos_host::sandbox::engine::{Concurrency, Profile, Ticker, engine};
use aos_host::sandbox::host::bindings::ToolPre;
use aos_host::sandbox::host::bindings::aos::tool::call as contract;
use aos_host::storage::StoreUrl;
use aos_host::types::{Reply, Syscall};
use criterion::Criterion;
use serde_json::json;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod ratio;

const EXPRESSION: &str = r#"{"expression":"(2+3)*4^2"}"#;
/// Calls at once in the last budget.
const AT_ONCE: usize = 64;

fn component() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/calculator.wasm");
    std::fs::read(path).expect("the built calculator")
}

/// What an embedder of wasmtime writes to call the same tool: no gate, no journal, no limits.
struct Bare {
    engine: Engine,
    _ticker: Ticker,
    tool: ToolPre<BareState>,
}

struct BareState {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for BareState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl contract::Host for BareState {
    async fn id(&mut self) -> wasmtime::Result<String> {
        Ok(String::new())
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(None)
    }

    async fn progress(&mut self, _: f64, _: Option<f64>, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl Bare {
    fn new(concurrency: Concurrency) -> Self {
        let (engine, ticker) = engine(Profile::Daemon, concurrency).expect("an engine");
        let component = Component::new(&engine, component()).expect("compiles");
        let mut linker = Linker::<BareState>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("links");
        contract::add_to_linker::<_, HasSelf<BareState>>(&mut linker, |state| state)
            .expect("links");
        let pre = linker.instantiate_pre(&component).expect("links");
        Self { engine, _ticker: ticker, tool: ToolPre::new(pre).expect("a tool plugin") }
    }

    async fn call(&self) {
        let wasi = WasiCtx::builder().build();
        let mut store = Store::new(&self.engine, BareState { wasi, table: ResourceTable::new() });
        store.set_epoch_deadline(1_000_000);
        let tool = self.tool.instantiate_async(&mut store).await.expect("instantiates");
        let answer = tool.aos_tool_tools().call_call(&mut store, "calculate", EXPRESSION).await;
        assert!(answer.expect("no trap").is_ok());
    }
}

/// This host, with one session.
struct Host {
    kernel: Kernel,
    session: Session,
}

impl Host {
    async fn new(store: StoreUrl) -> Self {
        let builder = Kernel::builder().profile(Profile::Daemon).store(store);
        let kernel = builder.build().await.expect("a kernel");
        let plugin = kernel.load("calculator", component()).await.expect("loads");
        let session = kernel.session(plugin, SessionOptions::default()).expect("opens");
        Self { kernel, session }
    }

    async fn call(&self) {
        let arguments = json!({ "expression": "(2+3)*4^2" });
        let call = Syscall::Call { tool: Some("calculate".into()), arguments };
        let reply = self.kernel.submit(&self.session, call).await;
        assert!(matches!(reply, Ok(Reply::Output(..))));
    }
}

fn one_at_a_time(criterion: &mut Criterion, runtime: &Runtime, folder: &std::path::Path) {
    let bare = Bare::new(Concurrency::Off);
    let concurrent = Bare::new(Concurrency::On);
    let memory = runtime.block_on(Host::new(StoreUrl::Memory));
    let disk = runtime.block_on(Host::new(StoreUrl::Sqlite(folder.join("one.db"))));
    let mut group = criterion.benchmark_group("call");
    group.measurement_time(Duration::from_secs(8));
    group.bench_function("bare", |b| b.to_async(runtime).iter(|| bare.call()));
    group.bench_function("concurrent", |b| b.to_async(runtime).iter(|| concurrent.call()));
    group.bench_function("memory", |b| b.to_async(runtime).iter(|| memory.call()));
    group.bench_function("disk", |b| b.to_async(runtime).iter(|| disk.call()));
    group.finish();
}

/// 64 calls at once that each wait until their rows are synced.
fn many_at_once(criterion: &mut Criterion, runtime: &Runtime, folder: &std::path::Path) {
    let bare = Arc::new(Bare::new(Concurrency::Off));
    let store = StoreUrl::Sqlite(folder.join("many.db"));
    let host = Arc::new(runtime.block_on(Host::new(store)));
    let mut group = criterion.benchmark_group("call-64");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    group.bench_function("bare", |b| {
        b.iter_custom(|rounds| {
            let bare = Arc::clone(&bare);
            runtime.block_on(at_once(rounds, move || {
                let bare = Arc::clone(&bare);
                async move { bare.call().await }
            }))
        });
    });
    group.bench_function("synced", |b| {
        b.iter_custom(|rounds| {
            let host = Arc::clone(&host);
            runtime.block_on(at_once(rounds, move || {
                let host = Arc::clone(&host);
                async move {
                    host.call().await;
                    host.kernel.sync().await.expect("synced");
                }
            }))
        });
    });
    group.finish();
}

async fn at_once<F>(rounds: u64, call: impl Fn() -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let began = Instant::now();
    for _ in 0..rounds {
        let calls: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(call())).collect();
        for call in calls {
            call.await.expect("no panic");
        }
    }
    began.elapsed()
}

/// Resident memory after 100 calls and after 10,000.
fn memory_stays(runtime: &Runtime) {
    let host = runtime.block_on(Host::new(StoreUrl::Sqlite(
        std::env::temp_dir().join(format!("aos-bench-{}.db", std::process::id())),
    )));
    let calls = |count: u32| {
        runtime.block_on(async {
            for _ in 0..count {
                host.call().await;
            }
            host.kernel.sync().await.expect("synced");
        });
        resident_bytes()
    };
    let (after_100, after_10_000) = (calls(100), calls(9_900));
    let grown = after_10_000 as f64 / after_100 as f64;
    let verdict = if (0.95..=1.05).contains(&grown) { "met" } else { "MISSED" };
    println!(
        "resident after 100 calls {} KiB, after 10,000 {} KiB = {grown:.3} x (0.95 to 1.05): \
         {verdict}",
        after_100 / 1024,
        after_10_000 / 1024
    );
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).expect("a field").parse().expect("a number");
    pages * 4096
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    memory_stays(&runtime);
    let mut criterion = Criterion::default().configure_from_args();
    one_at_a_time(&mut criterion, &runtime, folder.path());
    many_at_once(&mut criterion, &runtime, folder.path());
    criterion.final_summary();
    ratio::print("tool call, journal in memory", "call", "memory", "bare", 1.3);
    ratio::print("tool call, journal on disk, nobody waits", "call", "disk", "bare", 1.4);
    ratio::tell(
        "why WASI 0.3 has an engine of its own: bare with concurrency",
        "call",
        "concurrent",
    );
    ratio::print("64 calls at once, each waits for a sync", "call-64", "synced", "bare", 2.0);
}
