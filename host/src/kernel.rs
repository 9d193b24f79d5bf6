//! The kernel: one door ([`Kernel::submit`]) for whatever wants something done.
//!
//! It resolves and checks what is asked, records it, has the sandbox run it behind a gate, and
//! records how it ended. Until there is a scheduler it dispatches at once.

pub mod agents;
mod bounds;
mod catalogue;
pub mod contexts;
mod executor;
mod native;
pub mod replay;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OnceCell;

pub use session::{HASH_CHARS_MIN, Session, SessionOptions, Streams};

use self::agents::{AgentOptions, Agents};
use self::catalogue::Catalogue;
use self::session::Origin;
use crate::capability::network::resolve::Resolver;
use crate::container::daemon::{ContainerOptions, Containers};
use crate::journal::{Class, Digest, Group, Journal, JournalError, JournalOptions, PackedBody};
use crate::sandbox::cache::{CACHE_BYTES_DEFAULT, CompileCache};
use crate::sandbox::engine::Profile;
use crate::sandbox::limits::Limits;
use crate::sandbox::loading::Loading;
use crate::sandbox::program::{BadPlugin, CompileEvent, Kind, OnCompile, Program};
use crate::sandbox::state::Turn;
use crate::sandbox::{Ended, Sandbox, Services};
use crate::storage::{Storage, StorageError, StoreUrl};
use crate::types::{Definition, Output, Reply, Syscall, ToolError};

/// Why the kernel has no reply: one variant for each kind of blame.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Caller(String),
    /// The bytes are no program for this host.
    #[error("{0}")]
    Plugin(#[from] BadPlugin),
    /// The tool answered with an error.
    #[error("{0}")]
    Tool(ToolError),
    /// The run ended without an answer.
    #[error("{0}")]
    Ended(Ended),
    /// The journal could not take a row, so nothing happened after it.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The store could not be opened.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The host itself could not start.
    #[error("{0}")]
    Host(String),
}

/// A program with its catalogue: what sessions are opened on.
#[derive(Debug)]
pub struct Plugin {
    program: Program,
    catalogue: OnceCell<Catalogue>,
    /// The bytes, until the store has them; none where nobody wants them kept.
    bytes: tokio::sync::Mutex<Option<Bytes>>,
}

impl Plugin {
    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Puts its bytes into the store, before any row that is queued after this.
    async fn keep(&self, kernel: &Kernel) -> Result<(), JournalError> {
        let mut bytes = self.bytes.lock().await;
        let Some(content) = bytes.clone() else { return Ok(()) };
        if !kernel.storage().has_body(Digest(self.program.hash.0)).await? {
            let packed = tokio::task::spawn_blocking(move || PackedBody::pack(&content)).await;
            let packed = packed.map_err(|error| JournalError::Io(std::io::Error::other(error)))?;
            let group = Group { bodies: vec![packed?], ..Group::default() };
            kernel.parts.journal.append_together(group, Class::Queued).await?;
        }
        *bytes = None;
        Ok(())
    }
}

/// The whole host, embedded in a program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Kernel {
    parts: Arc<Parts>,
}

struct Parts {
    loading: Loading,
    containers: Containers,
    journal: Journal,
    storage: Arc<dyn Storage>,
    agents: std::sync::OnceLock<Agents>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("loading", &self.loading).finish_non_exhaustive()
    }
}

/// How a call of an agent runs: in its turns, for so long at most, as part of what.
#[derive(Debug, Default)]
struct InTurn {
    turn: Option<Arc<Turn>>,
    timeout: Option<Duration>,
    origin: Option<Origin>,
}

/// What a kernel is built from.
pub struct Builder {
    profile: Profile,
    store: StoreUrl,
    storage: Option<Arc<dyn Storage>>,
    resolver: Option<Arc<dyn Resolver>>,
    cache: Option<(PathBuf, u64)>,
    on_compile: Option<OnCompile>,
    load_time: Duration,
    journal: JournalOptions,
    containers: ContainerOptions,
}

impl Builder {
    /// How long the process will live: [`Profile::OneShot`] unless said.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Where the journal goes: memory unless said.
    #[must_use]
    pub fn store(mut self, store: StoreUrl) -> Self {
        self.store = store;
        self
    }

    /// A store that is open already, instead of one that is opened.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Who knows the addresses of names: the system unless said. Its answers are checked like
    /// anybody's.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Where compiled components are kept, and how many bytes of them: nowhere unless said.
    #[must_use]
    pub fn cache(mut self, folder: PathBuf, bytes_max: Option<u64>) -> Self {
        self.cache = Some((folder, bytes_max.unwrap_or(CACHE_BYTES_DEFAULT)));
        self
    }

