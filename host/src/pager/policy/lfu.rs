//! Least frequently used.

use std::collections::{BTreeSet, HashMap};

use super::{Access, Policy};

/// The page with the fewest uses since it came leaves; of equals the least recently used.
pub struct Lfu {
    capacity: usize,
    clock: u64,
    /// Uses and last use of each page.
    pages: HashMap<u64, (u64, u64)>,
    order: BTreeSet<(u64, u64, u64)>,
}

impl Lfu {
    /// A cache of `capacity` pages, at least one.
    pub fn new(capacity: usize) -> Self {
        let (pages, order) = (HashMap::new(), BTreeSet::new());
        Self { capacity: capacity.max(1), clock: 0, pages, order }
    }
}

impl Policy for Lfu {
    fn access(&mut self, key: u64) -> Access {
        self.clock += 1;
        let before = self.pages.get(&key).copied();
        match before {
            Some((uses, used)) => {
                self.order.remove(&(uses, used, key));
            }
            None if self.pages.len() == self.capacity => {
                if let Some((_, _, victim)) = self.order.pop_first() {
                    self.pages.remove(&victim);
                }
            }
            None => {}
        }
        let uses = before.map_or(0, |(uses, _)| uses) + 1;
        self.pages.insert(key, (uses, self.clock));
        self.order.insert((uses, self.clock, key));
        if before.is_some() { Access::Hit } else { Access::Miss }
    }

    fn len(&self) -> usize {
        self.pages.len()
    }
}
