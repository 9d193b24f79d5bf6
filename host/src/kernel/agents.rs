//! Agents as processes: the table, births and deaths, and what an operator may do to them.
//!
//! An agent is a guest that the executor runs, with a desk that answers its questions. Its tools,
//! its model and its children are reached through its own gate; its rows are one chain.

mod birth;
mod bounds;
mod charter;
mod checkpoint;
mod death;
mod desk;
mod embedding;
mod family;
mod figures;
mod inference;
mod memory;
mod operate;
mod paging;
mod past;
mod patience;
mod player;
mod process;
mod reason;
mod recall_tools;
mod record;
mod recovery;
mod stored;
mod summary;
mod tools;
mod travel;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use secrecy::SecretString;

pub use self::checkpoint::{Checkpoint, checkpoints};
pub use self::memory::Setting;
pub use self::operate::OperateError;
pub(super) use self::past::Past;
pub(super) use self::player::{Played, Player};
pub use self::process::Holdings;
pub use self::recovery::Recovered;
pub use self::stored::{stored, stored_in};
pub use self::tools::Held;
pub use self::travel::{Traveller, export, import};

use self::process::Process;
use self::recovery::Stopped;
use super::executor::Executor;
pub use super::executor::Latency;
use super::{Fault, Kernel, Parts, Plugin};
use crate::capability::secrets::missing;
use crate::model::{Endpoint, Models};
use crate::pager::{Factor, Tokenizer};
use crate::sandbox::Ended;
use crate::sandbox::engine::instances_max;
use crate::scheduler::{Event, Options, OwnerId, Priority, ProviderId};
use crate::types::{LimitHit, Pid};

/// Finds a program by name, for agents that spawn others: its bytes, or why there is none.
pub type FindProgram = Arc<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync>;

/// Finds the value of a secret that an agent was granted, when it is started again: or why there is
/// none, in a sentence without it.
pub type FindSecret = Arc<dyn Fn(&str) -> Result<SecretString, String> + Send + Sync>;

/// What agents of this host may be and use.
#[derive(Clone)]
pub struct AgentOptions {
    /// The scheduler's: workers, slots, quotas, slices.
    pub schedule: Options,
    /// The models.
    pub models: Models,
    /// Where spawned programs come from.
    pub programs: FindProgram,
    /// Where secrets of agents that are started again come from: nowhere unless said.
    pub secrets: FindSecret,
    /// Calls in flight per provider.
    pub model_slots: u32,
    /// How long one call is held back for a provider that says "not now", where its caller names
    /// no time.
    pub call_patience: Duration,
    /// Children of one agent that live or whose end it has not been told of.
    pub children_max: usize,
    /// Messages in one mailbox.
    pub mailbox_max: usize,
    /// Bytes of all messages in one mailbox.
    pub mailbox_bytes_max: usize,
    /// Bytes of one message.
    pub message_bytes_max: usize,
    /// Bytes of one task or name.
    pub task_bytes_max: usize,
    /// Bytes of all pages of one agent.
    pub stored_bytes_max: u64,
    /// Bytes of content that the windows of all agents hold together; more waits for room. What is
    /// in no window is in the store alone.
    pub resident_bytes_max: u64,
    /// Agents whose guests are there at once; those above wait for one to end.
    pub live_max: u32,
    /// Agents that have ended and are still shown.
    pub exited_max: usize,
    /// Bytes of their answers and tasks together.
    pub exited_bytes_max: usize,
    /// Whether a later host takes its agents up where they stood.
    pub resumes: bool,
    /// Agents whose journals are played back at once.
    pub replays_max: usize,
}

/// Guests that are left to the tools of agents, however many agents there are.
const TOOL_INSTANCES: u32 = 200;

/// Models of which the count is remembered.
const MODELS_MAX: usize = 1_000;

