//! Listing: what `audit list` and `audit show` need.

use super::{ChainId, JournalError, RowKind, Verdict};
use crate::storage::{
    ChainRange, ChainRecord, Hex, PAGE_ROWS_MAX, RowRange, Storage, StoredRow, Tally,
};

/// How many chains an ambiguous prefix names in its error.
const CANDIDATES: usize = 5;

/// How a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// No closing row yet: it runs, or its host ended without one.
    Open,
    /// Closed with this outcome.
    Closed(String),
}

/// One chain at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainSummary {
    /// Dense from 1, in order of registration.
    pub number: i64,
    /// The chain's name in hexadecimal.
    pub id: String,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_us: i64,
    /// When its newest row was written, in microseconds since the Unix epoch.
    pub last_us: i64,
    /// The plugin that it runs.
    pub plugin: String,
    /// How many rows it has.
    pub rows: i64,
    /// How many calls were accepted.
    pub calls: i64,
    /// How many requests were denied.
    pub denials: i64,
    /// How it stands.
    pub state: ChainState,
    /// What it used, as its closing row says.
    pub usage: Option<serde_json::Value>,
}

/// The newest chains, newest first; those before the chain numbered `before`, if given. At most
/// `limit`, and at most [`PAGE_ROWS_MAX`]. Fails if the store cannot be read.
pub async fn list(
    store: &dyn Storage,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<ChainSummary>, JournalError> {
    let range = ChainRange::Before(before.unwrap_or(i64::MAX));
    let mut summaries = Vec::new();
    for chain in store.chains(range, limit).await? {
        summaries.push(summary(store, chain).await?);
    }
    Ok(summaries)
}

async fn summary(store: &dyn Storage, chain: ChainRecord) -> Result<ChainSummary, JournalError> {
    let tally = store.tally(chain.number).await?;
    let heads = store.chain_heads(chain.number).await?;
    let rows = heads.first().map_or(0, |head| head.rows);
    let from = (chain.number, rows.saturating_sub(1));
    let last = store.rows(RowRange { from, until_chain: chain.number }, 1).await?.pop();
    let closed = last.as_ref().filter(|row| row.kind == RowKind::Closed.word());
    let body = closed.and_then(|row| serde_json::from_str::<serde_json::Value>(&row.body).ok());
    let outcome = |_| {
        let word = body.as_ref().and_then(|body| body["outcome"].as_str());
        ChainState::Closed(word.unwrap_or("unknown").to_owned())
    };
    let count = |wanted: &dyn Fn(&Tally) -> bool| {
        tally.iter().filter(|tally| wanted(tally)).map(|tally| tally.rows).sum()
    };
    Ok(ChainSummary {
        number: chain.number,
        id: Hex(&chain.id).to_string(),
        opened_us: chain.opened_us,
        last_us: last.as_ref().map_or(chain.opened_us, |row| row.time_us),
        plugin: chain.plugin,
        rows,
        calls: count(&|tally| tally.kind == RowKind::Accepted.word()),
        denials: count(&|tally| tally.verdict == Verdict::Denied.word()),
        state: closed.map_or(ChainState::Open, outcome),
        usage: body.as_ref().and_then(|body| body.get("usage")).cloned(),
    })
}

/// The chain whose id starts with these hexadecimal digits. Fails with `NoChain` or `Ambiguous`.
pub async fn find_chain(store: &dyn Storage, prefix: &str) -> Result<ChainRecord, JournalError> {
    let none = || JournalError::NoChain(prefix.to_owned());
    let (first, last) = id_range(prefix).ok_or_else(none)?;
    let mut found = store.chains(ChainRange::Ids(first.0, last.0), CANDIDATES).await?;
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().map(|chain| Hex(&chain.id).to_string()).collect();
        let candidates = ids.join(", ");
        return Err(JournalError::Ambiguous { prefix: prefix.to_owned(), candidates });
    }
    found.pop().ok_or_else(none)
}

/// The least and the greatest id with this prefix of 1 to 32 digits.
fn id_range(prefix: &str) -> Option<(ChainId, ChainId)> {
    let usable = (1..=32).contains(&prefix.len()) && prefix.is_ascii();
    let fill = |digit| format!("{prefix}{}", String::from(digit).repeat(32 - prefix.len()));
    usable.then_some(())?;
    Some((fill('0').parse().ok()?, fill('f').parse().ok()?))
}

/// A page of the rows of one chain, from a seq on. Empty at the end. Fails if the store cannot be
/// read.
pub async fn chain_rows(
    store: &dyn Storage,
    chain: i64,
    from_seq: i64,
) -> Result<Vec<StoredRow>, JournalError> {
    let range = RowRange { from: (chain, from_seq), until_chain: chain };
    Ok(store.rows(range, PAGE_ROWS_MAX).await?)
}
