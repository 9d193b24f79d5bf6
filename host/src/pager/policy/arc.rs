//! Adaptive replacement.

use super::queue::Queue;
use super::{Access, Policy};

/// ARC (Megiddo and Modha, FAST 2003, figure 4): pages seen once and pages seen again, each with a
/// list of those that left, whose hits move the share between the two.
pub struct Arc {
    capacity: usize,
    /// The wanted size of `once`.
    target: usize,
    once: Queue,
    again: Queue,
    once_left: Queue,
    again_left: Queue,
}

impl Arc {
    /// A cache of `capacity` pages, at least one.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            target: 0,
            once: Queue::default(),
            again: Queue::default(),
            once_left: Queue::default(),
            again_left: Queue::default(),
        }
    }

    /// The paper's REPLACE: one page leaves, and is remembered.
    fn replace(&mut self, in_again_left: bool) {
        let once = self.once.len();
        if once > 0 && (once > self.target || (in_again_left && once == self.target)) {
            if let Some(key) = self.once.pop() {
                self.once_left.push(key);
            }
        } else if let Some(key) = self.again.pop() {
            self.again_left.push(key);
        }
    }

    /// The paper's case IV: a page that nothing is known of.
    fn make_room(&mut self) {
        let seen_once = self.once.len() + self.once_left.len();
        let all = seen_once + self.again.len() + self.again_left.len();
        if seen_once == self.capacity {
            if self.once.len() < self.capacity {
                self.once_left.pop();
                self.replace(false);
            } else {
                self.once.pop();
            }
        } else if all >= self.capacity {
            if all == 2 * self.capacity {
                self.again_left.pop();
            }
            self.replace(false);
        }
    }
}

impl Policy for Arc {
    fn access(&mut self, key: u64) -> Access {
        if self.once.remove(key) || self.again.contains(key) {
            self.again.push(key);
            return Access::Hit;
        }
        let (once_left, again_left) = (self.once_left.len(), self.again_left.len());
        if self.once_left.contains(key) {
            let step = (again_left / once_left).max(1);
            self.target = (self.target + step).min(self.capacity);
            self.replace(false);
            self.once_left.remove(key);
            self.again.push(key);
        } else if self.again_left.contains(key) {
            let step = (once_left / again_left).max(1);
            self.target = self.target.saturating_sub(step);
            self.replace(true);
            self.again_left.remove(key);
            self.again.push(key);
        } else {
            self.make_room();
            self.once.push(key);
        }
        Access::Miss
    }

    fn len(&self) -> usize {
        self.once.len() + self.again.len()
    }
}
