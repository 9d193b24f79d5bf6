//! What the host keeps for one instance while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use tokio::sync::Semaphore;
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::cli::StdinStream;
use wasmtime_wasi::p2::bindings::sockets::{tcp::TcpSocket, udp::UdpSocket};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capability::gate::Gate;
use crate::capability::network::resolve::Resolver;
use crate::capability::network::sockets::SocketTable;
use crate::capability::network::verdict::socket_table;
use crate::capability::secrets::Secrets;
use crate::sandbox::agent::Desk;
use crate::sandbox::host::call::{CallContext, Progress};
use crate::sandbox::host::clock::{AgentClock, FrozenMonotonic, FrozenWall, VirtualMonotonic};
use crate::sandbox::host::config::ConfigValues;
use crate::sandbox::host::filesystem::Preopens;
use crate::sandbox::host::http::GatedHttp;
use crate::sandbox::host::keyvalue::Buckets;
use crate::sandbox::host::open_files::{OpenFiles, Place};
use crate::sandbox::host::random::AgentRandom;
use crate::sandbox::host::sockets;
use crate::sandbox::limits::{LimitName, Limits, MemoryLimiter};
use crate::sandbox::meter::Meter;
use crate::sandbox::stdio::{BoundedSink, Sink};
use crate::sandbox::{Services, engine};

/// A slice of CPU time: a guest that computes lets others run after it.
const SLICE_TICKS: u64 = 10;
const _: () = assert!(engine::TICK.as_millis() == 1, "a slice is 10 ms");

/// The store's data: everything that a host function may touch.
pub struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: GatedHttp,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryLimiter,
    pub(crate) gate: Arc<Gate>,
    pub(crate) preopens: Preopens,
    pub(crate) call: CallContext,
    pub(crate) config: ConfigValues,
    pub(crate) buckets: Buckets,
    pub(crate) sockets: Arc<SocketTable>,
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Who answers an agent; none for a tool.
    pub(crate) desk: Option<Arc<dyn Desk>>,
    agent_clock: Option<AgentClock>,
    /// Datagrams that may be on their way at once.
    pub(crate) datagrams: Arc<Semaphore>,
    pub(crate) open_files: OpenFiles,
    /// Which limit bounds the guest's own tables.
    pub(crate) guest_handles: LimitName,
    pub(crate) stdout: BoundedSink,
    pub(crate) stderr: BoundedSink,
}

/// Which of the ambient interfaces a guest has: they have no error to refuse with, so they are
/// frozen instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambient {
    /// Clocks run; otherwise they show one moment for ever.
    pub clock: bool,
    /// Random bytes are random; otherwise they are the same in every run.
    pub random: bool,
}

impl Default for Ambient {
    fn default() -> Self {
        Self { clock: true, random: true }
    }
}

/// Where standard input comes from.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// Nothing: at its end at once.
    #[default]
    Empty,
    /// The host's own stdin.
    Process,
    /// These bytes.
    Bytes(bytes::Bytes),
}

/// What an agent sees of time and chance, so that a replay sees it again.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Its clock.
    pub clock: AgentClock,
    /// Its random numbers.
    pub random: AgentRandom,
    /// What they came from at first.
    pub seed: [u8; 32],
}

/// Everything that one instance starts from.
pub struct Setup {
    /// The gate of this call.
    pub gate: Arc<Gate>,
    /// Its limits.
    pub limits: Limits,
    /// Its clocks and random numbers.
    pub ambient: Ambient,
    /// Its arguments; the first is the program's name.
    pub arguments: Vec<String>,
    /// Environment variables that the gate let through.
    pub environment: Vec<(String, String)>,
    /// Configuration values that the gate let through.
    pub config: Vec<(String, String)>,
    /// What it may use at some hosts without seeing it.
    pub secrets: Arc<Secrets>,
    /// Its standard streams.
    pub stdin: Input,
    /// Where stdout goes.
    pub stdout: Sink,
    /// Where stderr goes.
    pub stderr: Sink,
    /// Who is told of its progress.
    pub progress: Option<Progress>,
    /// Who answers its questions, where it is an agent.
    pub desk: Option<Arc<dyn Desk>>,
    /// An agent's clock and the seed of its random numbers, so that a replay sees them again.
    pub fate: Option<Fate>,
    /// Its turns on the processor, where a scheduler gives them; else every guest takes 10 ms.
    pub turn: Option<Arc<Turn>>,
}

