//! Rows of several chains, their bodies and what they change in the index of agents, as one
//! transaction: all of it is in the store after a crash, or none.

use super::chain::ROW_OVERHEAD;
use super::{Chain, Class, Journal, JournalError, Row, Seq};
use crate::storage::{
    BodyError, ChainId, Digest, PackedBody, ProcessChange, Storage, StorageError,
};

/// What is to be appended together.
#[derive(Debug, Default)]
pub struct Group<'a> {
    /// The rows, each in its chain; those of one chain in their order.
    pub rows: Vec<(&'a Chain, Row<'a>)>,
    /// What the rows name.
    pub bodies: Vec<PackedBody>,
    /// What follows from the rows for the index of agents.
    pub processes: Vec<ProcessChange>,
}

impl Journal {
    /// Appends all of a group in one transaction, and waits as the class says. Returns the places
    /// of the rows.
    ///
    /// Dropping the future while it waits for room leaves nothing; while it waits for a commit, all
    /// is queued all the same.
    ///
    /// # Errors
    /// As [`Chain::append`]: then nothing of it is queued.
    pub async fn append_together(
        &self,
        group: Group<'_>,
        class: Class,
    ) -> Result<Vec<Seq>, JournalError> {
        let Group { rows, bodies, processes } = group;
        let mut texts = Vec::with_capacity(rows.len());
        let mut bytes = bodies.iter().map(|body| body.bytes.len() + ROW_OVERHEAD).sum::<usize>();
        for (_, row) in &rows {
            let text = row.texts(self.row_bytes_max())?;
            bytes += text.bytes() + ROW_OVERHEAD;
            texts.push(text);
        }
        let queue = self.queue();
        let room = queue.room(bytes).await?;
        let (seqs, position) = {
            // Everybody takes the locks in one order, so nobody waits for each other.
            let mut chains: Vec<&Chain> = rows.iter().map(|(chain, _)| *chain).collect();
            chains.sort_by_key(|chain| chain.id());
            chains.dedup_by_key(|chain| chain.id());
            let mut tips: Vec<_> = chains.iter().map(|chain| chain.tip()).collect();
            if let Some(at) = tips.iter().position(|tip| tip.is_closed()) {
                return Err(JournalError::ChainClosed(chains[at].id()));
            }
            let place = |id: ChainId| chains.iter().position(|chain| chain.id() == id);
            let (mut seqs, mut sealed) = (Vec::new(), Vec::new());
            for ((chain, row), text) in rows.iter().zip(texts) {
                let at = place(chain.id()).expect("invariant: every row's chain is in the list");
                let row = tips[at].seal(chain, row, text);
                seqs.push(Seq(u64::try_from(row.seq).unwrap_or(0)));
                sealed.push(row);
            }
            (seqs, queue.push_group(sealed, bodies, processes, room, class)?)
        };
        queue.wait(position, class).await?;
        Ok(seqs)
    }
}

/// A body by its hash, unpacked and checked.
///
/// # Errors
/// When the store cannot be read, has no such body, or another content under its hash.
pub async fn read_body(store: &dyn Storage, hash: Digest) -> Result<Vec<u8>, JournalError> {
    let found = store.bodies(&[hash]).await?.into_iter().next();
    match found {
        Some(body) if body.hash == hash => body.unpack().map_err(|error| damaged(store, &error)),
        Some(_) | None => Err(damaged(store, &format!("the body {hash} is missing"))),
    }
}

/// The store holds something else than what was written.
pub(super) fn damaged(store: &dyn Storage, reason: &impl ToString) -> JournalError {
    let reason = reason.to_string();
    JournalError::Read(StorageError::Corrupt { place: store.name(), reason })
}

impl From<BodyError> for JournalError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(bytes) => Self::RowTooLarge {
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                limit: crate::storage::BODY_BYTES_MAX,
            },
            BodyError::Damaged(..) => Self::Read(StorageError::Corrupt {
                place: "the store".to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}