    /// Who is told when a component is compiled.
    #[must_use]
    pub fn on_compile(mut self, tell: impl Fn(CompileEvent) + Send + Sync + 'static) -> Self {
        self.on_compile = Some(Arc::new(tell));
        self
    }

    /// How long loading a component may take: 5 minutes unless said.
    #[must_use]
    pub fn load_time(mut self, time: Duration) -> Self {
        self.load_time = time;
        self
    }

    /// Where Docker is, for container tools: the system's own socket unless said.
    #[must_use]
    pub fn containers(mut self, options: ContainerOptions) -> Self {
        self.containers = options;
        self
    }

    /// Opens the store, starts the engine and the journal's writer. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be opened or the engine not started. A cache that cannot be opened
    /// is only told to the log: everything works without it.
    pub async fn build(self) -> Result<Kernel, Fault> {
        let storage = match self.storage {
            Some(storage) => storage,
            None => self.store.open().await?,
        };
        let cache = self.cache.and_then(|(folder, bytes)| {
            CompileCache::open(&folder, bytes)
                .inspect_err(|error| tracing::warn!("nothing will be cached: {error}"))
                .ok()
        });
        let mut services = Services::of_the_system(self.profile, Arc::clone(&storage));
        if let Some(resolver) = self.resolver {
            services.resolver = resolver;
        }
        let sandbox = Sandbox::new(services, cache, self.on_compile)
            .map_err(|error| Fault::Host(format!("the engine does not start: {error}")))?;
        let journal = Journal::open(Arc::clone(&storage), self.journal).await?;
        let loading = Loading::new(Arc::new(sandbox), self.load_time);
        let agents = std::sync::OnceLock::new();
        let containers = Containers::new(self.containers);
        Ok(Kernel { parts: Arc::new(Parts { loading, containers, journal, storage, agents }) })
    }
}

impl Kernel {
    /// A kernel in memory, for one run; the builder changes what should be otherwise.
    pub fn builder() -> Builder {
        Builder {
            profile: Profile::OneShot,
            store: StoreUrl::Memory,
            storage: None,
            resolver: None,
            cache: None,
            on_compile: None,
            load_time: Limits::default().load,
            journal: JournalOptions::default(),
            containers: ContainerOptions::default(),
        }
    }

    /// Makes a plugin of a component's bytes, on a thread of its own. `name` serves where it
    /// carries no manifest. Given up, it goes on until it has ended or its time is over.
    ///
    /// # Errors
    /// [`Fault::Plugin`] says what is wrong with the bytes, or which budget they are over.
    pub async fn load(&self, name: &str, bytes: impl Into<Bytes>) -> Result<Arc<Plugin>, Fault> {
        let program = self.parts.loading.load(name, bytes.into()).await?;
        Ok(Arc::new(Plugin { program, catalogue: OnceCell::new(), bytes: Default::default() }))
    }

