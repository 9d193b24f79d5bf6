//! Agents as the store has them, where no host runs: who they were, how they ended.

use std::sync::Arc;

use super::operate::TASK_CHARS_SHOWN;
use super::past::Past;
use crate::journal::JournalError;
use crate::sandbox::agent::process::Ending as ChildEnding;
use crate::storage::{ChainId, ProcessRange, Storage};
use crate::types::{Ending, ProcessView, Standing};

/// Why an agent that has not ended stands still.
const NO_HOST: &str = "no host runs it; the next `aos-host serve` takes it up";
/// Why one that no host takes up has no end in the journal.
const HOST_GONE: &str = "its host ended without it";

/// The newest agents of a store, at most so many, oldest first; those whose chains cannot be read
/// are left out, with the number of them.
///
/// # Errors
/// When the store cannot be read.
pub async fn stored(
    store: &Arc<dyn Storage>,
    most: usize,
) -> Result<(Vec<ProcessView>, usize), JournalError> {
    let mut newest = std::collections::VecDeque::new();
    let mut after = 0;
    loop {
        let page = store.processes(ProcessRange::After(after)).await?;
        let Some(last) = page.last() else { break };
        after = last.pid;
        newest.extend(page);
        newest.drain(..newest.len().saturating_sub(most));
    }
    let (mut views, mut unread) = (Vec::with_capacity(newest.len()), 0);
    for record in newest {
        let id = <[u8; 16]>::try_from(&record.chain[..]).unwrap_or_default();
        match Past::read(store, id).await {
            Ok(past) => views.push(view_of(past, id, record.resumes && !record.ended)),
            Err(error) => {
                tracing::warn!("agent {}: {error}", record.pid);
                unread += 1;
            }
        }
    }
    Ok((views, unread))
}

/// The agent of a store with this chain.
///
/// # Errors
/// When the store cannot be read, or the chain is not as it was written or none of an agent.
pub async fn stored_in(
    store: &Arc<dyn Storage>,
    chain: &[u8],
) -> Result<ProcessView, JournalError> {
    let id = <[u8; 16]>::try_from(chain).unwrap_or_default();
    let past = Past::read(store, id).await?;
    let record = store.processes(ProcessRange::Only(past.pid.0)).await?.into_iter().next();
    let goes_on = record.is_some_and(|record| record.resumes && !record.ended);
    Ok(view_of(past, id, goes_on))
}

fn view_of(past: Past, id: [u8; 16], goes_on: bool) -> ProcessView {
    let (standing, reason, ending) = match past.ending {
        Some(ending) => (Standing::Exited, None, Some(ending_of(ending))),
        None if goes_on => (Standing::Paused, Some(NO_HOST.to_owned()), None),
        None => (Standing::Exited, None, Some(Ending::Killed(HOST_GONE.to_owned()))),
    };
    let first_line = past.charter.task.lines().next().unwrap_or("");
    ProcessView {
        pid: past.pid,
        parent: past.parent,
        task: first_line.chars().take(TASK_CHARS_SHOWN).collect(),
        program: past.charter.program.name.clone(),
        model: past.charter.model().to_owned(),
        name: past.charter.name,
        priority: past.priority.get(),
        standing,
        reason,
        ending,
        usage: past.used_in_all.unwrap_or(past.usage),
        wall_ms: past.lived_ms,
        chain: ChainId(id).to_string(),
    }
}

fn ending_of(ending: ChildEnding) -> Ending {
    match ending {
        ChildEnding::Returned(text) => Ending::Returned(text),
        ChildEnding::Failed(text) => Ending::Failed(text),
        ChildEnding::Trapped(text) => Ending::Trapped(text),
        ChildEnding::Killed(text) => Ending::Killed(text),
        ChildEnding::LimitExceeded(text) => Ending::Limit(text),
    }
}