/// Makes the store of one run.
pub(crate) fn new_store(
    engine: &wasmtime::Engine,
    services: &Services,
    setup: Setup,
    identity: Arc<str>,
    meter: &Arc<Meter>,
) -> Store<State> {
    let limits = setup.limits.clone();
    let turn = setup.turn.clone();
    let state = State::new(services, setup, identity, meter);
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(usize::try_from(limits.hostcall_bytes).unwrap_or(usize::MAX));
    bound_handles(&mut store, &limits);
    let meter = Arc::clone(meter);
    let cpu = limits.hit(LimitName::Cpu);
    let ticks = if turn.is_some() { 1 } else { SLICE_TICKS };
    store.set_epoch_deadline(ticks);
    store.epoch_deadline_callback(move |_| {
        if meter.cpu() > limits.cpu {
            return Err(cpu.clone().into());
        }
        Ok(match &turn {
            Some(turn) if !turn.is_over() => UpdateDeadline::Continue(ticks),
            Some(_) | None => UpdateDeadline::Yield(ticks),
        })
    });
    store
}

/// Entries that the engine makes at most for one handle of a guest with concurrency: a stream and
/// the future of its end are six.
const ENTRIES_A_HANDLE: usize = 8;

/// Bounds the guest's own tables, where the engine keeps them.
fn bound_handles(store: &mut Store<State>, limits: &Limits) {
    let count = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
    let tasks = count(limits.tasks);
    let (name, most) = match store.concurrent_resource_table() {
        Some(table) => {
            table.set_max_capacity(tasks.saturating_mul(ENTRIES_A_HANDLE));
            (LimitName::Tasks, tasks)
        }
        None => (LimitName::Handles, count(limits.handles)),
    };
    store.set_max_component_handles(most);
    store.data_mut().guest_handles = name;
}

/// One guest's turn on a processor: until when it may go on. Whoever polls the guest sets it, and
/// whoever wants the processor ends it early.
#[derive(Debug)]
pub struct Turn {
    began: Instant,
    until_ns: AtomicU64,
    ran_ns: AtomicU64,
}

impl Turn {
    /// A turn that is over; times are counted from `began`.
    pub fn new(began: Instant) -> Self {
        Self { began, until_ns: AtomicU64::new(0), ran_ns: AtomicU64::new(0) }
    }

    /// It lasts until so many nanoseconds after `began`; with 0 it is over now.
    pub fn until_ns(&self, until_ns: u64) {
        self.until_ns.store(until_ns, Ordering::Relaxed);
    }

    /// The guest has run so many nanoseconds of CPU time more.
    pub fn ran(&self, more_ns: u64) {
        self.ran_ns.fetch_add(more_ns, Ordering::Relaxed);
    }

    /// CPU time of all its turns that are over, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        self.ran_ns.load(Ordering::Relaxed) / 1_000
    }

    /// Whether the guest should yield.
    pub fn is_over(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        now >= self.until_ns.load(Ordering::Relaxed)
    }
}

