//! How an agent ends: by itself, by a limit, by somebody; and who is told.

use std::sync::Arc;
use std::time::Duration;

use super::Agents;
use super::family::exit_of;
use super::process::Process;
use crate::journal::{Body, Class, Closing, JournalError, Row, RowKind};
use crate::kernel::executor::Gone;
use crate::sandbox::{Ended, Finished};
use crate::types::{Ending, Pid};

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
            self.executor().kill(process.pid);
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
        let usage = serde_json::json!(process.state().usage);
        let text: String = ending.text().chars().take(1_000).collect();
        let body = serde_json::json!({
            "ending": ending.word(),
            "text": text,
            "text_blake3": blake3::hash(ending.text().as_bytes()).to_hex().as_str(),
        });
        let kind = match ending {
            Ending::Returned(_) | Ending::Failed(_) => RowKind::Outcome,
            Ending::Trapped(_) | Ending::Killed(_) | Ending::Limit(_) => RowKind::Fault,
        };
        let row = Row {
            who: &process.name,
            capability: "agent",
            target: &process.plugin.program().name,
            body: Body::Value(&body),
            ..Row::new(kind)
        };
        process.chain.append(row, Class::Queued).await?;
        let closing = Closing { outcome: ending.word(), usage: &usage };
        process.chain.close(closing, Class::Written).await?;
        Ok(())
    }

    fn tell_ending(&self, process: &Arc<Process>, ending: Ending) {
        let exit = exit_of(process.pid, &ending);
        {
            let mut state = process.state();
            let lived = process.began.elapsed().as_millis();
            state.wall_ms = Some(u64::try_from(lived).unwrap_or(u64::MAX));
            state.ending = Some(ending);
        }
        if let Some(parent) = process.parent.and_then(|parent| self.find(parent)) {
            parent.state().exits.push_back(exit);
            parent.news.notify_one();
        }
        self.forget_oldest(process.pid);
        process.exited.notify_waiters();
    }

    /// Keeps the table of those who have ended within its bound.
    fn forget_oldest(&self, ended: Pid) {
        let mut table = self.table();
        table.exited.push_back(ended);
        while table.exited.len() > self.options.exited_max {
            if let Some(oldest) = table.exited.pop_front() {
                table.processes.remove(&oldest);
            }
        }
    }

    /// No agent is born any more; those that live have `patience` to end by themselves, and are
    /// then ended.
    pub async fn close(&self, patience: Duration) {
        self.table().closing = true;
        let living = || -> Vec<Arc<Process>> {
            let table = self.table();
            table.processes.values().filter(|process| !process.has_ended()).cloned().collect()
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
            Ended::Trapped(_) | Ended::BadAnswer(_) | Ended::Journal(_) | Ended::Host(_) => {
                Ending::Trapped(ended.to_string())
            }
        },
        (Gone::Panicked, _, None) => Ending::Trapped("the host failed while it ran".into()),
        (Gone::Killed | Gone::Finished, _, None) => Ending::Killed("its host let it go".into()),
    }
}
