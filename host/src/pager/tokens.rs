//! Counting tokens. Knows nothing of pages: a text goes in, a number comes out.

/// Counts the tokens of a text, always the same for the same text.
///
/// The model layer gives a real tokenizer; [`Chars4`] is the rule of thumb that measurements use.
pub trait Count: Send + Sync {
    /// Tokens of `text`.
    fn tokens(&self, text: &str) -> u64;
}

/// A token is four characters, rounded up: the measure of the offline scorers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chars4;

impl Count for Chars4 {
    fn tokens(&self, text: &str) -> u64 {
        (text.chars().count() as u64).div_ceil(4)
    }
}

/// A counter and the factor by which a provider's own counts differ from it.
///
/// The factor follows the ratio of what was reported to what was counted by an exponential moving
/// average, and stays within [`FACTOR_MIN`] and [`FACTOR_MAX`], so that one absurd report cannot
/// empty or overflow a window.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Factor(f64);

/// The smallest factor: a vendor whose tokens are twice as long as ours.
pub const FACTOR_MIN: f64 = 0.5;
/// The largest factor: languages that another vendor's vocabulary spells letter by letter.
pub const FACTOR_MAX: f64 = 4.0;
/// The weight of a new report: ten calls forget nine tenths of an old vocabulary.
const NEW_WEIGHT: f64 = 0.2;
/// Reports on fewer counted tokens say more about message framing than about the vocabulary.
const COUNTED_MIN: u64 = 64;

impl Default for Factor {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Factor {
    /// Learns from a call: what we counted, and what the provider reported, in tokens.
    pub fn learn(&mut self, counted: u64, reported: u64) {
        if counted >= COUNTED_MIN && reported > 0 {
            let ratio = (reported as f64 / counted as f64).clamp(FACTOR_MIN, FACTOR_MAX);
            self.0 += NEW_WEIGHT * (ratio - self.0);
        }
    }

    /// How many counted tokens fit a provider's window of so many of its own.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, bounded"
    )]
    pub fn counted_in(self, provider_tokens: u64) -> u64 {
        (provider_tokens as f64 / self.0) as u64
    }

    /// Provider's tokens a counted token.
    pub fn ratio(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_characters_are_a_token_whatever_their_bytes() {
        assert_eq!(Chars4.tokens(""), 0);
        assert_eq!(Chars4.tokens("abcd"), 1);
        assert_eq!(Chars4.tokens("abcde"), 2);
        assert_eq!(Chars4.tokens("😀😀😀😀"), 1);
    }

    #[test]
    fn the_factor_follows_reports_and_stays_in_its_bounds() {
        let mut factor = Factor::default();
        (0..50).for_each(|_| factor.learn(1_000, 1_300));
        assert!((factor.ratio() - 1.3).abs() < 0.01, "{factor:?}");
        assert_eq!(factor.counted_in(1_300) / 10, 100);
        factor.learn(1_000, u64::MAX);
        (0..100).for_each(|_| factor.learn(1_000, 0));
        assert!(factor.ratio() < 2.0, "one absurd report moved it to {factor:?}");
        factor.learn(10, 1_000);
        (0..200).for_each(|_| factor.learn(100, 1));
        assert!(factor.ratio() >= FACTOR_MIN);
    }
}
