//! How an agent begins: what is checked, what is written down, what it starts from.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use super::bounds::unadmitted;
use super::charter::Charter;
use super::desk::AgentDesk;
use super::memory::{Memory, Setting};
use super::process::{Birth, Process};
use super::record::{AGENT, Note, Told};
use super::{Agents, Spawn, SpawnError};
use crate::capability::authority::Authority;
use crate::capability::gate::Gate;
use crate::journal::{Body, Chain, Class, Group, JournalError, Opening, PackedBody, Row, RowKind};
use crate::model::TokenUsage;
use crate::pager::Budget;
use crate::sandbox::host::clock::AgentClock;
use crate::sandbox::state::{Fate, Input, Setup};
use crate::sandbox::{Ended, Finished};
use crate::scheduler::{Admission, Event, Misuse};
use crate::storage::{NewProcess, ProcessChange, StorageError, apart};
use crate::types::{CallId, LimitHit, Pid};

/// Numbers that are taken at once: one write of the store for so many agents.
const PIDS_AT_ONCE: u64 = 16;

impl Agents {
    /// An agent that is ready to be born: checked, numbered, known to the scheduler. Nothing of it
    /// is in the journal yet but its chain.
    ///
    /// # Errors
    /// A bound, a wish that cannot be, or a journal that takes no row.
    pub(super) async fn conceive(
        &self,
        parent: Option<&Arc<Process>>,
        spawn: Spawn,
    ) -> Result<Newborn, SpawnError> {
        self.conceive_as(parent, None, spawn, None).await
    }

    /// An agent that goes on from where another stood, and draws on that one's budget where it
    /// lives.
    pub(super) async fn conceive_from(
        &self,
        spawn: Spawn,
        source: Option<&Arc<Process>>,
        seed: [u8; 32],
    ) -> Result<Newborn, SpawnError> {
        self.conceive_as(None, source, spawn, Some(seed)).await
    }

    async fn conceive_as(
        &self,
        parent: Option<&Arc<Process>>,
        source: Option<&Arc<Process>>,
        spawn: Spawn,
        seed: Option<[u8; 32]>,
    ) -> Result<Newborn, SpawnError> {
        self.check(parent, &spawn)?;
        let journal = |error: JournalError| SpawnError::Journal(error.to_string());
        self.keep_programs(&spawn).await.map_err(journal)?;
        let pid = self.next_pid().await.map_err(|error| SpawnError::Journal(error.to_string()))?;
        let spawn = Spawn { remembers: Some(self.setting(&spawn)), ..spawn };
        let (told, charter) = Told::of(&Charter::of(&spawn)).map_err(journal)?;
        let chain = self.open_chain(&spawn);
        let mut birth = self.birth(parent, spawn, pid, chain, seed.unwrap_or_else(rand::random));
        if let Some(source) = source {
            (birth.draws_on, birth.root) = (Some(source.pid), source.root);
        }
        let process = Arc::new(Process::new(birth));
        self.admit(&process).map_err(|misuse| unadmitted(&misuse))?;
        let admitted = Admitted { agents: self.clone(), pid, is_born: false };
        let clock_ns = process.clock.shows();
        Ok(Newborn { process, charter_told: told, clock_ns, charter, admitted })
    }

    /// Tells the scheduler of an agent.
    pub(super) fn admit(&self, process: &Process) -> Result<(), Misuse> {
        let holdings = &process.holdings;
        let source = process.draws_on.and_then(|pid| self.find(pid));
        let draws_on = source.filter(|source| !source.has_ended()).map(|source| source.pid);
        let admission = Admission {
            pid: process.pid,
            parent: process.parent.or(draws_on),
            owner: process.owner,
            priority: process.state().priority,
            weight: process.weight,
            limits: self.own_limits(holdings),
            tree_limits: holdings.budget,
            cpu_share_permille: holdings.cpu_share_permille,
        };
        self.executor().step(Event::Admitted(Box::new(admission)))
    }

