//! After a crash: every agent that lived goes on where it stood.
//!
//! Its chain is read, its programs are found by their hashes, and its journal is played back to
//! it when its turn comes. What cannot be played back stands still, alone, and says why; it is
//! taken up again by the next host, or ended by an operator.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::past::{Past, Segment};
use super::player::Player;
use super::process::Process;
use super::record::Note;
use super::{Agents, Fault};
use crate::journal::{ChainId, Class, Group, History, JournalError};
use crate::sandbox::program::Kind;
use crate::scheduler::{Amounts, Event, Limits, OwnerId, Scope};
use crate::storage::{
    Bucket, Hex, PROCESSES_PAGE, ProcessChange, ProcessRange, ProcessRecord, Storage,
};
use crate::types::{AgentUsage, Ending, Pid, ProcessView, Standing};

/// What a host found when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Agents that go on, those that are paused too.
    pub agents: usize,
    /// Agents that stand still, each with the reason.
    pub stopped: Vec<(Pid, String)>,
    /// Agents that were ended, since their parents had ended.
    pub orphans: usize,
}

/// An agent that could not be taken up.
#[derive(Clone)]
pub(super) struct Stopped {
    pub(super) view: ProcessView,
    pub(super) chain: Vec<u8>,
    pub(super) parent: Option<Pid>,
}

/// Where the limits of the host and of owners are kept: no plugin's identity is called so.
const LIMITS: Bucket<'static> = Bucket { identity: "aos-host", name: "limits" };

impl Agents {
    /// Takes up every agent of the store that lived when its host ended. To be called once, by the
    /// one host of the store, before anything is spawned.
    ///
    /// # Errors
    /// When the store cannot be read. What is wrong with one agent stops that one alone.
    pub async fn recover(&self) -> Result<Recovered, Fault> {
        self.recall_limits().await?;
        let storage = Arc::clone(self.kernel().storage());
        let (mut recovered, mut born, mut after) = (Recovered::default(), Vec::new(), 0);
        loop {
            let page = storage.processes(ProcessRange::LiveAfter(after)).await?;
            let is_last = page.len() < PROCESSES_PAGE;
            for record in page {
                after = record.pid;
                match self.take_up(&storage, &record).await {
                    Ok(process) if self.is_orphan(&record) => {
                        self.end_orphan(&process).await;
                        recovered.orphans += 1;
                    }
                    Ok(process) => born.push(process),
                    Err(why) => {
                        recovered.stopped.push((Pid(record.pid), why.clone()));
                        self.stand_still(&storage, &record, why).await;
                    }
                }
            }
            if is_last {
                break;
            }
        }
        recovered.agents = born.len();
        // Everybody is in the table before anybody runs: they may ask for each other.
        for process in born {
            self.bring_to_life(process);
        }
        Ok(recovered)
    }

    /// Makes the process again, as its chain has it. Fails with one sentence.
    async fn take_up(
        &self,
        storage: &Arc<dyn Storage>,
        record: &ProcessRecord,
    ) -> Result<Arc<Process>, String> {
        let chain = id_of(record)?;
        let past = Past::read(storage, chain).await.map_err(|error| error.to_string())?;
        self.revive(past).await
    }

    /// Makes a process of its past, enters it, and writes down that it was taken up.
    pub(super) async fn revive(&self, past: Past) -> Result<Arc<Process>, String> {
        let spawn = self.spawn_of(&past.charter).await?;
        if !matches!(spawn.plugin.program().kind, Kind::Agent(_)) {
            return Err(format!("`{}` is no agent", past.charter.program.name));
        }
        let parent = past.parent.and_then(|parent| self.find(parent));
        let waits_for_parent = past.parent.filter(|pid| self.table().stopped.contains_key(pid));
        if let Some(parent) = waits_for_parent {
            return Err(format!("its parent, agent {parent}, stands still"));
        }
        let chain = self.kernel().parts.journal.resume(&past.history);
        let mut birth = self.birth(parent.as_ref(), spawn, past.pid, chain, past.seed);
        birth.parent = past.parent;
        birth.priority = past.priority;
        birth.clock = crate::sandbox::host::clock::AgentClock::at(past.clock_ns);
        birth.lived_before_ms = past.lived_ms;
        birth.draws_on = past.source;
        let process = Arc::new(Process::new(birth));
        self.recall(&process, past)?;
        let noted = process.note(&Note::Recovered, Vec::new(), Class::Queued).await;
        noted.map_err(|error| error.to_string())?;
        self.table().processes.insert(process.pid, Arc::clone(&process));
        Ok(process)
    }

