//! A circuit breaker: a provider that keeps failing is left alone for a while. Pure.
//!
//! Only failures of the provider count (no connection, 5xx, no answer in time): not refusals of one
//! request, and not rate limits, which the pacing knows better.

use std::time::Duration;

/// Failures in a row that open it.
const FAILURES_MAX: u32 = 5;
/// How long it stays open at first; doubled with every probe that fails, up to the other.
const OPEN_FIRST: Duration = Duration::from_secs(5);
const OPEN_MAX: Duration = Duration::from_secs(120);

/// One provider's breaker. Times are durations since a start that the caller chose.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    opened: u32,
    open_until: Option<Duration>,
    probing: bool,
}

impl Breaker {
    /// Whether a call may be tried; else how long to wait. After the wait one call probes, and all
    /// others wait for what it finds.
    pub fn admit(&mut self, now: Duration) -> Result<(), Duration> {
        match self.open_until {
            None => Ok(()),
            Some(until) if now < until => Err(until - now),
            Some(_) if self.probing => Err(Duration::from_secs(1)),
            Some(_) => {
                self.probing = true;
                Ok(())
            }
        }
    }

    /// The provider answered.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// The provider failed.
    pub fn fail(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        let probed = std::mem::take(&mut self.probing);
        if probed || (self.failures >= FAILURES_MAX && self.open_until.is_none()) {
            let open = OPEN_FIRST.saturating_mul(1 << self.opened.min(8)).min(OPEN_MAX);
            self.opened = self.opened.saturating_add(1);
            self.open_until = Some(now + open);
        }
    }

    /// A call that was let out ended without a word on the provider: it was cut, say.
    pub fn say_nothing(&mut self) {
        self.probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_four_do_not() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.fail(s(0));
        }
        breaker.succeed();
        for _ in 0..4 {
            breaker.fail(s(0));
        }
        assert_eq!(breaker.admit(s(0)), Ok(()));
        breaker.fail(s(1));
        assert_eq!(breaker.admit(s(2)), Err(s(4)));
    }

    #[test]
    fn one_call_probes_and_its_failure_doubles_the_wait() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.fail(s(0));
        }
        assert_eq!(breaker.admit(s(5)), Ok(()));
        assert!(breaker.admit(s(5)).is_err(), "a second probe");
        breaker.fail(s(6));
        assert_eq!(breaker.admit(s(7)), Err(s(9)));
        assert_eq!(breaker.admit(s(16)), Ok(()));
        breaker.say_nothing();
        assert_eq!(breaker.admit(s(16)), Ok(()));
        breaker.succeed();
        assert_eq!(breaker.admit(s(16)), Ok(()));
        assert_eq!(breaker.admit(s(16)), Ok(()));
    }
}
