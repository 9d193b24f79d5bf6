//! How long a call is held back for a provider that says "not now", before its caller is told so.

use std::time::{Duration, Instant};

use crate::model::ModelError;

/// The shortest wait: a provider that asks for none would be asked in a ring.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// What is left of one call's patience. It counts from the first time that the call is held back.
#[derive(Debug)]
pub(super) struct Patience {
    most: Duration,
    until: Option<Instant>,
}

impl Patience {
    /// All of it.
    pub(super) fn new(most: Duration) -> Self {
        Self { most, until: None }
    }

    /// How long the call goes back to its place for; none where the error is the caller's to hear:
    /// because waiting does not mend it, or would take longer than there is patience.
    pub(super) fn holds(&mut self, error: &ModelError) -> Option<Duration> {
        let wait = match error {
            ModelError::RateLimited { after, .. } | ModelError::Overloaded { after, .. } => {
                (*after).max(WAIT_MIN)
            }
            ModelError::Unauthorised { .. }
            | ModelError::UnknownModel { .. }
            | ModelError::TooLarge { .. }
            | ModelError::Refused { .. }
            | ModelError::Unavailable { .. }
            | ModelError::TimedOut { .. }
            | ModelError::BadRequest { .. }
            | ModelError::BrokenStream { .. } => return None,
        };
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + self.most);
        (now + wait <= until).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(after: Duration) -> ModelError {
        ModelError::RateLimited { model: "p/m".into(), after }
    }

    #[test]
    fn a_wait_within_the_patience_is_kept_and_a_longer_one_is_told() {
        let mut patience = Patience::new(Duration::from_secs(60));
        assert_eq!(patience.holds(&limited(Duration::ZERO)), Some(WAIT_MIN));
        let second = Duration::from_secs(1);
        assert_eq!(patience.holds(&limited(second)), Some(second));
        assert_eq!(patience.holds(&limited(Duration::from_secs(61))), None);
    }

    #[test]
    fn what_waiting_does_not_mend_is_told_at_once() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let error = ModelError::BadRequest { model: "p/m".into(), reason: "no".into() };
        assert_eq!(patience.holds(&error), None);
    }
}