    /// Tells the scheduler and the process what the past says.
    pub(super) fn recall(&self, process: &Process, past: Past) -> Result<(), String> {
        self.admit(process).map_err(|misuse| misuse.to_string())?;
        let step = |event| self.executor().step(event).map_err(|misuse| misuse.to_string());
        let (own, tree) = (Scope::Agent(process.pid), Scope::Tree(process.pid));
        let charges = past.charges.iter().map(|charge| (own, charge));
        let children = past.children_charges.iter().map(|charge| (tree, charge));
        let used = past.children_charges.iter().map(|charge| charge.1);
        let children_used = used.fold(Amounts::default(), Amounts::plus);
        for (scope, (time_us, charged)) in charges.chain(children) {
            let age_ns = age_ns(*time_us);
            step(Event::RecoveredUse { scope, charged: *charged, age_ns, wall_ns: 0 })?;
        }
        let wall_ns = past.lived_ms.saturating_mul(1_000_000);
        let charged = Amounts::default();
        step(Event::RecoveredUse { scope: own, charged, age_ns: u64::MAX, wall_ns })?;
        for (scope, limits) in past.limits {
            step(Event::LimitsSet(scope, limits))?;
        }
        if past.paused {
            step(Event::Paused(process.pid))?;
        }
        let mut state = process.state();
        state.paused = past.paused;
        state.usage = past.usage;
        state.children_used = children_used;
        state.children = past.children;
        state.messages = past.messages;
        state.exits = past.exits;
        drop(state);
        process.plays(past.segments);
        Ok(())
    }

    fn is_orphan(&self, record: &ProcessRecord) -> bool {
        record.parent != 0 && self.find(Pid(record.parent)).is_none_or(|p| p.has_ended())
    }

    async fn end_orphan(&self, process: &Arc<Process>) {
        let parent = process.parent.map_or(0, |parent| parent.0);
        process.state().killed = Some(format!("its parent, agent {parent}, has ended"));
        let _left = self.executor().step(Event::Left(process.pid));
        self.bury(process, crate::kernel::executor::Gone::Killed, None).await;
    }

    /// Shows an agent that cannot go on, with the reason.
    async fn stand_still(&self, storage: &Arc<dyn Storage>, record: &ProcessRecord, why: String) {
        let past = match id_of(record) {
            Ok(chain) => Past::read(storage, chain).await.ok(),
            Err(_) => None,
        };
        let charter = past.as_ref().map(|past| &past.charter);
        let task = charter.and_then(|charter| charter.task.lines().next()).unwrap_or("");
        let parent = Some(Pid(record.parent)).filter(|parent| parent.0 != 0);
        let view = ProcessView {
            pid: Pid(record.pid),
            parent,
            name: charter.map_or("(not readable)", |charter| &charter.name).to_owned(),
            program: charter.map_or("", |charter| &charter.program.name).to_owned(),
            model: charter.map_or("", |charter| charter.model()).to_owned(),
            priority: past.as_ref().map_or(0, |past| past.priority.get()),
            standing: Standing::Paused,
            reason: Some(format!("it stands still: {why}")),
            ending: None,
            usage: past.as_ref().map_or_else(AgentUsage::default, |past| past.usage),
            wall_ms: past.as_ref().map_or(0, |past| past.lived_ms),
            chain: Hex(&record.chain).to_string(),
            task: task.chars().take(super::operate::TASK_CHARS_SHOWN).collect(),
        };
        let stopped = Stopped { view, chain: record.chain.clone(), parent };
        self.table().stopped.insert(Pid(record.pid), stopped);
    }

    /// Ends an agent that could not be taken up.
    pub(super) async fn end_stopped(&self, stopped: Stopped, why: &str) {
        let pid = stopped.view.pid;
        if let Err(error) = self.write_end_of_stopped(&stopped, why).await {
            tracing::warn!("the end of agent {pid} could not be written down: {error}");
            self.table().stopped.insert(pid, stopped);
        }
    }

