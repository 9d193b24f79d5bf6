//! Counting tokens. Knows nothing of pages: a text goes in, a number comes out.

use std::sync::Arc;

/// Counts the tokens of a text, always the same for the same text.
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

/// How tokens are counted. What is counted is written into the store under this name, so a name
/// never changes its meaning.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tokenizer {
    /// OpenAI's vocabulary of 200,000 entries; of all public ones the nearest to what other
    /// vendors count, whose difference [`Factor`] learns.
    #[default]
    O200k,
    /// OpenAI's vocabulary of 100,000 entries.
    Cl100k,
    /// [`Chars4`].
    Chars4,
}

impl Tokenizer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::O200k, Self::Cl100k, Self::Chars4];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200k => "o200k",
            Self::Cl100k => "cl100k",
            Self::Chars4 => "chars4",
        }
    }

    /// Its counter. A vocabulary is read once a process, when something is first counted.
    pub fn counter(self) -> Arc<dyn Count> {
        match self {
            Self::O200k => Arc::new(Pairs(bpe_openai::o200k_base)),
            Self::Cl100k => Arc::new(Pairs(bpe_openai::cl100k_base)),
            Self::Chars4 => Arc::new(Chars4),
        }
    }
}

impl std::str::FromStr for Tokenizer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tokenizer| tokenizer.name() == text);
        found.ok_or_else(|| format!("`{text}` is no tokenizer; there are o200k, cl100k and chars4"))
    }
}

/// Byte pairs, counted as OpenAI's own program does. Takes time in proportion to the text, whatever
/// it is: `bpe` counts without backtracking over a long run of one letter.
struct Pairs(fn() -> &'static bpe_openai::Tokenizer);

/// Of a longer text so much is counted, in bytes, and the rest is taken to be like it: a count of
/// 100 MB would hold a worker for seconds. No page of a window is so long.
const COUNTED_BYTES_MAX: usize = 1 << 20;

impl Count for Pairs {
    fn tokens(&self, text: &str) -> u64 {
        let counted = &text[..text.floor_char_boundary(COUNTED_BYTES_MAX.min(text.len()))];
        let tokens = (self.0)().count(counted) as u64;
        if counted.len() == text.len() {
            return tokens;
        }
        let share = u128::from(tokens) * text.len() as u128 / counted.len().max(1) as u128;
        u64::try_from(share).unwrap_or(u64::MAX)
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

    /// How many of the provider's tokens so many counted ones are.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, bounded"
    )]
    pub fn provider_tokens(self, counted: u64) -> u64 {
        (counted as f64 * self.0).ceil() as u64
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

    /// The examples of OpenAI's cookbook ("How to count tokens with tiktoken"): cl100k and o200k.
    #[test]
    fn byte_pairs_are_counted_as_their_vendor_does() {
        let samples = [
            ("antidisestablishmentarianism", 6, 6),
            ("2 + 2 = 4", 7, 7),
            ("お誕生日おめでとう", 9, 8),
        ];
        let (cl100k, o200k) = (Tokenizer::Cl100k.counter(), Tokenizer::O200k.counter());
        for (text, old, new) in samples {
            assert_eq!((cl100k.tokens(text), o200k.tokens(text)), (old, new), "{text}");
        }
        assert_eq!(o200k.tokens(""), 0);
    }

    #[test]
    fn a_text_without_end_is_counted_in_part() {
        let o200k = Tokenizer::O200k.counter();
        let (one, ten) = ("word ".repeat(1 << 18), "word ".repeat(10 << 18));
        let (one, ten) = (o200k.tokens(&one), o200k.tokens(&ten));
        assert!(ten.abs_diff(10 * one) < one / 100, "{one}, {ten}");
        // One endless run of a letter, and one of no letters, in time.
        assert!(o200k.tokens(&"x".repeat(400_000)) > 1_000);
        assert!(o200k.tokens(&" ".repeat(400_000)) > 100);
    }

    #[test]
    fn a_tokenizer_has_one_name_everywhere() {
        for tokenizer in Tokenizer::ALL {
            assert_eq!(tokenizer.name().parse(), Ok(tokenizer));
            let json = serde_json::to_string(&tokenizer).expect("a word");
            assert_eq!(json, format!("\"{}\"", tokenizer.name()));
        }
        assert!("gpt2".parse::<Tokenizer>().is_err_and(|error| error.contains("o200k, cl100k")));
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
