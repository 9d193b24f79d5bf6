//! Three static queues.

use std::collections::HashMap;

use super::queue::Queue;
use super::{Access, Policy};

/// S3-FIFO (Yang and others, SOSP 2023, algorithm 1): a small queue of a tenth for what is new, a
/// main queue that gives used pages another round, a ghost queue of names that left the small one.
pub struct S3Fifo {
    small_max: usize,
    capacity: usize,
    small: Queue,
    main: Queue,
    ghost: Queue,
    /// Uses of the pages that are there, up to [`USES_MAX`].
    uses: HashMap<u64, u8>,
}

/// The paper's two bits.
const USES_MAX: u8 = 3;

impl S3Fifo {
    /// A cache of `capacity` pages, at least two: one in each queue.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(2);
        Self {
            small_max: (capacity / 10).max(1),
            capacity,
            small: Queue::default(),
            main: Queue::default(),
            ghost: Queue::default(),
            uses: HashMap::new(),
        }
    }

    fn main_max(&self) -> usize {
        self.capacity - self.small_max
    }

    fn evict(&mut self) {
        if self.small.len() >= self.small_max { self.evict_small() } else { self.evict_main() }
    }

    fn evict_small(&mut self) {
        while let Some(key) = self.small.pop() {
            if self.uses.get(&key).is_some_and(|uses| *uses > 1) {
                self.main.push(key);
                if self.main.len() > self.main_max() {
                    self.evict_main();
                    return;
                }
            } else {
                self.uses.remove(&key);
                self.ghost.push(key);
                if self.ghost.len() > self.main_max() {
                    self.ghost.pop();
                }
                return;
            }
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop() {
            match self.uses.get_mut(&key) {
                Some(uses) if *uses > 0 => {
                    *uses -= 1;
                    self.main.push(key);
                }
                _ => {
                    self.uses.remove(&key);
                    return;
                }
            }
        }
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, key: u64) -> Access {
        if let Some(uses) = self.uses.get_mut(&key) {
            *uses = (*uses + 1).min(USES_MAX);
            return Access::Hit;
        }
        while self.uses.len() >= self.capacity {
            self.evict();
        }
        if self.ghost.remove(key) {
            self.main.push(key)
        } else {
            self.small.push(key)
        }
        self.uses.insert(key, 0);
        Access::Miss
    }

    fn len(&self) -> usize {
        self.uses.len()
    }
}