impl AgentOptions {
    /// These models and programs, and the defaults.
    pub fn new(models: Models, programs: FindProgram) -> Self {
        Self {
            schedule: Options::default(),
            models,
            programs,
            secrets: Arc::new(|name| Err(missing(name).to_string())),
            model_slots: 64,
            // As long as a provider may ask for (`pacing::RETRY_MAX`).
            call_patience: Duration::from_secs(600),
            children_max: 1_000,
            mailbox_max: 1_000,
            mailbox_bytes_max: 16 << 20,
            message_bytes_max: 1 << 20,
            task_bytes_max: 1 << 20,
            stored_bytes_max: 256 << 20,
            resident_bytes_max: 2 << 30,
            live_max: instances_max().saturating_sub(TOOL_INSTANCES).max(1),
            exited_max: 1_024,
            exited_bytes_max: 64 << 20,
            resumes: false,
            replays_max: 64,
        }
    }
}

/// An agent to be born.
#[derive(Clone)]
pub struct Spawn {
    /// What people call it.
    pub name: String,
    /// What it runs.
    pub plugin: Arc<Plugin>,
    /// What it is to do.
    pub task: String,
    /// For whom.
    pub owner: OwnerId,
    /// How urgent.
    pub priority: Priority,
    /// Its share against agents of the same priority, 1 to 1,000.
    pub weight: u16,
    /// The model it asks.
    pub endpoint: Endpoint,
    /// What it may use.
    pub holdings: Holdings,
    /// Tokens of its prompts; none for what its model's window leaves.
    pub context_tokens: Option<u64>,
    /// How it remembered, where it lived before; none for a new one.
    pub remembers: Option<Setting>,
}

/// How an agent remembers.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// How tokens are counted.
    pub tokenizer: Tokenizer,
    /// Whether pages are recalled by themselves for each user turn.
    pub auto_recall: bool,
    /// The model that says what left the window; none leaves it at the stubs.
    pub summarise: Option<Endpoint>,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { tokenizer: Tokenizer::default(), auto_recall: true, summarise: None }
    }
}

/// Why an agent was not born.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpawnError {
    /// A bound was reached.
    #[error("{0}")]
    Limit(LimitHit),
    /// What was asked cannot be.
    #[error("{0}")]
    Refused(String),
    /// The window has no room for its task.
    #[error("{sentence}")]
    Window {
        /// What there is for a prompt.
        tokens: u64,
        /// What would do.
        sentence: String,
    },
    /// It could not be written down.
    #[error("{0}")]
    Journal(String),
}

/// All agents of a kernel. Cheap to clone.
#[derive(Clone)]
pub struct Agents {
    parts: Weak<Parts>,
    own: Arc<Own>,
    pub(super) options: Arc<AgentOptions>,
}

struct Own {
    executor: Executor,
    /// Bytes of content in the windows of all.
    resident_bytes: AtomicU64,
    /// What models count a counted token as, by their names.
    factors: Mutex<HashMap<String, Factor>>,
    /// One permit for each guest that may be there.
    live: tokio::sync::Semaphore,
    /// One permit for each journal that is played back.
    replays: Arc<tokio::sync::Semaphore>,
    /// Programs that agents run or ran, by their hashes.
    loaded: Mutex<HashMap<String, Weak<Plugin>>>,
    live_max: u32,
    table: Mutex<Table>,
    /// The names of providers; their places are their numbers.
    providers: Mutex<Vec<String>>,
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct Table {
    processes: BTreeMap<Pid, Arc<Process>>,
    /// The numbers that are left of those that were taken.
    next_pid: u64,
    pids_end: u64,
    /// Agents that could not be taken up, each with its chain and the reason.
    stopped: BTreeMap<Pid, Stopped>,
    /// In the order of their ends, with the bytes that each keeps.
    exited: VecDeque<(Pid, usize)>,
    exited_bytes: usize,
    /// Agents are being ended for good: none is born any more.
    closing: bool,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Agents")
    }
}

