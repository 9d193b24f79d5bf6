//! How long guests that are ready wait for a worker: a histogram that costs one addition a turn.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets for each doubling: a figure is at most an eighth too high.
const SUBDIVISION_BITS: u32 = 3;
const BUCKETS: usize = 64 << SUBDIVISION_BITS;

/// Counts by time, in buckets that grow with it.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<AtomicU64>,
    most_ns: AtomicU64,
}

/// What ready guests waited for a worker, since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Latency {
    /// Turns.
    pub turns: u64,
    /// Half of them waited at most so long, in nanoseconds.
    pub p50_ns: u64,
    /// 99 of a hundred waited at most so long, in nanoseconds.
    pub p99_ns: u64,
    /// The longest wait, in nanoseconds.
    pub max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        Self { counts, most_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one wait.
    pub(super) fn add(&self, ns: u64) {
        self.counts[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.most_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// What was counted since the last time, which is forgotten.
    pub(super) fn take(&self) -> Latency {
        let counts: Vec<u64> =
            self.counts.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        let turns: u64 = counts.iter().sum();
        let max_ns = self.most_ns.swap(0, Ordering::Relaxed);
        let at = |permille: u64| {
            let wanted = (turns * permille).div_ceil(1_000).max(1);
            let mut seen = 0;
            let reached = counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            reached.map_or(0, |bucket| upper_ns(bucket).min(max_ns))
        };
        Latency { turns, p50_ns: at(500), p99_ns: at(990), max_ns }
    }
}

/// Small numbers have a bucket each; above, each doubling has eight.
fn bucket(ns: u64) -> usize {
    let ns = ns.max(1);
    let doubling = ns.ilog2();
    if doubling < SUBDIVISION_BITS {
        return usize::try_from(ns).unwrap_or(BUCKETS - 1);
    }
    let within = (ns >> (doubling - SUBDIVISION_BITS)) & ((1 << SUBDIVISION_BITS) - 1);
    let at = (u64::from(doubling) << SUBDIVISION_BITS) + within;
    usize::try_from(at).unwrap_or(BUCKETS - 1).min(BUCKETS - 1)
}

/// The largest number of a bucket.
fn upper_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let doubling = bucket >> SUBDIVISION_BITS;
    if doubling < u64::from(SUBDIVISION_BITS) {
        return bucket;
    }
    let within = bucket & ((1 << SUBDIVISION_BITS) - 1);
    let step = doubling - u64::from(SUBDIVISION_BITS);
    ((1_u64 << SUBDIVISION_BITS) + within + 1)
        .checked_shl(u32::try_from(step).unwrap_or(63))
        .map_or(u64::MAX, |end| end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_at_most_an_eighth_too_high() {
        for ns in [1, 5, 8, 9, 100, 999, 1_000, 123_456, 10_000_000, 7_654_321_000] {
            let upper = upper_ns(bucket(ns));
            assert!(upper >= ns && upper <= ns + ns / 8, "{ns}: {upper}");
        }
    }

    #[test]
    fn percentiles_are_of_what_was_counted_and_are_forgotten_then() {
        let histogram = Histogram::default();
        (0..990).for_each(|_| histogram.add(1_000));
        (0..10).for_each(|_| histogram.add(1_000_000));
        let latency = histogram.take();
        assert_eq!((latency.turns, latency.max_ns), (1_000, 1_000_000));
        assert!(latency.p50_ns < 1_200 && latency.p99_ns < 1_200, "{latency:?}");
        assert_eq!(histogram.take(), Latency::default());
    }
}
