//! The window's worth as a policy: what leaves is worth least, in batches down to a low mark.

use std::collections::HashMap;

use super::super::context::LOW_MARK;
use super::super::evict;
use super::{Access, Policy};

/// Recency and frequency as in [`evict::worth`], with middling importance and no relevance; a page
/// is a token long. A batch is sorted once for all pages that leave in it, so an access is
/// O(log n) amortised.
pub struct Worth {
    capacity: usize,
    clock: u64,
    /// Uses and last use of each page.
    pages: HashMap<u64, (u32, u64)>,
}

impl Worth {
    /// A cache of `capacity` pages, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), clock: 0, pages: HashMap::new() }
    }

    fn evict(&mut self) {
        let worth = |uses: u32, used: u64| {
            evict::blend(uses, 0.5, self.clock - used, self.capacity as u64, 0.0)
        };
        let mut order: Vec<(f64, u64)> =
            self.pages.iter().map(|(key, (uses, used))| (worth(*uses, *used), *key)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let low = (self.capacity as f32 * LOW_MARK) as usize;
        for (_, key) in &order[low.min(self.capacity - 1)..] {
            self.pages.remove(key);
        }
    }
}

impl Policy for Worth {
    fn access(&mut self, key: u64) -> Access {
        self.clock += 1;
        if let Some((uses, used)) = self.pages.get_mut(&key) {
            *uses = uses.saturating_add(1);
            *used = self.clock;
            return Access::Hit;
        }
        if self.pages.len() == self.capacity {
            self.evict();
        }
        self.pages.insert(key, (1, self.clock));
        Access::Miss
    }

    fn len(&self) -> usize {
        self.pages.len()
    }
}
