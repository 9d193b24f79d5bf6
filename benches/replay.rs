//! Durability's costs: playing a journal back, taking many agents up again, and what an agent's
//! step pays for being written down.
//!
//! `cargo bench --bench replay` prints each figure beside its budget, and beside a bare thing that
//! was measured in the same run. It takes a minute.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aos_host::config::Config;
use aos_host::config::agent::{AgentSpec, agent_options};
use aos_host::journal::{
    Body, Chain, Class, Group, Journal, JournalOptions, Opening, PackedBody, Row, RowKind,
};
use aos_host::kernel::replay::Replayed;
use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::model::{ModelOptions, Models};
use aos_host::sandbox::engine::Profile;
use aos_host::storage::{PAGE_ROWS_MAX, RowRange, Storage, StoreUrl};
use aos_host::types::{Ending, Pid, Standing};
use sqlx::{Connection, SqliteConnection};

/// Questions of the agent whose journal is played back.
const QUESTIONS: u64 = 50_000;
/// Agents that wait when their host ends.
const WAITING: usize = 1_000;
/// Synced commits that are measured.
const COMMITS: usize = 300;

struct Bench {
    config: Config,
    models: Models,
    store: StoreUrl,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("x.toml"), "[[turn]]\nsay = \"x\"\n").expect("writes");
        let file = folder.path().join("aos.toml");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        std::fs::write(&file, format!("[cache]\nfolder = {cache:?}\n")).expect("writes");
        let mut config = Config::load(Some(&file)).expect("loads");
        config.plugin_path =
            vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/dist")];
        let models = Models::new(ModelOptions::default(), Arc::new(|_: &str| None));
        let store = StoreUrl::Sqlite(folder.path().join("journal.db"));
        Self { config, models: models.expect("models"), store, folder }
    }

    async fn host(&self) -> Kernel {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let built = Kernel::builder().profile(Profile::Host).store(self.store.clone());
        let kernel = built.cache(cache, None).build().await.expect("a kernel");
        let mut options = agent_options(&self.config, self.models.clone());
        options.resumes = true;
        kernel.start_agents(options).expect("starts");
        kernel
    }

    async fn spawn(&self, kernel: &Kernel, task: &str) -> Pid {
        let spec = AgentSpec {
            program: "rogue".into(),
            task: task.into(),
            model: Some(format!("script:{}", self.folder.path().join("x.toml").display())),
            ..AgentSpec::default()
        };
        let options = SessionOptions::default();
        let spawn = spec.resolve(&self.config, kernel, &self.models, options).await;
        let agents = kernel.agents().expect("agents");
        agents.spawn_first(spawn.expect("a spawn")).await.expect("spawns")
    }
}

fn line(name: &str, figure: String, budget: &str, met: bool) {
    let verdict = if met { "met" } else { "MISSED" };
    println!("{name:<52} {figure:>26}   {budget:<26} {verdict}");
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// One journal of many rows, read bare and played back.
async fn replay(bench: &Bench) {
    let kernel = bench.host().await;
    let pid = bench.spawn(&kernel, &format!("append 40 {QUESTIONS}")).await;
    let ended = kernel.agents().expect("agents").wait(pid).await.expect("is");
    assert!(matches!(ended, Ending::Returned(_)), "{ended:?}");
    kernel.sync().await.expect("syncs");
    let store = kernel.storage();
    let mut read = 0;
    let began = Instant::now();
    loop {
        let range = RowRange { from: (1, read), until_chain: 1 };
        let page = store.rows(range, PAGE_ROWS_MAX).await.expect("reads");
        let Some(last) = page.last() else { break };
        read = last.seq + 1;
    }
    let bare = per_second(u64::try_from(read).unwrap_or(0), began.elapsed());
    let (show, mut steps) = tokio::sync::mpsc::channel(1);
    // Nobody looks on.
    steps.close();
    let began = Instant::now();
    let replayed = kernel.replay(pid, None, show).await.expect("replays");
    let took = began.elapsed();
    let Replayed::Ended(compared) = replayed else { panic!("{replayed:?}") };
    let rate = per_second(compared, took);
    let figure = format!("{:.0} rows/s (bare {:.0})", rate, bare);
    line(
        "replay from the store, against reading its rows",
        figure,
        "150,000 rows/s",
        rate >= 150e3,
    );
    kernel.agents().expect("agents").close(Duration::ZERO).await;
}

/// Agents that wait, and the host that takes them up.
async fn recovery(bench: &Bench) {
    let kernel = bench.host().await;
    for _ in 0..WAITING {
        bench.spawn(&kernel, "sleep").await;
    }
    kernel.sync().await.expect("syncs");
    let waits = |kernel: &Kernel| {
        let views = kernel.agents().expect("agents").list();
        views.iter().filter(|view| matches!(view.standing, Standing::Waiting(_))).count()
    };
    while waits(&kernel) < WAITING {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // As a crash leaves it: nothing is ended, and nothing more is written.
    let journal = kernel.clone();
    journal.leave().await.expect("leaves");
    let next = bench.host().await;
    let began = Instant::now();
    let recovered = next.agents().expect("agents").recover().await.expect("recovers");
    let known = began.elapsed();
    assert_eq!((recovered.agents, recovered.stopped.len()), (WAITING, 0));
    while waits(&next) < WAITING {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let all = began.elapsed();
    let figure = format!("{:.2} s (known {:.2} s)", all.as_secs_f64(), known.as_secs_f64());
    line("1,000 waiting agents taken up", figure, "2 s", all < Duration::from_secs(2));
}

/// The middle of some times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A row with a body of 400 bytes, synced, against a bare commit of the same bytes.
async fn commit(bench: &Bench) {
    let content = |n: usize| format!("{n:0>400}").into_bytes();
    let path = bench.folder.path().join("bare.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut bare = SqliteConnection::connect_with(&options).await.expect("opens");
    let table = "CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)";
    sqlx::raw_sql(table).execute(&mut bare).await.expect("creates");
    let store = StoreUrl::Sqlite(bench.folder.path().join("commit.db")).open().await;
    let store: Arc<dyn Storage> = store.expect("opens");
    let journal = Journal::open(Arc::clone(&store), JournalOptions::default()).await;
    let journal = journal.expect("opens");
    let opening = Opening { plugin: "x", component: None, host_version: "1", grants: &[] };
    let chain: Chain = journal.chain(opening);
    let (mut bares, mut ours) = (Vec::new(), Vec::new());
    for n in 0..COMMITS {
        let began = Instant::now();
        let number = i64::try_from(n).unwrap_or(0);
        let insert = sqlx::query("INSERT INTO t VALUES (?, ?)").bind(number).bind(content(n));
        insert.execute(&mut bare).await.expect("writes");
        bares.push(began.elapsed());
        let began = Instant::now();
        let body = PackedBody::pack(&content(n)).expect("packs");
        let row = Row { body: Body::Text("{}"), ..Row::new(RowKind::Answered) };
        let group = Group { rows: vec![(&chain, row)], bodies: vec![body], ..Group::default() };
        journal.append_together(group, Class::Synced).await.expect("writes");
        ours.push(began.elapsed());
    }
    let (bare, ours) = (median(bares), median(ours));
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    let figure = format!("{} µs / {} µs = {ratio:.2} x", ours.as_micros(), bare.as_micros());
    line("a synced row with its body, against a bare commit", figure, "1.3 x", ratio <= 1.3);
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        replay(&Bench::new()).await;
        recovery(&Bench::new()).await;
        commit(&Bench::new()).await;
    });
    // Guests that wait have nothing to end for.
    std::process::exit(0);
}