    /// Writes its first row, with `own`, the row of its parent that says so, and brings it to life.
    /// The agent runs after both are queued.
    pub(super) async fn bear_with(
        &self,
        newborn: Newborn,
        own: Option<(&Arc<Process>, Row<'_>, Vec<PackedBody>)>,
        class: Class,
    ) -> Result<(), Ended> {
        let process = Arc::clone(&newborn.process);
        self.bear(newborn, own, None, class).await?;
        self.bring_to_life(process);
        Ok(())
    }

    /// Writes its first rows, and enters it.
    pub(super) async fn bear(
        &self,
        newborn: Newborn,
        own: Option<(&Arc<Process>, Row<'_>, Vec<PackedBody>)>,
        note: Option<&Note>,
        class: Class,
    ) -> Result<(), Ended> {
        let Newborn { process, charter_told, clock_ns, charter, mut admitted } = newborn;
        let birth = birth_text(&process, clock_ns, &charter_told);
        let journal = |error: JournalError| Ended::Journal(error.to_string());
        let noted = note.map(|note| note.text().map(|text| (note, text)));
        let noted = noted.transpose().map_err(journal)?;
        let row = Row {
            who: &process.name,
            component: Some(process.component()),
            capability: AGENT,
            target: &process.plugin.program().name,
            body: Body::Text(&birth),
            ..Row::new(RowKind::Accepted)
        };
        let born = ProcessChange::Born(NewProcess {
            pid: process.pid.0,
            chain: process.chain.id(),
            parent: process.parent.map_or(0, |parent| parent.0),
            resumes: self.options.resumes,
        });
        let mut group = Group { rows: vec![(&process.chain, row)], ..Group::default() };
        group.processes.push(born);
        if let Some((note, text)) = &noted {
            group.rows.push((&process.chain, note.row(&process.name, text)));
        }
        group.bodies.extend(charter);
        let parent = own.map(|(parent, row, bodies)| {
            group.rows.push((&parent.chain, row));
            group.bodies.extend(bodies);
            parent
        });
        let written = process.chain.journal().append_together(group, class).await;
        written.map_err(journal)?;
        admitted.is_born = true;
        if let Some(parent) = parent {
            parent.state().children.push(process.pid);
        }
        self.table().processes.insert(process.pid, process);
        Ok(())
    }

    /// What a process starts from.
    pub(super) fn birth(
        &self,
        parent: Option<&Arc<Process>>,
        spawn: Spawn,
        pid: Pid,
        chain: Chain,
        seed: [u8; 32],
    ) -> Birth {
        let gate = gate_of(&spawn, &chain);
        let memory = Memory::new(self.setting(&spawn));
        let Spawn { name, plugin, task, owner, priority, weight, endpoint, holdings, .. } = spawn;
        Birth {
            pid,
            name,
            parent: parent.map(|parent| parent.pid),
            root: parent.map_or(pid, |parent| parent.root),
            depth: parent.map_or(0, |parent| parent.depth + 1),
            owner,
            priority,
            weight,
            plugin,
            task,
            endpoint,
            holdings,
            chain,
            gate: Arc::new(gate),
            memory,
            seed,
            clock: AgentClock::start(),
            lived_before_ms: 0,
            draws_on: None,
        }
    }

    /// How it will remember.
    pub(super) fn setting(&self, spawn: &Spawn) -> Setting {
        if let Some(setting) = spawn.remembers {
            return setting;
        }
        let Spawn { endpoint, holdings, .. } = spawn;
        let memory = &holdings.memory;
        let room = self.room_at_birth(spawn).tokens;
        Setting {
            budget_tokens: spawn.context_tokens.unwrap_or(room).min(room),
            tokenizer: memory.tokenizer,
            factor: self.factor(endpoint.name()),
            auto_recall: memory.auto_recall,
            summarise: memory.summarise.is_some(),
            stored_bytes_max: self.options.stored_bytes_max,
            cache_prices: cache_prices(endpoint),
        }
    }

    /// A number that no agent of this store has had.
    pub(super) async fn next_pid(&self) -> Result<Pid, StorageError> {
        {
            let mut table = self.table();
            if table.next_pid < table.pids_end {
                table.next_pid += 1;
                return Ok(Pid(table.next_pid - 1));
            }
        }
        let storage = Arc::clone(self.kernel().storage());
        let first = apart(async move { storage.take_pids(PIDS_AT_ONCE).await }).await?;
        let mut table = self.table();
        // Of two who came here at once, the first one's numbers are lost.
        (table.next_pid, table.pids_end) = (first + 1, first + PIDS_AT_ONCE);
        Ok(Pid(first))
    }

    /// Its chain.
    fn open_chain(&self, spawn: &Spawn) -> Chain {
        let grants = &spawn.holdings.options.grants;
        let written: Vec<_> = grants.iter().map(|(_, text)| text.clone()).collect();
        let program = spawn.plugin.program();
        self.kernel().parts.journal.chain(Opening {
            plugin: &program.name,
            component: Some(program.hash),
            host_version: env!("CARGO_PKG_VERSION"),
            grants: &written,
        })
    }

    /// Hands it to the executor.
    pub(super) fn bring_to_life(&self, process: Arc<Process>) {
        let turn = self.executor().turn();
        *process.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&turn));
        let setup = self.setup(&process, &turn);
        let finished = Arc::new(OnceLock::new());
        let (kernel, lived, told) = (self.kernel(), Arc::clone(&process), Arc::clone(&finished));
        let own = Arc::clone(&self.own);
        let life = async move {
            // The semaphore is never closed, so the only way not to get a permit is to be ended.
            let Ok(_permit) = own.live.acquire().await else { return };
            let storage = Arc::clone(kernel.storage());
            let finished = match lived.takes_its_turn_to_replay(storage, &own.replays).await {
                Ok(()) => {
                    let program = &lived.plugin.program;
                    kernel.parts.loading.sandbox().agent(program, setup, &lived.task).await
                }
                Err(why) => Finished::at_once(Err(Ended::Diverged(why))),
            };
            let _once = told.set(finished);
        };
        let (agents, runtime, pid) = (self.clone(), self.own.runtime.clone(), process.pid);
        let dead = Arc::clone(&process);
        let gone = move |how| {
            let finished = Arc::into_inner(finished).and_then(OnceLock::into_inner);
            runtime.spawn(async move { agents.bury(&dead, how, finished).await });
        };
        self.executor().run(pid, turn, life, gone);
        // Whoever killed it a moment ago found nothing to end.
        if process.state().killed.is_some() {
            self.executor().kill(pid);
        }
    }

