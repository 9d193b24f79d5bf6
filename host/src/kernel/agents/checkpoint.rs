//! Named points of an agent's journal, and going back to them.
//!
//! A checkpoint is a row: it copies nothing. A restore is a row that names an earlier one, and what
//! stands between counts no more; a fork is a chain that begins with the rows of another. Neither
//! undoes what happened outside, mail that was sent, or what was used; calls that were open at the
//! point are `interrupted`.

use std::sync::Arc;

use super::operate::OperateError;
use super::past::{Past, Point};
use super::process::Process;
use super::record::Note;
use super::{Agents, Spawn, SpawnError};
use crate::journal::{ChainId, Class, JournalError};
use crate::scheduler::{Amounts, Limits, Scope};
use crate::storage::{ProcessRange, Storage};
use crate::types::Pid;

/// Bytes of a checkpoint's label.
pub(super) const LABEL_BYTES_MAX: usize = 200;

/// A named point of an agent's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// `PID.ROW`.
    pub id: String,
    /// What it was called.
    pub label: String,
    /// When it was taken, in microseconds since the Unix epoch.
    pub time_us: i64,
    /// Whether the agent handed its state over with it.
    pub with_state: bool,
}

impl From<Point> for Checkpoint {
    fn from(point: Point) -> Self {
        let Point { id, label, time_us, with_state, .. } = point;
        Self { id, label, time_us, with_state }
    }
}

/// The checkpoints of an agent, living or ended, oldest first. Needs no host.
///
/// # Errors
/// When there is no such agent, or its chain cannot be read.
pub async fn checkpoints(
    store: &Arc<dyn Storage>,
    pid: Pid,
) -> Result<Vec<Checkpoint>, OperateError> {
    let past = past_of(store, pid).await?;
    Ok(past.points.into_iter().map(Into::into).collect())
}

async fn past_of(store: &Arc<dyn Storage>, pid: Pid) -> Result<Past, OperateError> {
    let refused = |error: String| OperateError::Refused(error);
    let found = store.processes(ProcessRange::Only(pid.0)).await;
    let record = found.map_err(|error| refused(error.to_string()))?.into_iter().next();
    let record = record.ok_or(OperateError::NoAgent(pid))?;
    let chain = <[u8; 16]>::try_from(&record.chain[..]).unwrap_or_default();
    Past::read(store, chain).await.map_err(|error| refused(error.to_string()))
}

/// The agent that a checkpoint's id names.
fn pid_of(id: &str) -> Result<Pid, OperateError> {
    let pid = id.split_once('.').filter(|(_, row)| row.parse::<u64>().is_ok());
    let pid = pid.and_then(|(pid, _)| pid.parse().ok()).map(Pid);
    pid.ok_or_else(|| {
        let id: String = id.chars().take(80).collect();
        OperateError::Refused(format!("`{id}` is no checkpoint; its id is like 7.132"))
    })
}

fn point_of(past: &Past, id: &str) -> Result<Point, OperateError> {
    let point = past.points.iter().find(|point| point.id == id).cloned();
    point.ok_or_else(|| {
        let pid = past.pid;
        OperateError::Refused(format!(
            "agent {pid} has no checkpoint {id}: `aos-host checkpoint list {pid}` shows them"
        ))
    })
}

impl Agents {
    /// Names the point at which an agent stands; returns its id.
    ///
    /// # Errors
    /// There is none, it has ended, or the label is too long.
    pub async fn checkpoint(&self, pid: Pid, label: String) -> Result<String, OperateError> {
        let process = self.living(pid)?;
        if label.len() > LABEL_BYTES_MAX {
            let sentence = format!("a label has at most {LABEL_BYTES_MAX} bytes");
            return Err(OperateError::Refused(sentence));
        }
        let noted = process.note(&Note::Checkpoint { label }, Vec::new(), Class::Synced).await;
        let seq = noted.map_err(|error| super::operate::unwritten(pid, &error))?;
        Ok(format!("{pid}.{}", seq.0))
    }

    /// Puts an agent back where it stood at a checkpoint of its own. Children that it made since
    /// are ended; its mail, what it used and what happened outside stay.
    ///
    /// # Errors
    /// There is no such checkpoint, or the agent has ended.
    pub async fn restore(&self, id: &str) -> Result<Pid, OperateError> {
        let pid = pid_of(id)?;
        let process = self.living(pid)?;
        let unwritten = |error: JournalError| super::operate::unwritten(pid, &error);
        let kernel = self.kernel();
        kernel.sync().await.map_err(|fault| OperateError::Refused(fault.to_string()))?;
        let before = past_of(kernel.storage(), pid).await?;
        let to = point_of(&before, id)?.seq;
        self.suspend(&process).await?;
        let note = Note::Restored { to };
        process.note(&note, Vec::new(), Class::Synced).await.map_err(unwritten)?;
        let past = past_of(kernel.storage(), pid).await?;
        for child in process.state().children.clone() {
            if !past.children.contains(&child) {
                self.kill(child, &format!("agent {pid} went back to before it was made"));
            }
        }
        self.relive(&process, past).map_err(OperateError::Refused)?;
        Ok(pid)
    }

