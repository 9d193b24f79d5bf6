//! The copy of one of a provider's token buckets.

use super::headers::Said;
use std::time::Duration;

/// Limits are per minute.
const WINDOW_S: f64 = 60.0;
/// The reserve, as seconds of refill, and the part of the burst that it may be at most.
const RESERVE_S: f64 = 1.0;
const RESERVE_PART_MAX: f64 = 0.125;
/// The burst that is believed at first, as seconds of refill. A 429 halves it, to no less than the
/// second of these; each [`CALM`] without one lets it grow by the third.
const BELIEVED_S_START: f64 = 5.0;
const BELIEVED_S_MIN: f64 = 0.5;
const BELIEF_GROWTH: f64 = 1.25;
/// A 429 doubles the reserve up to this factor; it halves again in [`CALM`] without one.
const RESERVE_FACTOR_MAX: f64 = 8.0;
const CALM: Duration = Duration::from_secs(60);
/// No bucket refills slower than this, in units a second: a wait is never endless.
const RATE_MIN: f64 = 1.0 / 3600.0;
/// Calls let out this short before an answer may not have reached the provider when it was written.
pub(super) const TRANSIT: Duration = Duration::from_millis(500);
/// The longest wait that is said at once: headers may have changed by then.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What is known of the bucket, in its own unit.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    level: f64,
    at: Duration,
    /// Units a second.
    rate: f64,
    /// The most that was seen to remain.
    burst: f64,
    /// When it is full again at once, where the provider refills by windows.
    full_at: Option<Duration>,
    /// What is believed of it, for what a provider says remains need not be what may go at once.
    /// Doubles once a round trip until the first 429, which halves it; then only calm lets it grow.
    burst_max: f64,
    grown_at: Duration,
    refused: bool,
    reserve_factor: f64,
    widened_at: Duration,
}

impl Bucket {
    pub(super) fn new(said: &Said) -> Self {
        Self {
            level: said.remaining,
            at: Duration::ZERO,
            rate: rate_of(said).0,
            burst: said.remaining,
            full_at: None,
            burst_max: rate_of(said).0 * BELIEVED_S_START,
            grown_at: Duration::ZERO,
            refused: false,
            reserve_factor: 1.0,
            widened_at: Duration::ZERO,
        }
    }

    /// Sets the copy by what remained at `sent` or at `now`, whichever leaves less, less what was
    /// admitted since. `own` is what the answered call itself had taken.
    pub(super) fn sync(
        &mut self,
        said: &Said,
        own: f64,
        sent: Duration,
        now: Duration,
        since: impl Iterator<Item = (Duration, f64)>,
    ) {
        let (rate, refills) = rate_of(said);
        self.rate = rate;
        self.burst = self.burst.max(said.remaining + own).min(said.limit);
        if !self.refused && sent >= self.grown_at {
            self.burst_max = (self.burst_max * 2.0).min(said.limit);
            self.grown_at = now;
        }
        self.full_at = match refills {
            Refills::Steadily => None,
            Refills::At(reset) => Some(now + reset),
        };
        let (mut level, mut at) = (said.remaining, sent);
        let mut in_transit = 0.0;
        for (admitted, charge) in since {
            if admitted + TRANSIT > now {
                in_transit += charge;
            }
            level = (level + self.rate * (admitted.saturating_sub(at)).as_secs_f64())
                .min(self.burst())
                - charge;
            at = admitted;
        }
        level += self.rate * now.saturating_sub(at).as_secs_f64();
        self.level = level.min(said.remaining - in_transit).min(self.burst());
        self.at = now;
    }

    /// How long until a call of this charge may go; zero for now.
    pub(super) fn wait(&mut self, now: Duration, charge: f64) -> Duration {
        self.refill(now);
        // A call larger than the burst goes when the bucket is full: it never gets fuller.
        let needed = (charge + self.reserve()).min(self.burst()).max(0.0);
        if self.level >= needed {
            return Duration::ZERO;
        }
        let wait = Duration::from_secs_f64((needed - self.level) / self.rate.max(RATE_MIN));
        let full = self.full_at.map_or(WAIT_MAX, |at| at.saturating_sub(now));
        // Never zero, or a caller would ask again and again at the same moment.
        wait.min(full).clamp(Duration::from_millis(1), WAIT_MAX)
    }

    pub(super) fn take(&mut self, now: Duration, charge: f64) {
        self.refill(now);
        self.level -= charge;
    }

    pub(super) fn give_back(&mut self, charge: f64) {
        self.level = (self.level + charge).min(self.burst());
    }

    /// After a 429: more must be kept from now on, and less be believed.
    pub(super) fn widen_reserve(&mut self, now: Duration) {
        self.burst_max = (self.burst() / 2.0).max(self.rate * BELIEVED_S_MIN);
        self.refused = true;
        self.reserve_factor = (self.reserve_factor * 2.0).min(RESERVE_FACTOR_MAX);
        self.widened_at = now;
    }

    fn burst(&self) -> f64 {
        self.burst.min(self.burst_max)
    }

    fn reserve(&self) -> f64 {
        let plain = (self.rate * RESERVE_S).min(self.burst() * RESERVE_PART_MAX);
        (plain * self.reserve_factor).min(self.burst() / 2.0)
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + self.rate * passed).min(self.burst());
        self.at = self.at.max(now);
        // Fixed windows refill at once, at the moment that was said.
        if self.full_at.is_some_and(|full| now >= full) {
            self.level = self.level.max(self.burst());
            self.full_at = None;
        }
        if self.refused && now.saturating_sub(self.widened_at) > CALM {
            self.reserve_factor = (self.reserve_factor / 2.0).max(1.0);
            self.burst_max *= BELIEF_GROWTH;
            self.widened_at = now;
        }
    }
}

/// How a bucket fills up again.
#[derive(Clone, Copy, Debug)]
enum Refills {
    Steadily,
    /// Perhaps only after this time, then whole.
    At(Duration),
}

/// Units a second: the limit is per minute, unless refilling takes far longer than that explains
/// (Groq's limit of requests is per day; others count by fixed windows).
fn rate_of(said: &Said) -> (f64, Refills) {
    let by_minute = (said.limit / WINDOW_S).max(RATE_MIN);
    let used = (said.limit - said.remaining).max(0.0);
    match said.reset {
        Some(reset) if used > 0.0 && reset.as_secs_f64() > 2.0 * used / by_minute + 5.0 => {
            ((used / reset.as_secs_f64()).max(RATE_MIN), Refills::At(reset))
        }
        _ => (by_minute, Refills::Steadily),
    }
}
