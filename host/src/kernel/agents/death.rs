//! How an agent ends: by itself, by a limit, by somebody; and who is told.

use std::sync::Arc;
use std::time::Duration;

use super::Agents;
use super::family::exit_of;
use super::process::Process;
use super::record::{AGENT, Note, Told};
use crate::journal::{Body, Chain, Class, Closing, Group, JournalError, Row, RowKind};
use crate::kernel::executor::Gone;
use crate::sandbox::{Ended, Finished};
use crate::scheduler::Amounts;
use crate::storage::ProcessChange;
use crate::types::{AgentUsage, Ending, Pid};

/// An agent at its end.
pub(super) struct End<'a> {
    pub(super) pid: Pid,
    pub(super) parent: Option<Pid>,
    pub(super) chain: &'a Chain,
    pub(super) who: &'a str,
    pub(super) program: &'a str,
    pub(super) usage: AgentUsage,
    /// As the ledger charges it, with what its children used.
    pub(super) used: Amounts,
}

impl Agents {
    /// Ends an agent and all below it, leaves first.
    pub(super) fn kill(&self, pid: Pid, why: &str) {
        for process in self.below(pid) {
            {
                let mut state = process.state();
                if state.ending.is_some() || state.killed.is_some() {
                    continue;
                }
                state.killed = Some(why.to_owned());
            }
            let stands_still = process.state().stopped.take().is_some();
            self.executor().kill(process.pid);
            if stands_still {
                let (agents, dead) = (self.clone(), process);
                self.own.runtime.spawn(async move { agents.bury(&dead, Gone::Killed, None).await });
            }
        }
    }

    /// The agent and all its living descendants, deepest first.
    fn below(&self, pid: Pid) -> Vec<Arc<Process>> {
        let table = self.table();
        let mut found: Vec<Arc<Process>> = table.processes.get(&pid).cloned().into_iter().collect();
        let mut at = 0;
        while let Some(process) = found.get(at).cloned() {
            let children = process.state().children.clone();
            found.extend(children.iter().filter_map(|child| table.processes.get(child)).cloned());
            at += 1;
        }
        found.reverse();
        found
    }

    /// Writes down how it ended, and tells so.
    pub(super) async fn bury(
        &self,
        process: &Arc<Process>,
        how: Gone,
        finished: Option<Finished<Result<String, String>>>,
    ) {
        let suspended = process.state().suspended.take();
        if let Some(told) = suspended.filter(|_| how == Gone::Killed) {
            // Whoever took its instance away lets it begin again.
            let _waits = told.send(());
            return;
        }
        if let Some(Finished { result: Err(Ended::Diverged(why)), .. }) = &finished
            && process.state().killed.is_none()
        {
            // It has not ended: with the right program, or after an upgrade, it goes on.
            tracing::warn!("agent {} stands still: {why}", process.pid);
            process.state().stopped = Some(why.clone());
            return;
        }
        let ending = ending_of(process.state().killed.clone(), how, finished.as_ref());
        for child in process.state().children.clone() {
            self.kill(child, &format!("its parent, agent {}, has ended", process.pid));
        }
        {
            let mut state = process.state();
            // Of one that was ended the turns are known, and not what it took in all.
            state.usage.cpu_us = process.cpu_us();
            if let Some(finished) = &finished {
                state.usage.memory_bytes = finished.usage.memory_bytes;
            }
        }
        self.forget(process).await;
        let ending = match self.write_ending(process, &ending).await {
            Ok(()) => ending,
            // What could not be written down is not told as done.
            Err(error) => Ending::Trapped(format!("its end could not be written down: {error}")),
        };
        self.tell_ending(process, ending);
    }

    async fn write_ending(&self, process: &Process, ending: &Ending) -> Result<(), JournalError> {
        process.gate.finish().await?;
        let usage = process.state().usage;
        let end = End {
            pid: process.pid,
            parent: process.parent,
            chain: &process.chain,
            who: &process.name,
            program: &process.plugin.program().name,
            usage,
            used: process.used(),
        };
        self.write_end(&end, ending).await
    }

    /// Its last rows, the row of its parent that says so, and its end in the index: one
    /// transaction.
    pub(super) async fn write_end(
        &self,
        end: &End<'_>,
        ending: &Ending,
    ) -> Result<(), JournalError> {
        let text: String = ending.text().chars().take(1_000).collect();
        let exit = exit_of(end.pid, ending);
        let (told, content) = Told::of(&exit.ending)?;
        let body = serde_json::json!({
            "ending": ending.word(),
            "text": text,
            "text_blake3": blake3::hash(ending.text().as_bytes()).to_hex().as_str(),
            "told": told,
        });
        let kind = match ending {
            Ending::Returned(_) | Ending::Failed(_) => RowKind::Outcome,
            Ending::Trapped(_) | Ending::Killed(_) | Ending::Limit(_) => RowKind::Fault,
        };
        let last = Row {
            who: end.who,
            capability: AGENT,
            target: end.program,
            body: Body::Value(&body),
            ..Row::new(kind)
        };
        let usage = serde_json::json!(end.usage);
        let closing = Closing { outcome: ending.word(), usage: &usage }.body();
        let closing = Row { body: Body::Value(&closing), ..Row::new(RowKind::Closed) };
        let note = Note::Exit { pid: exit.pid, ending: told, used: end.used };
        let note_text = note.text()?;
        let journal = end.chain.journal();
        let parent = end.parent.and_then(|parent| self.find(parent));
        if let Some(parent) = parent.as_deref().filter(|parent| !parent.has_ended()) {
            let group = Group {
                rows: vec![
                    (end.chain, last),
                    (end.chain, closing),
                    (&parent.chain, note.row(&parent.name, &note_text)),
                ],
                bodies: content.iter().cloned().collect(),
                processes: vec![ProcessChange::Ended(end.pid.0)],
            };
            match journal.append_together(group, Class::Written).await {
                // The parent has ended in between: nobody is left to be told.
                Err(JournalError::ChainClosed(id)) if id == parent.chain.id() => {}
                other => return other.map(|_| ()),
            }
        }
        let group = Group {
            rows: vec![(end.chain, last), (end.chain, closing)],
            bodies: content.into_iter().collect(),
            processes: vec![ProcessChange::Ended(end.pid.0)],
        };
        journal.append_together(group, Class::Written).await.map(|_| ())
    }

