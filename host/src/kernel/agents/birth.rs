//! How an agent begins: what is checked, what is written down, what it starts from.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::desk::AgentDesk;
use super::memory::{Memory, Setting, budget_tokens_min};
use super::paging::window_tokens;
use super::process::{Birth, Process};
use super::{Agents, Spawn, SpawnError};
use crate::capability::authority::Authority;
use crate::capability::gate::Gate;
use crate::journal::{Body, Chain, Class, JournalError, Opening, Row, RowKind};
use crate::model::TokenUsage;
use crate::pager::Budget;
use crate::sandbox::program::Kind;
use crate::sandbox::state::{Input, Setup};
use crate::scheduler::{Admission, Event};
use crate::types::{CallId, LimitHit, Pid};

/// Bytes of an agent's name.
const NAME_BYTES_MAX: usize = 200;

impl Agents {
    /// A new agent. Its first row is in the journal before it runs.
    ///
    /// # Errors
    /// A bound, a wish that cannot be, or a journal that takes no row.
    pub(super) async fn spawn(
        &self,
        parent: Option<&Arc<Process>>,
        spawn: Spawn,
    ) -> Result<Pid, SpawnError> {
        self.check(parent, &spawn)?;
        let process = self.bear(parent, spawn).await?;
        let pid = process.pid;
        let holdings = &process.holdings;
        let admission = Admission {
            pid,
            parent: process.parent,
            owner: process.owner,
            priority: process.state().priority,
            weight: process.weight,
            limits: None,
            tree_limits: holdings.budget,
            cpu_share_permille: holdings.cpu_share_permille,
        };
        if let Err(misuse) = self.executor().step(Event::Admitted(Box::new(admission))) {
            return Err(SpawnError::Refused(misuse.to_string()));
        }
        if let Some(parent) = parent {
            parent.state().children.push(pid);
        }
        self.table().processes.insert(pid, Arc::clone(&process));
        self.bring_to_life(process);
        Ok(pid)
    }

    fn check(&self, parent: Option<&Arc<Process>>, spawn: &Spawn) -> Result<(), SpawnError> {
        let refused = |sentence: String| Err(SpawnError::Refused(sentence));
        let Spawn { name, plugin, task, .. } = spawn;
        if !matches!(plugin.program().kind, Kind::Agent(_)) {
            let (program, kind) = (&plugin.program().name, plugin.program().kind.name());
            return refused(format!("`{program}` is a {kind} and no agent"));
        }
        let named =
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
        if !named {
            return refused("an agent's name has 1 to 200 bytes and no control characters".into());
        }
        let most = self.options.task_bytes_max;
        if task.len() > most {
            let remedy = "a shorter task, or a file that it reads";
            return Err(bound("task", most as u64, "bytes", remedy));
        }
        if let Some(parent) = parent {
            let (children, depth) = (self.options.children_max, self.options.schedule.depth_max);
            if parent.state().children.len() >= children {
                return Err(bound("children", children as u64, "agents", "waiting for some"));
            }
            // Its tools are a generation below an agent.
            if parent.depth + 2 >= depth {
                return Err(bound("depth", u64::from(depth), "generations", "a flatter team"));
            }
        }
        self.check_budget(spawn)?;
        if self.table().closing {
            return refused("the host is closing".into());
        }
        Ok(())
    }

    /// Makes the process and its chain.
    async fn bear(
        &self,
        parent: Option<&Arc<Process>>,
        spawn: Spawn,
    ) -> Result<Arc<Process>, SpawnError> {
        let pid = {
            let mut table = self.table();
            table.next_pid += 1;
            Pid(table.next_pid)
        };
        let (chain, gate) = self.open_chain(&spawn);
        let seed: [u8; 32] = rand::random();
        let memory = self.setting(&spawn);
        let parent_pid = parent.map(|parent| parent.pid);
        let row = self.write_birth(&chain, &spawn, pid, parent_pid, seed, &memory);
        row.await.map_err(|error| SpawnError::Journal(error.to_string()))?;
        let Spawn { name, plugin, task, owner, priority, weight, endpoint, holdings, .. } = spawn;
        let memory = Memory::new(memory);
        Ok(Arc::new(Process::new(Birth {
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
        })))
    }

