//! An ordered list of keys with membership: what every policy is made of.

use std::collections::{BTreeMap, HashMap};

/// Keys in the order in which they were pushed.
#[derive(Debug, Default)]
pub struct Queue {
    at: HashMap<u64, u64>,
    order: BTreeMap<u64, u64>,
    next: u64,
}

impl Queue {
    /// Puts a key at the new end; one that is there moves there.
    pub fn push(&mut self, key: u64) {
        self.remove(key);
        self.at.insert(key, self.next);
        self.order.insert(self.next, key);
        self.next += 1;
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<u64> {
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// Takes a key out; whether it was there.
    pub fn remove(&mut self, key: u64) -> bool {
        let found = self.at.remove(&key);
        found.is_some_and(|at| self.order.remove(&at).is_some())
    }

    /// Whether the key is there.
    pub fn contains(&self, key: u64) -> bool {
        self.at.contains_key(&key)
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.at.len()
    }
}
