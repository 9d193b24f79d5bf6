//! What the gate remembers of one call besides its rows, all of it bounded.
//!
//! Knows nothing of the journal: it says what is to be written and counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::capability::grant::Capability;
use crate::types::{Denial, LimitHit};

/// A call that is refused more often than this is probing: the rest is counted, not listed.
const DENIALS_MAX: usize = 64;
/// Targets that a tally lists; the rest is counted.
const TALLY_TARGETS_MAX: usize = 256;
/// Bytes of all targets that a tally lists: written as JSON they may be six times as long.
const TALLY_BYTES_MAX: usize = 64 * 1024;
/// Tallies a call may hold: one a (root, mode), so more means an attack on memory. What comes
/// after them has rows of its own.
const TALLIES_MAX: usize = 256;

/// An effect as a row names it.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    /// The capability's name.
    pub(super) capability: String,
    /// What it was used on.
    pub(super) target: String,
}

/// How an allowed effect enters the journal.
#[derive(Debug)]
pub(super) enum Entry {
    /// It is counted under a verdict that is there already.
    Shared,
    /// It needs a verdict row of its own, and, where there is an id, an outcome row too.
    Own(Option<u64>),
    /// The call may have no more rows.
    Full(LimitHit),
    /// The call is over.
    Over,
}

/// What is left to be written when a call ends.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Effects of which nobody learnt how they ended.
    pub(super) interrupted: Vec<Effect>,
    /// What was counted, each with the body of its outcome.
    pub(super) told: Vec<(Effect, Value)>,
}

/// The record of one call.
#[derive(Debug)]
pub(super) struct Record {
    rows: LimitHit,
    rows_left: u64,
    denials: Vec<(Denial, u64)>,
    denials_unlisted: u64,
    tallies: BTreeMap<String, Tally>,
    open: BTreeMap<u64, Effect>,
    next: u64,
    let_go: Vec<Effect>,
    over: bool,
    /// The last limit because of which something was refused.
    pub(super) limit: Option<LimitHit>,
}

#[derive(Debug)]
struct Tally {
    capability: Capability,
    /// Its verdict row is in the journal.
    written: bool,
    count: u64,
    targets: Vec<String>,
    targets_bytes: usize,
    cut: bool,
}

impl Record {
    /// Of a call that may have so many rows.
    pub(super) fn new(rows: LimitHit) -> Self {
        Self {
            rows_left: rows.value,
            rows,
            denials: Vec::new(),
            denials_unlisted: 0,
            tallies: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            let_go: Vec::new(),
            over: false,
            limit: None,
        }
    }

    /// Takes in an allowed effect; `tally` is the key of those that share a verdict.
    pub(super) fn enter(
        &mut self,
        tally: Option<&str>,
        capability: Capability,
        target: &str,
        has_outcome: bool,
    ) -> Entry {
        if self.over {
            return Entry::Over;
        }
        let known = tally.and_then(|key| self.tallies.get_mut(key));
        if let Some(tally) = known {
            tally.add(target);
            if tally.written {
                return Entry::Shared;
            }
            // Its verdict is on the way to the journal and may not arrive: this one has its own.
            return self.take_rows(1).map_or_else(Entry::Full, |()| Entry::Own(None));
        }
        let tallied = tally.filter(|_| self.tallies.len() < TALLIES_MAX);
        let rows = if tallied.is_some() || has_outcome { 2 } else { 1 };
        if let Err(limit) = self.take_rows(rows) {
            return Entry::Full(limit);
        }
        if let Some(key) = tallied {
            self.tallies.insert(key.to_owned(), Tally::new(capability, target));
            return Entry::Own(None);
        }
        Entry::Own(has_outcome.then(|| self.open(capability, target)))
    }

