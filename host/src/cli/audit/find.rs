//! Which chain a user means.

use crate::cli::exit::Failure;
use crate::journal::{ChainSummary, JournalError, RowKind, find_chain, list};
use crate::storage::{ChainRange, ChainRecord, PAGE_ROWS_MAX, RowRange, Storage};

/// Chains of a store that are looked through for an agent, newest first.
const CHAINS_MAX: usize = 100_000;

/// The chain that a user names: the newest agent of that pid or name, the beginning of a run's id,
/// or `last`. What looks like a pid is one if there is such an agent.
pub(in crate::cli) async fn chain_of(
    store: &dyn Storage,
    who: &str,
) -> Result<ChainRecord, Failure> {
    if who == "last" {
        let newest: Option<ChainSummary> = list(store, None, 1).await?.pop();
        let newest = newest.ok_or_else(|| Failure::usage("nothing was run yet"))?;
        return Ok(find_chain(store, &newest.id).await?);
    }
    let is_pid = who.bytes().all(|byte| byte.is_ascii_digit());
    if is_pid && let Some(chain) = agents_chain(store, who).await? {
        return Ok(chain);
    }
    match find_chain(store, who).await {
        Err(JournalError::NoChain(_)) if !is_pid => match agents_chain(store, who).await? {
            Some(chain) => Ok(chain),
            None => Err(nobody(who)),
        },
        Err(JournalError::NoChain(_)) => Err(nobody(who)),
        found => Ok(found?),
    }
}

fn nobody(who: &str) -> Failure {
    Failure::usage(format!(
        "`{who}` is no agent and no run in this journal; `aos-host audit list` shows the runs"
    ))
}

/// The newest chain of an agent of that pid or name.
pub(in crate::cli) async fn agents_chain(
    store: &dyn Storage,
    who: &str,
) -> Result<Option<ChainRecord>, Failure> {
    let pid = who.parse::<u64>().ok();
    let mut before = i64::MAX;
    let mut seen = 0;
    while seen < CHAINS_MAX {
        let page = store.chains(ChainRange::Before(before), PAGE_ROWS_MAX).await;
        let page = page.map_err(Failure::host)?;
        let Some(oldest) = page.last() else { return Ok(None) };
        before = oldest.number;
        seen += page.len();
        for chain in page {
            // An agent's second row says who it is.
            let range = RowRange { from: (chain.number, 1), until_chain: chain.number };
            let row = store.rows(range, 1).await.map_err(Failure::host)?.pop();
            let is_agents = |row: &crate::storage::StoredRow| {
                row.capability == "agent" && row.kind == RowKind::Accepted.word()
            };
            let Some(row) = row.filter(is_agents) else { continue };
            let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
            if body["name"] == who || (pid.is_some() && body["pid"].as_u64() == pid) {
                return Ok(Some(chain));
            }
        }
    }
    Ok(None)
}
