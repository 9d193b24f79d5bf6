//! The only `wasmtime::Config` of the host, and the thread that makes time pass for guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Wasm stack of one call: what wasmtime gives by default, stated because the error names it.
pub const WASM_STACK_BYTES: usize = 512 * 1024;

/// One epoch. A running guest is asked to yield or stop at most this late.
pub const TICK: Duration = Duration::from_millis(1);

/// Whether guests of an engine may have several things under way: WASI 0.3 and the async ABI of
/// components. It costs: a small call takes some 1.6 times as long (`cargo bench --bench call`), so
/// it is for those alone that need it. The two compile to different code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// One call after another.
    Off,
    /// Streams, futures and calls under way.
    On,
}

/// How a process will use the engine. Both compile to the same code, so they share the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A few instances, then the process ends: memory on demand, nothing reserved.
    OneShot,
    /// Many instances for a long time: slots reserved at the start and used again.
    Daemon,
    /// Thousands of agents: as many slots as the system's memory maps allow. They take a third of a
    /// process's addresses, so there is one such engine in a process.
    Host,
}

/// Slots of a daemon's pool.
pub(crate) const POOL_INSTANCES: u32 = 1_000;
/// Slots of the largest pool: ten thousand agents that live, and the tools that they call.
const POOL_INSTANCES_MAX: u32 = 10_400;
/// Memory maps that a suspended guest takes in the pool (measured with a guest of Rust's std), and
/// those that are left to the rest of the process.
const MAPS_PER_INSTANCE: u32 = 6;
const MAPS_LEFT: u32 = 3_000;
/// Linux' own default, where the system does not say.
const MAPS_DEFAULT: u32 = 65_530;

/// How many guests can be suspended at once in this process: what the system allows in memory maps,
/// and the pool's slots.
pub fn instances_max() -> u32 {
    let said = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    let maps = said.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MAPS_DEFAULT);
    (maps.saturating_sub(MAPS_LEFT) / MAPS_PER_INSTANCE).clamp(100, POOL_INSTANCES_MAX)
}
/// Core instances, memories and tables that one component may take from the pool: what Rust, C and
/// their adapters need. Guests of other toolchains are larger and get memory on demand.
const POOL_CORE_INSTANCES: u32 = 8;
const POOL_MEMORIES: u32 = 1;
const POOL_TABLES: u32 = 4;
/// Elements of one table in the pool.
pub(crate) const POOL_TABLE_ELEMENTS: usize = 10_000;
/// Bytes of one memory in the pool: the default limit on memory.
pub(crate) const POOL_MEMORY_BYTES: usize = 256 << 20;

/// Of each slot's memory, what stays mapped for its next guest. Bounds what idle slots hold:
/// 100 of them are kept warm.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// Whether a component's needs are within the pool's slots.
pub(crate) fn fits_the_pool(component: &Component) -> bool {
    let Some(needs) = component.resources_required() else { return false };
    needs.num_memories <= POOL_MEMORIES
        && needs.num_tables <= POOL_TABLES
        && needs.max_initial_memory_size.is_none_or(|bytes| bytes <= POOL_MEMORY_BYTES as u64)
        && needs
            .max_initial_table_size
            .is_none_or(|elements| elements <= POOL_TABLE_ELEMENTS as u64)
}

/// Builds the engine for a profile, and its ticker.
///
/// # Errors
/// When the machine cannot run compiled code, or cannot reserve the pool's address space.
pub fn engine(profile: Profile, concurrency: Concurrency) -> wasmtime::Result<(Engine, Ticker)> {
    let mut config = base_config();
    config.concurrency_support(concurrency == Concurrency::On);
    if concurrency == Concurrency::On {
        // A call that is under way then has no stack of its own, which no limit would count.
        config.wasm_component_model_async_stackful(false).wasm_component_model_threading(false);
    }
    let instances = match profile {
        Profile::OneShot => None,
        Profile::Daemon => Some(POOL_INSTANCES),
        Profile::Host => Some(instances_max()),
    };
    if let Some(instances) = instances {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    }
    let engine = Engine::new(&config)?;
    let ticker = Ticker::start(&engine)?;
    Ok((engine, ticker))
}

fn base_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(WASM_STACK_BYTES + 512 * 1024)
        // What guests do not need is code that cannot be attacked.
        .wasm_memory64(false)
        // Replay must see the same bits again.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * POOL_CORE_INSTANCES)
        .max_core_instances_per_component(POOL_CORE_INSTANCES)
        .total_memories(instances * POOL_MEMORIES)
        .max_memories_per_component(POOL_MEMORIES)
        .total_tables(instances * POOL_TABLES)
        .max_tables_per_component(POOL_TABLES)
        .table_elements(POOL_TABLE_ELEMENTS)
        .total_stacks(instances)
        .max_memory_size(POOL_MEMORY_BYTES)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        // The kernel tells which pages a guest wrote, and only those are reset, in place. Without
        // it each instance ends with an unmap that interrupts every other core.
        .pagemap_scan(Enabled::Auto)
        .async_stack_keep_resident(32 << 10);
    pool
}

/// A thread that moves the engine's epoch once a tick, until the last clone is dropped.
///
/// It holds the engine weakly: an engine that nobody uses must not be kept by its clock.
#[derive(Clone, Debug)]
pub struct Ticker {
    _alive: Arc<Alive>,
}

#[derive(Debug)]
struct Alive {
    stop: Arc<AtomicBool>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Ticker {
    fn start(engine: &Engine) -> wasmtime::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let engine = engine.weak();
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new().name("epoch".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { _alive: Arc::new(Alive { stop }) })
    }
}