    /// As [`Kernel::load`], for an agent or its tools: whoever starts the agent again runs the same
    /// bytes, so the store keeps them with the first agent that uses them.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub async fn load_kept(&self, name: &str, bytes: Vec<u8>) -> Result<Arc<Plugin>, Fault> {
        let bytes = Bytes::from(bytes);
        let program = self.parts.loading.load(name, bytes.clone()).await?;
        let bytes = tokio::sync::Mutex::new(Some(bytes));
        Ok(Arc::new(Plugin { program, catalogue: OnceCell::new(), bytes }))
    }

    /// Opens a session: one caller, one plugin, its grants and limits, one chain in the journal.
    ///
    /// # Errors
    /// When a grant or a denied path cannot be resolved.
    pub fn session(&self, plugin: Arc<Plugin>, options: SessionOptions) -> Result<Session, Fault> {
        Session::open(&self.parts.journal, plugin, options)
    }

    /// Does one thing for a session. Whatever enters the kernel enters here.
    ///
    /// # Errors
    /// [`Fault`] says who is to blame.
    pub async fn submit(&self, session: &Session, syscall: Syscall) -> Result<Reply, Fault> {
        match syscall {
            Syscall::Definitions => {
                let catalogue = self.catalogue(session).await?;
                Ok(Reply::Definitions(catalogue.definitions().to_vec()))
            }
            Syscall::Call { tool, arguments } => {
                self.call(session, tool.as_deref(), &arguments, InTurn::default()).await
            }
            Syscall::Run { arguments } => self.run(session, arguments).await,
        }
    }

    /// The tools of a plugin, asked of it once, in an instance that may do nothing.
    async fn catalogue<'a>(&self, session: &'a Session) -> Result<&'a Catalogue, Fault> {
        let plugin = &session.plugin;
        let ask = async || {
            let setup = session.setup_of_catalogue();
            let found = self.parts.loading.sandbox().definitions(&plugin.program, setup).await;
            let definitions: Vec<Definition> = found.result.map_err(Fault::Ended)?;
            Catalogue::new(definitions)
        };
        plugin.catalogue.get_or_try_init(ask).await
    }

    /// Starts the workers that run agents.
    ///
    /// # Errors
    /// When they run already, or the system gives no threads.
    pub fn start_agents(&self, options: AgentOptions) -> Result<&Agents, Fault> {
        let agents = Agents::start(self, options)?;
        match self.parts.agents.set(agents) {
            Ok(()) => self.agents(),
            Err(_second) => Err(Fault::Host("agents run already".into())),
        }
    }

    /// The agents of this host.
    ///
    /// # Errors
    /// When [`Kernel::start_agents`] was not called.
    pub fn agents(&self) -> Result<&Agents, Fault> {
        self.parts.agents.get().ok_or_else(|| Fault::Host("no agents run here".into()))
    }

    /// One tool call on behalf of an agent, in the agent's turns.
    async fn call_in_turn(
        &self,
        session: &Session,
        tool: &str,
        arguments: &serde_json::Value,
        how: InTurn,
    ) -> Result<Output, Fault> {
        match self.call(session, Some(tool), arguments, how).await? {
            Reply::Output(output, _) => Ok(output),
            Reply::Definitions(_) | Reply::Exit(..) => {
                Err(Fault::Host("a call was answered with something else".into()))
            }
        }
    }

    async fn call(
        &self,
        session: &Session,
        tool: Option<&str>,
        arguments: &serde_json::Value,
        InTurn { turn, timeout, origin }: InTurn,
    ) -> Result<Reply, Fault> {
        let catalogue = self.catalogue(session).await?;
        let tool = catalogue.find(tool).map_err(Fault::Tool)?;
        tool.check_arguments(arguments)?;
        let text = arguments.to_string();
        let call = session.accept_call(tool.definition(), &text, origin).await?;
        let program = &session.plugin.program;
        let name = &tool.definition().name;
        if let Err(fault) = session.let_call(&call, name).await {
            session.settle(&call, name, Some(&fault), crate::types::Usage::default()).await?;
            return Err(fault);
        }
        let mut setup = session.setup(&call).await?;
        setup.turn = turn;
        if let Some(timeout) = timeout {
            setup.limits.wall = setup.limits.wall.min(timeout);
        }
        let finished = match &program.kind {
            Kind::Native(tools) => self.call_native(tools, &setup, name, arguments).await,
            Kind::Tool(_) | Kind::Agent(_) | Kind::Command(_) | Kind::Plain(_) => {
                let sandbox = self.parts.loading.sandbox();
                sandbox.call(program, setup, name, arguments, &text).await
            }
        };
        let usage = finished.usage;
        let answer = match finished.result {
            Ok(Ok(output)) => match tool.check_output(&output) {
                Ok(()) => Ok(output),
                Err(sentence) => Err(Fault::Ended(Ended::BadAnswer(sentence))),
            },
            Ok(Err(error)) => Err(Fault::Tool(call.believed(error, finished.refused))),
            Err(ended) => Err(Fault::Ended(ended)),
        };
        session.settle(&call, name, answer.as_ref().err(), usage).await?;
        Ok(Reply::Output(answer?, usage))
    }

    async fn run(&self, session: &Session, arguments: Vec<String>) -> Result<Reply, Fault> {
        let call = session.accept_run(&arguments).await?;
        let mut setup = session.setup(&call).await?;
        setup.arguments.extend(arguments);
        let finished = self.parts.loading.sandbox().command(&session.plugin.program, setup).await;
        let usage = finished.usage;
        let exit = finished.result.map_err(Fault::Ended);
        session.settle(&call, "run", exit.as_ref().err(), usage).await?;
        Ok(Reply::Exit(exit?, usage))
    }

    /// The store, for those who read it: audit, export.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.parts.storage
    }

    /// Waits until everything that was recorded so far is on the disk.
    ///
    /// # Errors
    /// When the journal could not be written.
    pub async fn sync(&self) -> Result<(), Fault> {
        Ok(self.parts.journal.flush(crate::journal::Class::Synced).await?)
    }

    /// For a process that ends now: everything recorded is written, and the rest is left to the
    /// system. Closing the store would tidy it, which takes longer than most runs.
    ///
    /// # Errors
    /// When the journal could not be written.
    pub async fn leave(self) -> Result<(), Fault> {
        self.parts.containers.settle().await;
        self.parts.journal.clone().close().await?;
        std::mem::forget(self);
        Ok(())
    }

    /// Ends a session: its last row, and everything before it safe on the disk.
    ///
    /// # Errors
    /// When the journal could not be written.
    pub async fn close_session(&self, session: Session, outcome: &str) -> Result<(), Fault> {
        session.close(outcome).await?;
        self.sync().await
    }
}