    async fn write_end_of_stopped(&self, stopped: &Stopped, why: &str) -> Result<(), JournalError> {
        let kernel = self.kernel();
        let ending = Ending::Killed(why.to_owned());
        let id = <[u8; 16]>::try_from(&stopped.chain[..]).ok();
        let mut history = match id {
            Some(id) => History::of(Arc::clone(kernel.storage()), id).await.ok(),
            None => None,
        };
        if let Some(read) = &mut history {
            loop {
                match read.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_damaged) => {
                        history = None;
                        break;
                    }
                }
            }
        }
        let journal = &kernel.parts.journal;
        let Some(history) = history else {
            // Its chain takes no row any more; the index alone says that it is over.
            let processes = vec![ProcessChange::Ended(stopped.view.pid.0)];
            let group = Group { processes, ..Group::default() };
            return journal.append_together(group, Class::Written).await.map(|_| ());
        };
        let chain = journal.resume(&history);
        let end = super::death::End {
            pid: stopped.view.pid,
            parent: stopped.parent,
            chain: &chain,
            who: &stopped.view.name,
            program: &stopped.view.program,
            usage: stopped.view.usage,
            used: Amounts::default(),
        };
        self.write_end(&end, &ending).await
    }

    /// Keeps the limits of the host or an owner for the next host.
    pub(super) async fn keep_limits(
        &self,
        scope: Scope,
        limits: Limits,
    ) -> Result<(), super::OperateError> {
        let refused = |error: String| super::OperateError::Refused(error);
        let text = serde_json::to_vec(&limits).map_err(|error| refused(error.to_string()))?;
        let kernel = self.kernel();
        let kept = kernel.storage().kv_set(LIMITS, &scope.to_string(), &text).await;
        kept.map_err(|error| refused(error.to_string()))
    }

    async fn recall_limits(&self) -> Result<(), Fault> {
        let kernel = self.kernel();
        let mut after = None;
        loop {
            let page = kernel.storage().kv_keys(LIMITS, after.as_deref()).await?;
            for scope in page.keys.iter().filter_map(|key| kept_scope(key)) {
                let Some(text) = kernel.storage().kv_get(LIMITS, &scope.to_string()).await? else {
                    continue;
                };
                let limits: Limits = serde_json::from_slice(&text)
                    .map_err(|error| Fault::Host(format!("the kept limits of {scope}: {error}")))?;
                let set = self.executor().step(Event::LimitsSet(scope, limits));
                set.map_err(|misuse| Fault::Host(misuse.to_string()))?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

impl Process {
    /// These rows will be played back to it when it runs.
    pub(super) fn plays(&self, segments: Vec<Segment>) {
        let mut waiting = self.segments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *waiting = Some(segments);
    }

    /// Where it has a journal to play back: waits until that may begin, and opens it. Fails with
    /// one sentence.
    pub(super) async fn takes_its_turn_to_replay(
        &self,
        storage: Arc<dyn Storage>,
        replays: &Arc<tokio::sync::Semaphore>,
    ) -> Result<(), String> {
        self.random.reseed(self.seed);
        let segments = {
            let mut waiting =
                self.segments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            waiting.take()
        };
        let Some(segments) = segments else { return Ok(()) };
        let permit = Arc::clone(replays).acquire_owned().await.ok();
        let player = Player::of(storage, segments, self.clock.clone(), self.random.clone()).await;
        let mut player = player.map_err(|error| error.to_string())?;
        player.permit = permit;
        *self.player.lock().await = Some(player);
        Ok(())
    }
}

/// The scope whose limits are kept under this key.
fn kept_scope(key: &str) -> Option<Scope> {
    match key.strip_prefix("owner ") {
        Some(number) => number.parse().ok().map(|number| Scope::Owner(OwnerId(number))),
        None => (key == Scope::Host.to_string()).then_some(Scope::Host),
    }
}

fn id_of(record: &ProcessRecord) -> Result<[u8; 16], String> {
    let id = ChainId(<[u8; 16]>::try_from(&record.chain[..]).unwrap_or_default());
    match record.number {
        0 => Err(format!("its chain {id} is not in the store")),
        _ => Ok(id.0),
    }
}

/// Nanoseconds since a time of a row; a clock that was set back makes it young.
fn age_ns(time_us: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    u64::try_from(now_us.saturating_sub(time_us)).unwrap_or(0).saturating_mul(1_000)
}