    fn setup(&self, process: &Arc<Process>, turn: &Arc<crate::sandbox::state::Turn>) -> Setup {
        let desk = AgentDesk { agents: self.clone(), process: Arc::clone(process) };
        let options = &process.holdings.options;
        let mut limits = options.limits.clone();
        // How long it lives is its budget's matter.
        limits.wall = Duration::MAX;
        limits.cpu = Duration::MAX;
        Setup {
            gate: Arc::clone(&process.gate),
            limits,
            ambient: options.ambient,
            arguments: vec![process.name.clone()],
            environment: Vec::new(),
            config: Vec::new(),
            secrets: Arc::default(),
            stdin: Input::Empty,
            stdout: options.streams.stdout.clone(),
            stderr: options.streams.stderr.clone(),
            progress: options.progress.clone(),
            desk: Some(Arc::new(desk)),
            fate: Some(Fate {
                clock: process.clock.clone(),
                random: process.random.clone(),
                seed: process.seed,
            }),
            turn: Some(Arc::clone(turn)),
        }
    }
}

/// What reading from and writing to a model's cache costs, as shares of an input token's price.
fn cache_prices(endpoint: &crate::model::Endpoint) -> (f32, f32) {
    const MANY: u64 = 1_000_000;
    let of = |usage: TokenUsage| endpoint.price(&usage).unwrap_or(0) as f32;
    let input = of(TokenUsage { input: MANY, ..TokenUsage::default() });
    if input == 0.0 {
        let usual = Budget::tokens(0);
        return (usual.cache_read, usual.cache_write);
    }
    let read = of(TokenUsage { cache_read: MANY, ..TokenUsage::default() }) / input;
    let write = of(TokenUsage { cache_write: MANY, ..TokenUsage::default() }) / input;
    (read.clamp(0.01, 1.0), write.clamp(1.0, 4.0))
}

/// Its own gate: nothing that it holds is its own to use but its names (tools, models, programs).
fn gate_of(spawn: &Spawn, chain: &Chain) -> Gate {
    let grants = &spawn.holdings.options.grants;
    let grants: Vec<_> = grants.iter().map(|(grant, _)| grant.clone()).collect();
    // Its rows are its life's, which has no end that a number could name.
    let rows = LimitHit {
        name: "rows".into(),
        value: u64::MAX,
        unit: "rows".into(),
        remedy: "no flag".into(),
    };
    let tools = spawn.holdings.options.tools.clone();
    let authority = Arc::new(Authority::of_agent(&grants).with_tools(tools));
    let hash = spawn.plugin.program().hash;
    Gate::new(authority, chain.clone(), CallId::fresh(), hash, rows).of(&spawn.name)
}

/// The body of the row that an agent begins with.
fn birth_text(process: &Process, clock_ns: u64, charter: &Told) -> String {
    let tools: Vec<_> = process.holdings.tools.iter().map(|held| &held.alias).collect();
    serde_json::json!({
        "pid": process.pid, "parent": process.parent, "name": process.name,
        "task_blake3": blake3::hash(process.task.as_bytes()).to_hex().as_str(),
        "seed": blake3::Hash::from_bytes(process.seed).to_hex().as_str(),
        "clock": clock_ns,
        "priority": process.state().priority.get(), "model": process.endpoint.name(),
        "tools": tools,
        "charter": charter,
    })
    .to_string()
}

/// An agent between its admission and its first row.
pub(super) struct Newborn {
    pub(super) process: Arc<Process>,
    charter_told: Told,
    charter: Option<PackedBody>,
    /// What its clock shows first, in nanoseconds since the Unix epoch.
    clock_ns: u64,
    admitted: Admitted,
}

impl Newborn {
    /// Its clock shows this first: it goes on from where another stood.
    pub(super) fn begins_at(&mut self, clock_ns: u64) {
        self.clock_ns = clock_ns;
        self.process.clock.enter(clock_ns);
    }
}

/// What the scheduler knows of an agent that may not be born after all.
struct Admitted {
    agents: Agents,
    pid: Pid,
    is_born: bool,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.is_born {
            let _known = self.agents.executor().step(Event::Left(self.pid));
        }
    }
}
