//! Where guests run: the engine, what they may import, their limits, and one fresh store a run.
//!
//! The sandbox runs a program and says how it ended. What the program may do is the gate's to
//! decide, who may run it the kernel's.

pub mod agent;
pub mod cache;
mod concurrency;
pub mod engine;
pub mod host;
pub mod inspect;
pub mod limits;
pub mod loading;
pub mod manifest;
pub(crate) mod meter;
pub mod pack;
pub mod plain;
pub mod program;
mod run;
pub mod sections;
pub mod state;
pub mod stdio;
mod tool;

use std::sync::{Arc, OnceLock};

use wasmtime::Engine;
use wasmtime::component::Linker;

pub use run::{Ended, Finished};

use crate::capability::network::egress::{Caps, Egress};
use crate::capability::network::resolve::{Resolver, SystemResolver};
use crate::sandbox::cache::CompileCache;
use crate::sandbox::engine::{Concurrency, Profile, Ticker};
use crate::sandbox::program::{BadPlugin, Loader, OnCompile, Program};
use crate::sandbox::state::State;
use crate::storage::Storage;
use crate::types::ComponentHash;

/// What host functions reach beyond the store they run in.
#[derive(Clone)]
pub struct Services {
    /// The engine's profile.
    pub profile: Profile,
    /// The way out for HTTP.
    pub egress: Egress,
    /// Who knows addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Where key-value buckets are kept.
    pub storage: Arc<dyn Storage>,
}

impl Services {
    /// The system's own resolver and trusted roots, with `storage` for buckets.
    pub fn of_the_system(profile: Profile, storage: Arc<dyn Storage>) -> Self {
        let egress = Egress::new(Caps::default());
        Self { profile, egress, resolver: Arc::new(SystemResolver::default()), storage }
    }
}

/// One engine with everything linked.
struct Stage {
    engine: Engine,
    _ticker: Ticker,
    linker: Linker<State>,
    concurrency: Concurrency,
}

impl Stage {
    fn new(profile: Profile, concurrency: Concurrency) -> wasmtime::Result<Self> {
        let (engine, ticker) = engine::engine(profile, concurrency)?;
        let linker = host::link::linker(&engine, concurrency)?;
        Ok(Self { engine, _ticker: ticker, linker, concurrency })
    }
}

/// The engines, the cache, and what host functions reach.
pub struct Sandbox {
    main: Stage,
    /// For guests that do not fit the pool's slots: memory on demand. Made when one comes.
    on_demand: OnceLock<Stage>,
    /// For guests of WASI 0.3. Made when one comes, with memory on demand: one of them may need
    /// many stacks, and must not take its neighbours' slots.
    concurrent: OnceLock<Stage>,
    cache: Option<CompileCache>,
    on_compile: Option<OnCompile>,
    services: Services,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// An engine of the services' profile.
    ///
    /// # Errors
    /// When the machine cannot run compiled code or reserve what the profile needs.
    pub fn new(
        services: Services,
        cache: Option<CompileCache>,
        on_compile: Option<OnCompile>,
    ) -> wasmtime::Result<Self> {
        let main = Stage::new(services.profile, Concurrency::Off)?;
        let (on_demand, concurrent) = (OnceLock::new(), OnceLock::new());
        Ok(Self { main, on_demand, concurrent, cache, on_compile, services })
    }

    /// Makes a program of bytes: reads, adapts, compiles or loads, links. On this thread and
    /// without a bound on time: [`loading::Loading`] is the way for bytes of strangers.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the bytes.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Program, BadPlugin> {
        let hash = ComponentHash::of(bytes);
        let binary = program::binary(bytes)?;
        if concurrency::needed(&binary) == Concurrency::On {
            let stage = made(&self.concurrent, Concurrency::On)?;
            return self.load_on(stage, name, hash, &binary);
        }
        let loaded = self.load_on(&self.main, name, hash, &binary);
        let fits = match &loaded {
            Ok(program) => {
                engine::fits_the_pool(program.pre.component())
                    && !program::has_table_beyond(&binary, engine::POOL_TABLE_ELEMENTS as u64)
            }
            // The pool refuses what needs more memories or tables than a slot has. What is wrong in
            // itself is refused below once more, in the same words.
            Err(BadPlugin::Invalid(_)) => false,
            Err(
                BadPlugin::NotWasm(_)
                | BadPlugin::Manifest(_)
                | BadPlugin::Imports(_)
                | BadPlugin::NothingToRun(_)
                | BadPlugin::Budget(_),
            ) => true,
        };
        if fits || self.services.profile == Profile::OneShot {
            return loaded;
        }
        // Both engines make the same code, so a second load is from the cache.
        self.load_on(made(&self.on_demand, Concurrency::Off)?, name, hash, &binary)
    }

    /// How many guests can be suspended at once on this sandbox's engine.
    pub fn instances_max(&self) -> u32 {
        match self.services.profile {
            Profile::Daemon => engine::POOL_INSTANCES,
            Profile::OneShot | Profile::Host => engine::instances_max(),
        }
    }

    /// Has every running agent look at its turn now, not at the next tick; other guests have none.
    pub fn nudge(&self) {
        self.main.engine.increment_epoch();
        if let Some(stage) = self.on_demand.get() {
            stage.engine.increment_epoch();
        }
    }

    fn load_on(
        &self,
        stage: &Stage,
        name: &str,
        hash: ComponentHash,
        binary: &[u8],
    ) -> Result<Program, BadPlugin> {
        let loader = Loader {
            engine: &stage.engine,
            linker: &stage.linker,
            concurrency: stage.concurrency,
            cache: self.cache.as_ref(),
            on_compile: self.on_compile.as_ref(),
        };
        loader.load(name, hash, binary)
    }
}

/// A stage with memory on demand, made when it is first needed.
fn made(stage: &OnceLock<Stage>, concurrency: Concurrency) -> Result<&Stage, BadPlugin> {
    if stage.get().is_none() {
        let made = Stage::new(Profile::OneShot, concurrency)
            .map_err(|error| BadPlugin::Invalid(format!("no engine for such a guest: {error}")))?;
        // Another thread may have been faster: one of the two is dropped.
        let _lost_race = stage.set(made);
    }
    stage.get().ok_or_else(|| BadPlugin::Invalid("no engine".into()))
}
