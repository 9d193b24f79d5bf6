//! Replacement policies behind one trait: which page leaves when a new one comes. Pure. Pages are
//! of one size here; the window's own eviction (`evict`) weighs tokens and prefixes as well.
//!
//! The classic ones are the yardsticks for [`Worth`], the window's worth as a policy: the same
//! trace goes through each, and [`misses`] counts.

mod arc;
mod lfu;
mod lru;
mod queue;
mod s3_fifo;
mod worth;

pub use self::arc::Arc;
pub use self::lfu::Lfu;
pub use self::lru::Lru;
pub use self::s3_fifo::S3Fifo;
pub use self::worth::Worth;

/// What an access did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The page was there.
    Hit,
    /// It was not, and is now.
    Miss,
}

/// A replacement policy with its cache of a fixed number of pages. Deterministic; every operation
/// is O(log n) amortised.
pub trait Policy {
    /// Uses a page; one that is not there comes in, and others leave as the policy says.
    fn access(&mut self, key: u64) -> Access;

    /// How many pages are there; never more than the capacity.
    fn len(&self) -> usize;

    /// Whether no page is there.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many accesses of a trace miss.
pub fn misses(policy: &mut dyn Policy, trace: impl IntoIterator<Item = u64>) -> u64 {
    trace.into_iter().filter(|key| policy.access(*key) == Access::Miss).count() as u64
}

#[cfg(test)]
mod tests;
