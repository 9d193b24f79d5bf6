//! Single chains from one store into another, with the bodies that their rows name.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{CopyError, digest, sealed};
use crate::journal::verify::Problem;
use crate::journal::{History, JournalError};
use crate::storage::{
    Batch, ChainHead, ChainId, ChainKey, ChainRange, Digest, Durability, NewChain, PAGE_BYTES_MAX,
    PAGE_ROWS_MAX, Storage,
};

/// Bodies that are looked for at once.
const BODIES_AT_ONCE: usize = 64;

/// Reads a chain from its first row to its last, each seal checked, and adds the hashes of the
/// bodies that its rows name.
///
/// # Errors
/// When the store cannot be read, has no such chain, or a row is not the one that was written.
pub async fn bodies_of(
    store: &Arc<dyn Storage>,
    chain: ChainId,
    named: &mut BTreeSet<Digest>,
) -> Result<(), JournalError> {
    let mut history = History::of(Arc::clone(store), chain.0).await?;
    while let Some(row) = history.next().await? {
        // A body that is no JSON names nothing.
        if let Ok(value) = serde_json::from_str(&row.body) {
            name(&value, named);
        }
    }
    Ok(())
}

/// A value that is told by its hash has no `value` beside it.
fn name(value: &Value, named: &mut BTreeSet<Digest>) {
    match value {
        Value::Object(fields) => {
            let told = fields.get("blake3").and_then(Value::as_str);
            let is_body = fields.contains_key("bytes") && !fields.contains_key("value");
            named.extend(told.filter(|_| is_body).and_then(|hash| hash.parse::<Digest>().ok()));
            fields.values().for_each(|value| name(value, named));
        }
        Value::Array(values) => values.iter().for_each(|value| name(value, named)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Copies one chain, each seal checked on the way; what is there already is left out.
///
/// # Errors
/// As [`super::copy`].
pub async fn carry_chain(
    from: &Arc<dyn Storage>,
    to: &dyn Storage,
    id: ChainId,
) -> Result<(), CopyError> {
    let mut history = History::of(Arc::clone(from), id.0).await?;
    let record = history.chain().clone();
    let unknown = |seq| CopyError::Unknown { id: id.to_string(), seq };
    let key = Arc::new(ChainKey::new(id));
    let there = there(to, &key).await?;
    let (rows, hash) = there.map_or((0, Vec::new()), |head| (head.rows, head.hash));
    let mut first = (rows == 0).then_some(NewChain {
        key: Arc::clone(&key),
        opened_us: record.opened_us,
        plugin: record.plugin,
        first: digest(&record.first).ok_or_else(|| unknown(0))?,
    });
    let (mut batch, mut bytes) = (Batch::default(), 0);
    while let Some(row) = history.next().await? {
        let seq = row.seq;
        if seq + 1 == rows && row.hash != hash {
            return Err(CopyError::Differs { id: id.to_string(), seq });
        }
        if seq < rows {
            continue;
        }
        batch.opened.extend(first.take());
        let row = sealed(&key, row).ok_or_else(|| unknown(seq))?;
        bytes += row.texts.bytes();
        batch.rows.push(row);
        if batch.rows.len() >= PAGE_ROWS_MAX || bytes >= PAGE_BYTES_MAX {
            to.append(&batch, Durability::Written).await?;
            batch.clear();
            bytes = 0;
        }
    }
    to.append(&batch, Durability::Synced).await?;
    Ok(())
}

async fn there(to: &dyn Storage, key: &ChainKey) -> Result<Option<ChainHead>, CopyError> {
    let range = ChainRange::Ids(key.id.0, key.id.0);
    let Some(record) = to.chains(range, 1).await?.into_iter().next() else { return Ok(None) };
    key.registered(record.number);
    Ok(to.chain_heads(record.number).await?.into_iter().next())
}

/// Checks that all of these bodies are in a store, as they were written.
///
/// # Errors
/// [`CopyError::Changed`] names one that is missing or damaged.
pub async fn check_bodies(store: &dyn Storage, hashes: &[Digest]) -> Result<(), CopyError> {
    carry(store, None, hashes).await
}

/// Copies bodies, each checked; those that are there already are left out.
///
/// # Errors
/// As [`check_bodies`], and when the target cannot be written.
pub async fn carry_bodies(
    from: &dyn Storage,
    to: &dyn Storage,
    hashes: &[Digest],
) -> Result<(), CopyError> {
    carry(from, Some(to), hashes).await
}

async fn carry(
    from: &dyn Storage,
    to: Option<&dyn Storage>,
    hashes: &[Digest],
) -> Result<(), CopyError> {
    let wrong = |what: String| CopyError::Changed {
        place: from.name(),
        problem: Problem { chain: None, id: None, seq: None, what },
    };
    let mut left: Vec<Digest> = hashes.to_vec();
    while !left.is_empty() {
        let asked = &left[..left.len().min(BODIES_AT_ONCE)];
        let found = from.bodies(asked).await?;
        if found.is_empty() {
            return Err(wrong(format!("the body {} is missing", asked[0])));
        }
        let mut batch = Batch::default();
        for body in found {
            body.unpack().map_err(|error| wrong(error.to_string()))?;
            left.retain(|hash| *hash != body.hash);
            if let Some(to) = to
                && !to.has_body(body.hash).await?
            {
                batch.bodies.push(body);
            }
        }
        if let Some(to) = to {
            to.append(&batch, Durability::Synced).await?;
        }
    }
    Ok(())
}