    fn take_rows(&mut self, rows: u64) -> Result<(), LimitHit> {
        match self.rows_left.checked_sub(rows) {
            Some(left) => {
                self.rows_left = left;
                Ok(())
            }
            None => {
                self.limit = Some(self.rows.clone());
                Err(self.rows.clone())
            }
        }
    }

    fn open(&mut self, capability: Capability, target: &str) -> u64 {
        let id = self.next;
        self.next += 1;
        let effect = Effect { capability: capability.to_string(), target: target.to_owned() };
        self.open.insert(id, effect);
        id
    }

    /// The verdict row of a tally is in the journal.
    pub(super) fn verdict_written(&mut self, key: &str) {
        if let Some(tally) = self.tallies.get_mut(key) {
            tally.written = true;
        }
    }

    /// An effect that is open; none when the call has ended before it.
    pub(super) fn effect(&self, id: u64) -> Option<Effect> {
        self.open.get(&id).cloned()
    }

    /// The outcome of an effect is in the journal.
    pub(super) fn close(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// Nobody waits for an effect any more.
    pub(super) fn let_go(&mut self, id: u64) {
        self.let_go.extend(self.open.remove(&id));
    }

    /// One effect that was let go of, to be written down.
    pub(super) fn interrupted(&mut self) -> Option<Effect> {
        self.let_go.pop()
    }

    /// Counts a denial; true when it is a new one that has a row.
    pub(super) fn deny(&mut self, denial: &Denial) -> bool {
        if let Some((_, count)) = self.denials.iter_mut().find(|(known, _)| known == denial) {
            *count += 1;
            return false;
        }
        if self.denials.len() >= DENIALS_MAX {
            self.denials_unlisted += 1;
            return false;
        }
        self.denials.push((denial.clone(), 1));
        true
    }

    /// The denials that have rows.
    pub(super) fn denials(&self) -> Vec<Denial> {
        self.denials.iter().map(|(denial, _)| denial.clone()).collect()
    }

    /// Ends the call and gives what is left to be written.
    pub(super) fn end(&mut self) -> Ended {
        self.over = true;
        let mut interrupted = std::mem::take(&mut self.let_go);
        interrupted.extend(std::mem::take(&mut self.open).into_values());
        let tallies = std::mem::take(&mut self.tallies).into_iter();
        let mut told: Vec<(Effect, Value)> = tallies.map(|(key, tally)| tally.told(key)).collect();
        for (denial, count) in self.denials.iter_mut().filter(|(_, count)| *count > 1) {
            let effect =
                Effect { capability: denial.capability.clone(), target: denial.target.clone() };
            told.push((effect, json!({ "denied": count })));
            *count = 1;
        }
        let unlisted = std::mem::take(&mut self.denials_unlisted);
        if unlisted > 0 {
            let effect = Effect { capability: "denied".into(), target: String::new() };
            told.push((effect, json!({ "denials_not_listed": unlisted })));
        }
        Ended { interrupted, told }
    }
}

impl Tally {
    fn new(capability: Capability, target: &str) -> Self {
        let (targets, targets_bytes) = (vec![target.to_owned()], target.len());
        Self { capability, written: false, count: 1, targets, targets_bytes, cut: false }
    }

    fn add(&mut self, target: &str) {
        self.count += 1;
        // What is cut already needs no search.
        if self.cut || self.targets.iter().any(|known| known == target) {
            return;
        }
        let bytes = self.targets_bytes + target.len();
        if self.targets.len() >= TALLY_TARGETS_MAX || bytes > TALLY_BYTES_MAX {
            self.cut = true;
            return;
        }
        self.targets.push(target.to_owned());
        self.targets_bytes = bytes;
    }

    /// The count is complete; the list may be cut, and says so.
    fn told(self, key: String) -> (Effect, Value) {
        let mut body = json!({ "count": self.count, "targets": self.targets });
        if self.cut {
            body["cut"] = Value::Bool(true);
        }
        (Effect { capability: self.capability.to_string(), target: key }, body)
    }
}