impl State {
    fn new(services: &Services, setup: Setup, identity: Arc<str>, meter: &Arc<Meter>) -> Self {
        let Setup { gate, limits, .. } = &setup;
        let sockets = Arc::new(socket_table(gate.authority()));
        let resolver = Arc::clone(&services.resolver);
        let stdio = limits.hit(LimitName::Stdio);
        let stdout = BoundedSink::new(setup.stdout.clone(), stdio.clone());
        let stderr = BoundedSink::new(setup.stderr.clone(), stdio);
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(usize::try_from(limits.http_fields_bytes).unwrap_or(usize::MAX));
        Self {
            http,
            table,
            hooks: GatedHttp::new(
                Arc::clone(gate),
                &services.egress,
                Arc::clone(&resolver),
                limits,
                Arc::clone(&setup.secrets),
            ),
            memory: MemoryLimiter::new(limits.memory_bytes),
            preopens: Preopens::default(),
            open_files: OpenFiles::new(limits.hit(LimitName::OpenFiles)),
            call: CallContext::new(gate.call(), limits.wall, Arc::clone(meter), &setup.progress),
            config: ConfigValues::new(&setup.config),
            buckets: Buckets::new(Arc::clone(gate), Arc::clone(&services.storage), identity),
            desk: setup.desk.clone(),
            agent_clock: setup.fate.as_ref().map(|fate| fate.clock.clone()),
            gate: Arc::clone(gate),
            resolver,
            datagrams: Arc::new(Semaphore::new(sockets::p3::DATAGRAMS_MAX)),
            guest_handles: LimitName::Handles,
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            wasi: wasi(services, setup, (stdout, stderr), &sockets),
            sockets,
        }
    }
}

fn wasi(
    services: &Services,
    setup: Setup,
    (stdout, stderr): (BoundedSink, BoundedSink),
    table: &Arc<SocketTable>,
) -> WasiCtx {
    let Setup { gate, limits, ambient, arguments, environment, stdin, fate, .. } = setup;
    let mut wasi = WasiCtxBuilder::new();
    wasi.args(&arguments)
        .envs(&environment)
        .stdout(stdout)
        .stderr(stderr)
        .max_random_size(limits.random_bytes)
        // Opened files are regular, so a blocking call ends; a daemon keeps its threads free.
        .allow_blocking_current_thread(services.profile == engine::Profile::OneShot);
    match stdin {
        Input::Empty => {}
        Input::Process => {
            wasi.inherit_stdin();
        }
        Input::Bytes(bytes) => {
            wasi.stdin(pipe(bytes));
        }
    }
    if let Some(Fate { clock, random, seed }) = fate {
        wasi.monotonic_clock(clock.clone()).wall_clock(clock);
        wasi.secure_random(random.secure()).insecure_random(random.insecure());
        wasi.insecure_random_seed(u128::from_le_bytes(
            seed.first_chunk().copied().unwrap_or_default(),
        ));
        sockets::allow(&mut wasi, &gate, table);
        return wasi.build();
    }
    if ambient.clock {
        wasi.monotonic_clock(VirtualMonotonic::start());
    } else {
        wasi.monotonic_clock(FrozenMonotonic).wall_clock(FrozenWall);
    }
    if !ambient.random {
        // Not secret on purpose: the user asked for the same numbers in every run.
        wasi.secure_random(ChaCha12Rng::seed_from_u64(0))
            .insecure_random(ChaCha12Rng::seed_from_u64(1))
            .insecure_random_seed(0);
    }
    sockets::allow(&mut wasi, &gate, table);
    wasi.build()
}

fn pipe(bytes: bytes::Bytes) -> impl StdinStream {
    MemoryInputPipe::new(bytes)
}

impl State {
    /// Whether it is an agent's, whose journal is played back.
    pub(crate) fn replays(&self) -> bool {
        self.agent_clock.as_ref().is_some_and(AgentClock::replays)
    }

    /// True when one more file or socket would be too many. Each of them is one of the process's,
    /// and a neighbour that finds none left has noticed.
    pub(crate) fn has_open_files_max(&mut self) -> bool {
        let sockets = self.table.iter_mut();
        let sockets = sockets.filter(|entry| entry.is::<TcpSocket>() || entry.is::<UdpSocket>());
        let sockets = sockets.count();
        let full = self.open_files.is_full(sockets);
        if full {
            self.gate.note_limit(self.open_files.limit());
        }
        full
    }

    /// # Errors
    /// The limit, when one more file would be too many.
    pub(crate) fn may_open(&mut self) -> wasmtime::Result<()> {
        match self.has_open_files_max() {
            true => Err(self.open_files.limit().into()),
            false => Ok(()),
        }
    }

    /// A place for what takes a while to open.
    ///
    /// # Errors
    /// As [`Self::may_open`].
    pub(crate) fn place(&mut self) -> wasmtime::Result<Place> {
        self.may_open()?;
        Ok(self.open_files.take_place())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
