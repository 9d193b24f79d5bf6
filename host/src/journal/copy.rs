//! Copying a store into another, whatever each of them is: every chain, every key-value pair and
//! every page.
//!
//! Rows are sealed in their chain, not in their store, so they are the same in the copy. A chain's
//! registration covers the one before and, first of all, the store's id: an empty store takes the
//! id of the one it becomes a copy of, and then all links are the same too; in a store that has
//! chains of its own, the copied ones are registered after them.

pub mod carry;
mod pages;

use super::row::{RowKind, Verdict};
use super::verify::{Problem, Verifier};
use super::{JournalError, verify};
use crate::storage::{
    Batch, Bucket, ChainHead, ChainId, ChainKey, ChainRange, ChainRecord, Digest, Durability, Hex,
    NewChain, NewProcess, PAGE_BYTES_MAX, PAGE_ROWS_MAX, PairKey, ProcessChange, ProcessRange,
    ProcessRecord, RowRange, SealedRow, Storage, StorageError, StoredRow, Texts,
};
use crate::types::{CallId, ComponentHash};
use std::sync::Arc;

/// What a copy brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Chains that were not there before.
    pub chains: u64,
    /// Rows that were not there before.
    pub rows: u64,
    /// Bodies that were not there before.
    pub bodies: u64,
    /// Pairs that were not there before, or had another value.
    pub pairs: u64,
    /// Pages of agents.
    pub pages: u64,
    /// Whether the links of all chains are those of the source, so that heads that were kept of it
    /// fit the copy too.
    pub links_kept: bool,
}

/// Why a copy was not finished. What was copied before is whole, and the same command goes on from
/// there.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The copy cannot be verified.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A row or chain is not as it was written.
    #[error("the journal of {place} was changed, and is copied only up to there: {problem}")]
    Changed {
        /// The store.
        place: String,
        /// What is wrong.
        problem: Problem,
    },
    /// A row has a word or a field that this program does not know.
    #[error("chain {id}, row {seq} was written by a newer aos-host: copy with that one")]
    Unknown {
        /// The chain.
        id: String,
        /// The row.
        seq: i64,
    },
    /// Both stores have the chain, and it is not the same.
    #[error("chain {id} is in both stores and differs from row {seq} on: one of them was changed")]
    Differs {
        /// The chain.
        id: String,
        /// The first row that is known to differ.
        seq: i64,
    },
    /// Both stores have the key, with different values.
    #[error(
        "key `{key}` of `{identity}` has another value in the target: `--replace` takes that of \
         the source"
    )]
    Pair {
        /// Whose key.
        identity: String,
        /// The key.
        key: String,
    },
}

/// Copies what `from` has now into `to`, and verifies both: `from` on the way, before anything is
/// written of what was read, and `to` at the end. What is there already is left out, so a copy that
/// was broken off may be started again. With `replace`, values of keys that both have are replaced.
pub async fn copy(
    from: &dyn Storage,
    to: &dyn Storage,
    replace: bool,
) -> Result<Copied, CopyError> {
    let source = from.head().await?;
    let target = to.head().await?;
    if target.chains == 0 && target.id != source.id {
        to.adopt(source.id).await?;
    }
    let mut copying = Copying {
        from,
        to,
        verifier: Verifier::new(source.id),
        batch: Batch::default(),
        bytes: 0,
        copied: Copied::default(),
    };
    copying.chains(source.chains).await?;
    let mut copied = copying.finish().await?;
    copied.bodies = bodies(from, to).await?;
    agents(from, to).await?;
    copied.pairs = pairs(from, to, replace).await?;
    copied.pages = pages::contexts(from, to).await?;
    to.append(&Batch::default(), Durability::Synced).await?;
    if let Some(problem) = verify(to).await?.problems.into_iter().next() {
        return Err(CopyError::Changed { place: to.name(), problem });
    }
    let range = ChainRange::From(source.chains);
    let newest = to.chains(range, 1).await?.into_iter().next();
    copied.links_kept = match newest {
        Some(newest) => newest.number == source.chains && newest.link == source.link,
        None => source.chains == 0,
    };
    Ok(copied)
}