    /// How it will remember.
    fn setting(&self, spawn: &Spawn) -> Setting {
        let Spawn { endpoint, holdings, .. } = spawn;
        let memory = &holdings.memory;
        let model = window_tokens(endpoint);
        Setting {
            budget_tokens: spawn.context_tokens.unwrap_or(model).min(model),
            tokenizer: memory.tokenizer,
            factor: self.factor(endpoint.name()),
            auto_recall: memory.auto_recall,
            summarise: memory.summarise.is_some(),
            stored_bytes_max: self.options.stored_bytes_max,
            cache_prices: cache_prices(endpoint),
        }
    }

    /// A budget that its task alone exceeds is refused before anything is written.
    fn check_budget(&self, spawn: &Spawn) -> Result<(), SpawnError> {
        let setting = self.setting(spawn);
        let counter = setting.tokenizer.counter();
        let needed = budget_tokens_min(&spawn.task, &*counter, setting.factor);
        if needed <= setting.budget_tokens {
            return Ok(());
        }
        Err(SpawnError::Refused(format!(
            "a context budget of {} tokens is too small for the task: it needs at least {needed}, \
             and the program's own instructions and tools beside that; `--context-budget` sets it",
            setting.budget_tokens
        )))
    }

    /// Its chain, and its own gate: nothing that it holds is its own to use but its names (tools,
    /// models, programs).
    fn open_chain(&self, spawn: &Spawn) -> (Chain, Gate) {
        let grants = &spawn.holdings.options.grants;
        let written: Vec<_> = grants.iter().map(|(_, text)| text.clone()).collect();
        let grants: Vec<_> = grants.iter().map(|(grant, _)| grant.clone()).collect();
        let program = spawn.plugin.program();
        let chain = self.kernel().parts.journal.chain(Opening {
            plugin: &program.name,
            component: Some(program.hash),
            host_version: env!("CARGO_PKG_VERSION"),
            grants: &written,
        });
        // Its rows are its life's, which has no end that a number could name.
        let rows = LimitHit {
            name: "rows".into(),
            value: u64::MAX,
            unit: "rows".into(),
            remedy: "no flag".into(),
        };
        let tools = spawn.holdings.options.tools.clone();
        let authority = Arc::new(Authority::of_agent(&grants).with_tools(tools));
        let gate = Gate::new(authority, chain.clone(), CallId::fresh(), program.hash, rows);
        let gate = gate.of(&spawn.name);
        (chain, gate)
    }

    /// The row that an agent begins with.
    async fn write_birth(
        &self,
        chain: &Chain,
        spawn: &Spawn,
        pid: Pid,
        parent: Option<Pid>,
        seed: [u8; 32],
        memory: &Setting,
    ) -> Result<(), JournalError> {
        let tools: Vec<_> = spawn.holdings.tools.iter().map(|held| &held.alias).collect();
        let body = serde_json::json!({
            "pid": pid, "parent": parent, "name": spawn.name,
            "task_blake3": blake3::hash(spawn.task.as_bytes()).to_hex().as_str(),
            "seed": blake3::Hash::from_bytes(seed).to_hex().as_str(),
            "priority": spawn.priority.get(), "model": spawn.endpoint.name(),
            "tools": tools, "memory": memory,
        });
        let row = Row {
            who: &spawn.name,
            component: Some(spawn.plugin.program().hash),
            capability: "agent",
            target: &spawn.plugin.program().name,
            body: Body::Value(&body),
            ..Row::new(RowKind::Accepted)
        };
        chain.append(row, Class::Queued).await?;
        Ok(())
    }

    /// Hands it to the executor.
    fn bring_to_life(&self, process: Arc<Process>) {
        let turn = self.executor().turn();
        let _first = process.turn.set(Arc::clone(&turn));
        let setup = self.setup(&process, &turn);
        let finished = Arc::new(OnceLock::new());
        let (kernel, lived, told) = (self.kernel(), Arc::clone(&process), Arc::clone(&finished));
        let own = Arc::clone(&self.own);
        let life = async move {
            // The semaphore is never closed, so the only way not to get a permit is to be ended.
            let Ok(_permit) = own.live.acquire().await else { return };
            let program = &lived.plugin.program;
            let finished = kernel.parts.loading.sandbox().agent(program, setup, &lived.task).await;
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
            fate: Some((process.clock.clone(), process.seed)),
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

fn bound(name: &'static str, value: u64, unit: &'static str, remedy: &'static str) -> SpawnError {
    SpawnError::Limit(LimitHit {
        name: name.into(),
        value,
        unit: unit.into(),
        remedy: remedy.into(),
    })
}