impl Agents {
    /// Starts the executor.
    pub(super) fn start(kernel: &Kernel, options: AgentOptions) -> Result<Self, Fault> {
        let parts = Arc::downgrade(&kernel.parts);
        let nudged = Weak::clone(&parts);
        let nudge = Box::new(move || {
            if let Some(parts) = nudged.upgrade() {
                parts.loading.sandbox().nudge();
            }
        });
        let executor = Executor::start(options.schedule.clone(), 0, nudge)
            .map_err(|error| Fault::Host(format!("no thread for guests: {error}")))?;
        let room = kernel.parts.loading.sandbox().instances_max();
        let live = options.live_max.min(room.saturating_sub(TOOL_INSTANCES).max(1));
        let own = Own {
            executor,
            resident_bytes: AtomicU64::new(0),
            factors: Mutex::default(),
            live: tokio::sync::Semaphore::new(
                usize::try_from(live)
                    .unwrap_or(usize::MAX)
                    .min(tokio::sync::Semaphore::MAX_PERMITS),
            ),
            live_max: live,
            replays: Arc::new(tokio::sync::Semaphore::new(options.replays_max.max(1))),
            loaded: Mutex::default(),
            table: Mutex::default(),
            providers: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        let agents = Self { parts, own: Arc::new(own), options: Arc::new(options) };
        let told = Arc::downgrade(&agents.own);
        agents.own.executor.on_pause(Box::new(move |pid, why| {
            let process = told.upgrade().and_then(|own| own.find(pid));
            if let Some(process) = process {
                process.state().exhausted = why;
            }
        }));
        Ok(agents)
    }

    pub(super) fn kernel(&self) -> Kernel {
        let parts = self.parts.upgrade().expect("invariant: agents live inside their kernel");
        Kernel { parts }
    }

    pub(super) fn executor(&self) -> &Executor {
        &self.own.executor
    }

    /// How many live at once; those above wait for one of them to end.
    pub fn live_max(&self) -> u32 {
        self.own.live_max
    }

    /// What ready agents and tools waited for a worker since the last look.
    pub fn latency(&self) -> Latency {
        self.executor().latency()
    }

    fn models(&self) -> &Models {
        &self.options.models
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.own.table()
    }

    pub(super) fn find(&self, pid: Pid) -> Option<Arc<Process>> {
        self.own.find(pid)
    }

    /// A program by its name, loaded.
    async fn program(&self, name: &str) -> Result<Arc<Plugin>, String> {
        let bytes = (self.options.programs)(name)?;
        let kernel = self.kernel();
        kernel.load_kept(name, bytes).await.map_err(|fault| fault.to_string())
    }

    /// A program that some agent has loaded already.
    fn loaded(&self, hash: &str) -> Option<Arc<Plugin>> {
        let loaded = self.own.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(hash).and_then(Weak::upgrade)
    }

    fn remember_loaded(&self, plugin: &Arc<Plugin>) {
        let mut loaded = self.own.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        loaded.insert(plugin.program().hash.to_string(), Arc::downgrade(plugin));
    }

    /// What was learnt of a model's count; new agents begin with it.
    fn factor(&self, model: &str) -> Factor {
        let factors = self.own.factors.lock().unwrap_or_else(PoisonError::into_inner);
        factors.get(model).copied().unwrap_or_default()
    }

    fn learnt(&self, model: &str, factor: Factor) {
        let mut factors = self.own.factors.lock().unwrap_or_else(PoisonError::into_inner);
        if factors.len() < MODELS_MAX || factors.contains_key(model) {
            factors.insert(model.to_owned(), factor);
        }
    }

    /// The number of a model's provider, which has its slots from the first time it is named.
    fn provider(&self, endpoint: &Endpoint) -> Result<ProviderId, Ended> {
        let mut names = self.own.providers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|name| name == endpoint.provider());
        let at = known.unwrap_or(names.len());
        let id = ProviderId(u16::try_from(at).unwrap_or(u16::MAX));
        if known.is_none() {
            names.push(endpoint.provider().to_owned());
            self.tell(Event::ProviderSlots(id, self.options.model_slots))?;
        }
        Ok(id)
    }
}

impl Own {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Whole after every statement: a panic elsewhere harms nothing.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, pid: Pid) -> Option<Arc<Process>> {
        self.table().processes.get(&pid).cloned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.executor.stop();
    }
}
