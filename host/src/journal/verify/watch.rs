//! What one signed head says, held against the chains as they come.

use crate::journal::anchor::SignedHead;
use crate::journal::anchor::tree::{Tree, leaf};
use crate::storage::{ChainRecord, StoredRow};
use std::time::{Duration, UNIX_EPOCH};

/// One signed head, and the tree of the chains that have come so far.
#[derive(Debug)]
pub(super) struct Watch {
    head: SignedHead,
    tree: Tree,
    /// Of the chain that is coming: the rows it had then, if it was open.
    rows: Option<i64>,
    /// The hash of its last row then.
    hash: Option<Vec<u8>>,
    /// Whether something of it was reported, which the root would only repeat.
    told: bool,
}

impl Watch {
    pub(super) fn new(head: SignedHead) -> Self {
        Self { head, tree: Tree::default(), rows: None, hash: None, told: false }
    }

    /// What the head is called in a sentence.
    fn name(&self) -> String {
        let since = Duration::from_micros(u64::try_from(self.head.time_us).unwrap_or(0));
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + since);
        format!("the head signed at {time}")
    }

    fn tell(&mut self, what: &str) -> Option<String> {
        self.told = true;
        Some(format!("{what}, going by {}", self.name()))
    }

    /// The next chain begins.
    pub(super) fn chain(&mut self, record: &ChainRecord) -> Option<String> {
        self.rows = self.head.rows_of(record.number);
        self.hash = None;
        let newest = self.head.chains == record.number;
        match newest && self.head.link != record.link {
            true => self.tell("its link is another: chains were replaced"),
            false => None,
        }
    }

    pub(super) fn row(&mut self, row: &StoredRow) {
        if self.rows.is_none_or(|rows| rows.saturating_sub(1) == row.seq) {
            self.hash = Some(row.hash.clone());
        }
    }

    /// The chain has ended with so many rows.
    pub(super) fn end_chain(
        &mut self,
        record: &ChainRecord,
        rows: i64,
        closed: bool,
    ) -> Option<String> {
        if record.number > self.head.chains {
            return None;
        }
        let then = self.rows.unwrap_or(rows);
        let hash = self.hash.take().unwrap_or_default();
        self.tree.push(leaf(record.number, &record.id, then, &hash));
        match self.rows {
            Some(then) if then > rows => {
                self.tell(&format!("its end was cut off: it has {rows} of {then} rows"))
            }
            None if !closed => self.tell("its end was cut off: it was closed"),
            Some(_) | None => None,
        }
    }

    /// No more chains come.
    pub(super) fn finish(mut self) -> Option<String> {
        let seen = self.tree.leaves();
        if u64::try_from(self.head.chains).is_ok_and(|chains| seen < chains) {
            let what = format!("it has {seen} of {} chains", self.head.chains);
            return self.tell(&what);
        }
        match self.tree.root() == self.head.root || self.told {
            true => None,
            false => self.tell("its chains do not give the signed root: some were written anew"),
        }
    }
}