    fn tell_ending(&self, process: &Arc<Process>, ending: Ending) {
        let exit = exit_of(process.pid, &ending);
        {
            let mut state = process.state();
            state.wall_ms = Some(process.lived_ms());
            state.ending = Some(ending);
        }
        process.let_go();
        if let Some(parent) = process.parent.and_then(|parent| self.find(parent)) {
            {
                let mut state = parent.state();
                state.exits.push_back(exit);
                state.children_used = state.children_used.plus(process.used());
            }
            parent.news.notify_one();
        }
        self.forget_oldest(process);
        process.exited.notify_waiters();
    }

    /// Keeps the table of those who have ended within its bounds; the last one is always kept.
    fn forget_oldest(&self, ended: &Process) {
        let answer = ended.state().ending.as_ref().map_or(0, |ending| ending.text().len());
        let bytes = answer + ended.task.len();
        let mut table = self.table();
        table.exited.push_back((ended.pid, bytes));
        table.exited_bytes += bytes;
        let options = &self.options;
        while table.exited.len() > 1
            && (table.exited.len() > options.exited_max
                || table.exited_bytes > options.exited_bytes_max)
        {
            if let Some((oldest, bytes)) = table.exited.pop_front() {
                table.processes.remove(&oldest);
                table.exited_bytes -= bytes;
            }
        }
    }

    /// No agent is born any more; those that live have `patience` to end by themselves, and are
    /// then ended.
    pub async fn close(&self, patience: Duration) {
        self.table().closing = true;
        let living = || -> Vec<Arc<Process>> {
            let table = self.table();
            let lives = |process: &&Arc<Process>| {
                let state = process.state();
                state.ending.is_none() && state.stopped.is_none()
            };
            table.processes.values().filter(lives).cloned().collect()
        };
        let all_ended = async {
            for process in living() {
                self.ended(&process).await;
            }
        };
        if tokio::time::timeout(patience, all_ended).await.is_ok() {
            return;
        }
        for process in living() {
            self.kill(process.pid, "the host closed");
        }
        for process in living() {
            self.ended(&process).await;
        }
    }

    /// Waits for an agent's end.
    pub(super) async fn ended(&self, process: &Process) -> Ending {
        loop {
            let told = process.exited.notified();
            let mut told = std::pin::pin!(told);
            // From here on no call is missed.
            told.as_mut().enable();
            if let Some(ending) = process.state().ending.clone() {
                return ending;
            }
            told.await;
        }
    }
}

impl Process {
    /// What it and its children that are over used, as the ledger charges it.
    pub(super) fn used(&self) -> Amounts {
        let state = self.state();
        let usage = &state.usage;
        let fresh = usage.input_tokens.saturating_sub(usage.cache_read_tokens);
        // Cache reads weigh a tenth.
        let tokens = fresh + usage.cache_read_tokens.div_ceil(10) + usage.output_tokens;
        let own =
            Amounts { tokens, calls: usage.model_calls, microdollars: usage.cost_microdollars };
        own.plus(state.children_used)
    }

    /// Milliseconds that it lived, under earlier hosts too.
    pub(super) fn lived_ms(&self) -> u64 {
        let here = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        here.saturating_add(self.lived_before_ms)
    }
}

fn ending_of(
    killed: Option<String>,
    how: Gone,
    finished: Option<&Finished<Result<String, String>>>,
) -> Ending {
    let result = finished.map(|finished| &finished.result);
    match (how, result, killed) {
        // It was faster than whoever wanted to end it.
        (Gone::Finished, Some(Ok(Ok(text))), _) => Ending::Returned(text.clone()),
        (Gone::Finished, Some(Ok(Err(text))), _) => Ending::Failed(text.clone()),
        (_, _, Some(why)) => Ending::Killed(why),
        (Gone::Finished, Some(Err(ended)), None) => match ended {
            Ended::Limit(hit) => Ending::Limit(hit.to_string()),
            Ended::Killed(why) => Ending::Killed(why.clone()),
            Ended::Trapped(_)
            | Ended::BadAnswer(_)
            | Ended::Journal(_)
            | Ended::Diverged(_)
            | Ended::Host(_) => Ending::Trapped(ended.to_string()),
        },
        (Gone::Panicked, _, None) => Ending::Trapped("the host failed while it ran".into()),
        (Gone::Killed | Gone::Finished, _, None) => Ending::Killed("its host let it go".into()),
    }
}
