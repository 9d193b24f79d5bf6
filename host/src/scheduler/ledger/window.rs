//! A sliding window in buckets: what was charged in the last hour, say, in bounded memory.
//!
//! A bucket is a sixtieth of the window and leaves as a whole when its newest charge is a window
//! old. So no window of the full length ever holds more than the limit, and room opens up to one
//! bucket (a minute in an hour) late.

use std::collections::VecDeque;

use crate::scheduler::event::{Amounts, Moment};

/// Buckets in a window.
pub(super) const BUCKETS: u64 = 60;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Window {
    /// (when it leaves, in bucket widths; what was charged in it), oldest first: at most 61.
    buckets: VecDeque<(u64, Amounts)>,
    sum: Amounts,
}

/// A window's length as the width of its buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width(u64);

impl Width {
    pub(super) fn of_window_ns(window_ns: u64) -> Self {
        Self(window_ns.div_ceil(BUCKETS).max(1))
    }

    /// Buckets bear the number of the one at whose beginning they leave.
    fn bucket(self, at: Moment) -> u64 {
        at.0 / self.0 + 1 + BUCKETS
    }

    /// When a bucket's newest charge is a window old.
    fn leaves(self, bucket: u64) -> Moment {
        Moment(bucket.saturating_mul(self.0))
    }
}

impl Window {
    /// Lets go of what has left.
    pub(super) fn slide(&mut self, width: Width, now: Moment) {
        while let Some((bucket, amounts)) = self.buckets.front() {
            if width.leaves(*bucket) > now {
                break;
            }
            self.sum = self.sum.less(*amounts);
            self.buckets.pop_front();
        }
    }

    pub(super) fn add(&mut self, width: Width, now: Moment, amounts: Amounts) {
        self.slide(width, now);
        let bucket = width.bucket(now);
        match self.buckets.back_mut() {
            Some((last, held)) if *last >= bucket => *held = held.plus(amounts),
            _ => self.buckets.push_back((bucket, amounts)),
        }
        self.sum = self.sum.plus(amounts);
    }

    /// What was charged so long ago: it leaves with the rest of its bucket, and is left out where
    /// it has left already.
    pub(super) fn recall(&mut self, width: Width, now: Moment, age_ns: u64, amounts: Amounts) {
        let whole = width.0.saturating_mul(BUCKETS);
        let Some(left) = whole.checked_sub(age_ns).filter(|left| *left > 0) else { return };
        // The bucket at whose beginning it has left for certain.
        let bucket = now.0.saturating_add(left).div_ceil(width.0);
        let at = self.buckets.partition_point(|(known, _)| *known < bucket);
        match self.buckets.get_mut(at) {
            Some((known, held)) if *known == bucket => *held = held.plus(amounts),
            _ => self.buckets.insert(at, (bucket, amounts)),
        }
        self.sum = self.sum.plus(amounts);
    }

    /// Charged and not yet slid out, as of the last slide.
    pub(super) fn sum(&self) -> Amounts {
        self.sum
    }

    /// Charged and not slid out at `now`.
    pub(super) fn sum_at(&self, width: Width, now: Moment) -> Amounts {
        let gone = self.buckets.iter().take_while(|(bucket, _)| width.leaves(*bucket) <= now);
        gone.fold(self.sum, |sum, (_, amounts)| sum.less(*amounts))
    }

    /// When at most `room` of what `of` reads is left in it; none where no slide helps.
    pub(super) fn falls_to(
        &self,
        width: Width,
        room: u64,
        of: fn(&Amounts) -> u64,
    ) -> Option<Moment> {
        let mut left = of(&self.sum);
        for (bucket, amounts) in &self.buckets {
            if left <= room {
                break;
            }
            left = left.saturating_sub(of(amounts));
            if left <= room {
                return Some(width.leaves(*bucket));
            }
        }
        None
    }

    /// (nanoseconds until it leaves, amounts), oldest first.
    pub(super) fn ages(&self, width: Width, now: Moment) -> Vec<(u64, Amounts)> {
        let until = |bucket: u64| width.leaves(bucket).since_ns(now);
        self.buckets.iter().map(|(bucket, amounts)| (until(*bucket), *amounts)).collect()
    }

    /// Back from [`Window::ages`], `slept_ns` later: rounded up to whole buckets.
    pub(super) fn from_ages(
        ages: &[(u64, Amounts)],
        width: Width,
        slept_ns: u64,
        now: Moment,
    ) -> Self {
        let mut window = Self::default();
        for (left_ns, amounts) in ages {
            let left_ns = left_ns.saturating_sub(slept_ns).min(width.0 * (BUCKETS + 1));
            if left_ns == 0 {
                continue;
            }
            let bucket = now.after_ns(left_ns).0.div_ceil(width.0);
            match window.buckets.back_mut() {
                Some((last, held)) if *last >= bucket => *held = held.plus(*amounts),
                _ => window.buckets.push_back((bucket, *amounts)),
            }
            window.sum = window.sum.plus(*amounts);
        }
        window
    }
}
