//! Least recently used.

use super::queue::Queue;
use super::{Access, Policy};

/// The page that was not used for longest leaves (Denning 1968).
pub struct Lru {
    capacity: usize,
    pages: Queue,
}

impl Lru {
    /// A cache of `capacity` pages, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), pages: Queue::default() }
    }
}

impl Policy for Lru {
    fn access(&mut self, key: u64) -> Access {
        let hit = self.pages.contains(key);
        if !hit && self.pages.len() == self.capacity {
            self.pages.pop();
        }
        self.pages.push(key);
        if hit { Access::Hit } else { Access::Miss }
    }

    fn len(&self) -> usize {
        self.pages.len()
    }
}