/// The work on the way.
struct Copying<'a> {
    from: &'a dyn Storage,
    to: &'a dyn Storage,
    verifier: Verifier,
    batch: Batch,
    bytes: usize,
    copied: Copied,
}

impl Copying<'_> {
    /// Copies the chains up to this number, in order.
    async fn chains(&mut self, until: i64) -> Result<(), CopyError> {
        let mut next = i64::MIN;
        loop {
            let mut page = self.from.chains(ChainRange::From(next), PAGE_ROWS_MAX).await?;
            page.retain(|chain| chain.number <= until);
            let Some(last) = page.last() else { return Ok(()) };
            next = last.number.saturating_add(1);
            for record in page {
                self.chain(record).await?;
            }
        }
    }

    async fn chain(&mut self, record: ChainRecord) -> Result<(), CopyError> {
        let id = Hex(&record.id).to_string();
        self.verifier.chain(record.clone(), None);
        self.sound()?;
        let unknown = || CopyError::Unknown { id: id.clone(), seq: 0 };
        let key = <[u8; 16]>::try_from(&record.id[..]).map_err(|_| unknown())?;
        let key = Arc::new(ChainKey::new(ChainId(key)));
        let there = self.there(&key).await?;
        let mut first = Some(NewChain {
            key: Arc::clone(&key),
            opened_us: record.opened_us,
            plugin: record.plugin,
            first: digest(&record.first).ok_or_else(unknown)?,
        });
        if there.is_some() {
            first = None;
        }
        let (rows, hash) = there.map_or((0, Vec::new()), |head| (head.rows, head.hash));
        let mut from = (record.number, i64::MIN);
        let mut seen = 0;
        loop {
            let range = RowRange { from, until_chain: record.number };
            let page = self.from.rows(range, PAGE_ROWS_MAX).await?;
            let Some(last) = page.last() else { break };
            from.1 = last.seq.saturating_add(1);
            seen = from.1;
            for row in page {
                self.verifier.row(&row);
                self.sound()?;
                if row.seq + 1 == rows && row.hash != hash {
                    return Err(CopyError::Differs { id, seq: row.seq });
                }
                if row.seq < rows {
                    continue;
                }
                if let Some(first) = first.take() {
                    self.batch.opened.push(first);
                    self.copied.chains += 1;
                }
                let seq = row.seq;
                let sealed = sealed(&key, row);
                self.push(sealed.ok_or_else(|| CopyError::Unknown { id: id.clone(), seq })?)
                    .await?;
            }
        }
        if seen < rows {
            return Err(CopyError::Differs { id, seq: seen });
        }
        Ok(())
    }

    /// How far the target has the chain, if it has it.
    async fn there(&self, key: &ChainKey) -> Result<Option<ChainHead>, CopyError> {
        let range = ChainRange::Ids(key.id.0, key.id.0);
        let Some(record) = self.to.chains(range, 1).await?.into_iter().next() else {
            return Ok(None);
        };
        key.registered(record.number);
        Ok(self.to.chain_heads(record.number).await?.into_iter().next())
    }

    async fn push(&mut self, row: SealedRow) -> Result<(), CopyError> {
        self.bytes += row.texts.bytes();
        self.batch.rows.push(row);
        self.copied.rows += 1;
        if self.batch.rows.len() >= PAGE_ROWS_MAX || self.bytes >= PAGE_BYTES_MAX {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), CopyError> {
        self.to.append(&self.batch, Durability::Written).await?;
        self.batch.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Whether all that was read is as it was written.
    fn sound(&self) -> Result<(), CopyError> {
        match self.verifier.problem_so_far() {
            None => Ok(()),
            Some(problem) => {
                let (place, problem) = (self.from.name(), problem.clone());
                Err(CopyError::Changed { place, problem })
            }
        }
    }

    async fn finish(mut self) -> Result<Copied, CopyError> {
        self.write().await?;
        let place = self.from.name();
        match self.verifier.finish().problems.into_iter().next() {
            None => Ok(self.copied),
            Some(problem) => Err(CopyError::Changed { place, problem }),
        }
    }
}

/// A stored row as one to store. `None` when a field is of no kind that this program writes.
fn sealed(chain: &Arc<ChainKey>, row: StoredRow) -> Option<SealedRow> {
    let call = match row.call.len() {
        0 => None,
        _ => Some(CallId(uuid::Uuid::from_slice(&row.call).ok()?)),
    };
    let component = match row.component.len() {
        0 => None,
        _ => Some(ComponentHash(row.component.try_into().ok()?)),
    };
    let mut texts = Texts::new(&row.who, &row.capability, &row.target, row.body.len());
    texts.push_body(&row.body);
    Some(SealedRow {
        chain: Arc::clone(chain),
        seq: row.seq,
        time_us: row.time_us,
        kind: RowKind::from_word(&row.kind)?.word(),
        verdict: match &*row.verdict {
            "" => "",
            word => Verdict::from_word(word)?.word(),
        },
        call,
        component,
        texts,
        hash: digest(&row.hash)?,
    })
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    Some(Digest(bytes.try_into().ok()?))
}

/// Copies the bodies, each checked on the way. Returns how many were not there.
async fn bodies(from: &dyn Storage, to: &dyn Storage) -> Result<u64, CopyError> {
    let (mut written, mut after) = (0, None);
    loop {
        let page = from.body_page(after).await?;
        let Some(last) = page.last() else { return Ok(written) };
        after = Some(last.hash);
        let mut batch = Batch::default();
        for body in page {
            body.unpack().map_err(|error| {
                let what = error.to_string();
                let problem = Problem { chain: None, id: None, seq: None, what };
                CopyError::Changed { place: from.name(), problem }
            })?;
            if !to.has_body(body.hash).await? {
                batch.bodies.push(body);
            }
        }
        written += batch.bodies.len() as u64;
        to.append(&batch, Durability::Written).await?;
    }
}

/// Copies the index of agents. A number that the target has given to another agent stays that
/// one's: the chain is there, and its agent is not.
async fn agents(from: &dyn Storage, to: &dyn Storage) -> Result<(), CopyError> {
    let mut after = 0;
    loop {
        let page = from.processes(ProcessRange::After(after)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.pid;
        let mut batch = Batch::default();
        for record in page {
            let Ok(chain) = <[u8; 16]>::try_from(&record.chain[..]) else { continue };
            let there = to.processes(ProcessRange::Only(record.pid)).await?;
            if there.iter().any(|there| there.chain != record.chain) {
                continue;
            }
            let ProcessRecord { pid, parent, resumes, ended, .. } = record;
            let born = NewProcess { pid, chain: ChainId(chain), parent, resumes };
            batch.processes.push(ProcessChange::Born(born));
            if ended {
                batch.processes.push(ProcessChange::Ended(pid));
            }
        }
        to.append(&batch, Durability::Written).await?;
    }
}

/// Copies the key-value pairs. Returns how many were written.
async fn pairs(from: &dyn Storage, to: &dyn Storage, replace: bool) -> Result<u64, CopyError> {
    let (mut written, mut after): (u64, Option<PairKey>) = (0, None);
    loop {
        let page = from.kv_pairs(after.as_ref()).await?;
        let Some((last, _)) = page.last() else { return Ok(written) };
        after = Some(last.clone());
        for (PairKey { identity, bucket, key }, value) in page {
            let bucket = Bucket { identity: &identity, name: &bucket };
            match to.kv_get(bucket, &key).await? {
                Some(there) if there == value => continue,
                Some(_) if !replace => return Err(CopyError::Pair { identity, key }),
                Some(_) | None => to.kv_set(bucket, &key, &value).await?,
            }
            written += 1;
        }
    }
}
