//! What an operator asks of the process table.

use std::sync::Arc;

use super::process::Process;
use super::record::Note;
use super::{Agents, Spawn, SpawnError};
use crate::journal::{Class, JournalError};
use crate::kernel::executor::Activity;
use crate::sandbox::agent::process as wit;
use crate::scheduler::{Event, Limits, Priority, Quota, Scope};
use crate::types::{AgentUsage, Ending, Pid, ProcessView, Standing, Waiting};

/// Why an operator's wish was not done: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// No such agent.
    #[error("there is no agent {0}")]
    NoAgent(Pid),
    /// It has ended, so nothing can be done to it.
    #[error("agent {0} has ended")]
    Ended(Pid),
    /// The wish cannot be done.
    #[error("{0}")]
    Refused(String),
}

/// Writes down what an operator did, safe from the end of this process.
async fn noted(process: &Process, note: &Note) -> Result<(), OperateError> {
    let written = process.note(note, Vec::new(), Class::Written).await;
    written.map(|_| ()).map_err(|error| unwritten(process.pid, &error))
}

pub(super) fn unwritten(pid: Pid, error: &JournalError) -> OperateError {
    match error {
        JournalError::ChainClosed(_) => OperateError::Ended(pid),
        error => OperateError::Refused(error.to_string()),
    }
}

/// Characters of a task that a list shows.
pub(super) const TASK_CHARS_SHOWN: usize = 120;
/// Characters of an answer that a list shows.
const ENDING_CHARS_LISTED: usize = 1_000;

impl Agents {
    /// A new agent without a parent.
    ///
    /// # Errors
    /// As for any agent: a bound, or a wish that cannot be.
    pub async fn spawn_first(&self, spawn: Spawn) -> Result<Pid, SpawnError> {
        let newborn = self.conceive(None, spawn).await?;
        let pid = newborn.process.pid;
        let born = self.bear_with(newborn, None, Class::Written).await;
        born.map_err(|error| SpawnError::Journal(error.to_string()))?;
        Ok(pid)
    }

    /// All agents, oldest first, and those that have ended lately. Long answers are cut here:
    /// [`Agents::show`] has them whole.
    pub fn list(&self) -> Vec<ProcessView> {
        let (processes, mut views): (Vec<_>, Vec<_>) = {
            let table = self.table();
            let stopped = table.stopped.values().map(|stopped| stopped.view.clone());
            (table.processes.values().cloned().collect(), stopped.collect())
        };
        views.extend(processes.iter().map(|process| self.view(process)));
        views.sort_by_key(|view| view.pid);
        for ending in views.iter_mut().filter_map(|view| view.ending.as_mut()) {
            ending.shorten(ENDING_CHARS_LISTED);
        }
        views
    }

    /// One agent.
    ///
    /// # Errors
    /// There is none.
    pub fn show(&self, pid: Pid) -> Result<ProcessView, OperateError> {
        if let Some(stopped) = self.table().stopped.get(&pid) {
            return Ok(stopped.view.clone());
        }
        Ok(self.view(&*self.known(pid)?))
    }

    /// Whether all the time that it may live is spent, so that only a raised limit lets it go on.
    pub fn is_out_of_time(&self, pid: Pid) -> bool {
        let why = self.find(pid).and_then(|process| process.state().exhausted);
        why.is_some_and(|why| why.quota == Quota::TotalWallMs)
    }

    /// Writes all that an agent remembers into the store, and says under which id it is there: its
    /// chain's.
    ///
    /// # Errors
    /// There is none, or the store cannot be written.
    pub async fn keep_pages(&self, pid: Pid) -> Result<String, OperateError> {
        let process = self.known(pid)?;
        let kept = self.keep(&process).await;
        kept.map_err(|error| OperateError::Refused(error.to_string()))?;
        Ok(process.chain.id().to_string())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// There is none.
    pub async fn wait(&self, pid: Pid) -> Result<Ending, OperateError> {
        let process = self.known(pid)?;
        Ok(self.ended(&process).await)
    }

    /// It gets no processor, and no call of it starts, until [`Agents::resume`].
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub async fn pause(&self, pid: Pid) -> Result<(), OperateError> {
        let process = self.living(pid)?;
        self.step(pid, Event::Paused(pid))?;
        process.state().paused = true;
        noted(&process, &Note::Paused).await
    }

    /// Takes a pause back.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub async fn resume(&self, pid: Pid) -> Result<(), OperateError> {
        let process = self.living(pid)?;
        self.step(pid, Event::Resumed(pid))?;
        process.state().paused = false;
        noted(&process, &Note::Resumed).await
    }