    /// Takes an agent's instance away, and leaves it alive.
    async fn suspend(&self, process: &Arc<Process>) -> Result<(), OperateError> {
        let (told, gone) = tokio::sync::oneshot::channel();
        {
            let mut state = process.state();
            if state.stopped.take().is_some() {
                return Ok(());
            }
            if state.suspended.is_some() {
                let sentence = format!("agent {} is being put back already", process.pid);
                return Err(OperateError::Refused(sentence));
            }
            state.suspended = Some(told);
        }
        self.executor().kill(process.pid);
        match gone.await {
            Ok(()) => Ok(()),
            Err(_ended) => Err(OperateError::Ended(process.pid)),
        }
    }

    /// Lets an agent begin again, from what its chain says now.
    fn relive(&self, process: &Arc<Process>, mut past: Past) -> Result<(), String> {
        process.memory().begin_again();
        process.state().replies = 0;
        process.clock.enter(past.clock_ns);
        // Where its meters are still there, they know what it used.
        let tree = Scope::Tree(process.pid);
        let known = self.executor().look(|scheduler, now| scheduler.usage(tree, now).is_some());
        if known {
            past.charges.clear();
            past.children_charges.clear();
        }
        let children_used = process.state().children_used;
        self.recall(process, past)?;
        process.state().children_used = children_used;
        self.bring_to_life(Arc::clone(process));
        Ok(())
    }

    /// A new agent that goes on from a checkpoint of another, living or ended: with its history and
    /// grants, without its children and mail, and within what is left of its budget.
    ///
    /// # Errors
    /// There is no such checkpoint, or its programs are missing.
    pub async fn fork(&self, id: &str, name: Option<String>) -> Result<Pid, SpawnError> {
        let refused = |error: OperateError| SpawnError::Refused(error.to_string());
        let pid = pid_of(id).map_err(refused)?;
        let kernel = self.kernel();
        let synced = kernel.sync().await;
        synced.map_err(|fault| SpawnError::Journal(fault.to_string()))?;
        let past = past_of(kernel.storage(), pid).await.map_err(refused)?;
        let point = point_of(&past, id).map_err(refused)?;
        let mut spawn = self.spawn_of(&past.charter).await.map_err(SpawnError::Refused)?;
        spawn.name = name.unwrap_or_else(|| format!("{}-fork", spawn.name));
        let source = self.find(pid).filter(|source| !source.has_ended());
        if source.is_none() {
            spawn.holdings.budget = left(spawn.holdings.budget, &past);
        }
        self.go_on(spawn, source.as_ref(), &past, i64::max(point.seq, 0)).await
    }

    /// A new agent that begins with the rows of another's chain up to this one.
    pub(super) async fn go_on(
        &self,
        spawn: Spawn,
        source: Option<&Arc<Process>>,
        past: &Past,
        seq: i64,
    ) -> Result<Pid, SpawnError> {
        let refused = |error: OperateError| SpawnError::Refused(error.to_string());
        let kernel = self.kernel();
        let mut newborn = self.conceive_from(spawn, source, past.seed).await?;
        let chain = ChainId(<[u8; 16]>::try_from(&past.history.chain().id[..]).unwrap_or_default());
        let note = Note::Forked {
            pid: past.pid.0,
            chain: chain.to_string(),
            seq,
            seed: blake3::Hash::from_bytes(rand::random()).to_hex().to_string(),
        };
        newborn.begins_at(past.clock_ns);
        let process = Arc::clone(&newborn.process);
        // Its first rows are read again below, so they are written before.
        self.bear(newborn, None, Some(&note), Class::Synced)
            .await
            .map_err(|error| SpawnError::Journal(error.to_string()))?;
        let own = past_of(kernel.storage(), process.pid).await.map_err(refused)?;
        process.plays(own.segments);
        self.bring_to_life(Arc::clone(&process));
        Ok(process.pid)
    }
}

/// What is left of a budget after all that its agent and its children used.
pub(super) fn left(budget: Limits, past: &Past) -> Limits {
    let all = past.charges.iter().chain(&past.children_charges);
    let used = all.fold(Amounts::default(), |sum, (_, used)| sum.plus(*used));
    let less = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
    Limits {
        total_tokens: less(budget.total_tokens, used.tokens),
        total_calls: less(budget.total_calls, used.calls),
        total_microdollars: less(budget.total_microdollars, used.microdollars),
        total_wall_ms: less(budget.total_wall_ms, past.lived_ms),
        ..budget
    }
}