    /// Changes how urgent it is.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub async fn renice(&self, pid: Pid, priority: Priority) -> Result<(), OperateError> {
        let process = self.living(pid)?;
        self.step(pid, Event::Reniced(pid, priority))?;
        process.state().priority = priority;
        noted(&process, &Note::Reniced { priority: priority.get() }).await
    }

    /// Ends it and all below it.
    ///
    /// # Errors
    /// There is none, or it has ended.
    pub fn end(&self, pid: Pid, why: &str) -> Result<(), OperateError> {
        if let Some(stopped) = self.table().stopped.remove(&pid) {
            let (agents, why) = (self.clone(), why.to_owned());
            self.own.runtime.spawn(async move { agents.end_stopped(stopped, &why).await });
            return Ok(());
        }
        let process = self.living(pid)?;
        self.kill(process.pid, why);
        Ok(())
    }

    /// Puts a message of the operator's (pid 0) into its mailbox.
    ///
    /// # Errors
    /// There is none, it has ended, or its mailbox is full.
    pub async fn send(&self, pid: Pid, body: String) -> Result<(), OperateError> {
        let process = self.living(pid)?;
        let letter = self.letter(Pid(0), &process, body).map_err(|error| {
            OperateError::Refused(match error {
                wit::Error::MailboxFull(most) => {
                    format!("the mailbox of agent {pid} is full ({most} messages)")
                }
                wit::Error::LimitExceeded(limit) => {
                    format!("a {} has at most {} {}", limit.name, limit.value, limit.unit)
                }
                wit::Error::NoSuchProcess(text) | wit::Error::NoSuchProgram(text) => text,
                wit::Error::Denied(denial) => denial.remedy,
            })
        })?;
        self.post(letter, None).await.map_err(|error| unwritten(pid, &error))
    }

    /// Sets the limits of a scope; what they open goes on at once.
    ///
    /// # Errors
    /// There is no such scope.
    pub async fn set_limits(&self, scope: Scope, limits: Limits) -> Result<(), OperateError> {
        let set = self.executor().step(Event::LimitsSet(scope, limits));
        set.map_err(|misuse| OperateError::Refused(misuse.to_string()))?;
        match scope {
            Scope::Agent(pid) | Scope::Tree(pid) => {
                noted(&*self.known(pid)?, &Note::Limits { scope, limits }).await
            }
            Scope::Host | Scope::Owner(_) => self.keep_limits(scope, limits).await,
        }
    }

    fn step(&self, pid: Pid, event: Event) -> Result<(), OperateError> {
        self.executor().step(event).map_err(|_misfit| OperateError::Ended(pid))
    }

    fn known(&self, pid: Pid) -> Result<Arc<Process>, OperateError> {
        if let Some(stopped) = self.table().stopped.get(&pid) {
            let why = stopped.view.reason.as_deref().unwrap_or("");
            return Err(OperateError::Refused(format!("agent {pid} stands still: {why}")));
        }
        self.find(pid).ok_or(OperateError::NoAgent(pid))
    }

    pub(super) fn living(&self, pid: Pid) -> Result<Arc<Process>, OperateError> {
        let process = self.known(pid)?;
        match process.has_ended() {
            true => Err(OperateError::Ended(pid)),
            false => Ok(process),
        }
    }

    fn view(&self, process: &Process) -> ProcessView {
        let activity = self.executor().activity(process.pid);
        let state = process.state();
        let standing = match (
            &state.ending,
            state.paused || state.stopped.is_some(),
            state.exhausted,
            state.waiting,
        ) {
            (Some(_), ..) => Standing::Exited,
            (None, true, ..) => Standing::Paused,
            (None, false, Some(_), _) => Standing::Waiting(Waiting::Quota),
            (None, false, None, waiting) => match (activity, waiting) {
                (Some(Activity::Running), _) => Standing::Running,
                (Some(Activity::Ready), _) => Standing::Ready,
                (Some(Activity::Waiting), Some(what)) => Standing::Waiting(what),
                // Between two of its own steps.
                (Some(Activity::Waiting), None) => Standing::Waiting(Waiting::Time),
                (Some(Activity::Gone) | None, _) => Standing::Exited,
            },
        };
        let lived = process.lived_ms();
        let first_line = process.task.lines().next().unwrap_or("");
        ProcessView {
            pid: process.pid,
            parent: process.parent,
            name: process.name.clone(),
            program: process.plugin.program().name.clone(),
            model: process.endpoint.name().to_owned(),
            priority: state.priority.get(),
            standing,
            reason: state.stopped.clone().or(state.exhausted.map(|why| why.to_string())),
            ending: state.ending.clone(),
            usage: AgentUsage { cpu_us: process.cpu_us(), ..state.usage },
            wall_ms: state.wall_ms.unwrap_or(lived),
            chain: process.chain.id().to_string(),
            task: first_line.chars().take(TASK_CHARS_SHOWN).collect(),
        }
    }
}
