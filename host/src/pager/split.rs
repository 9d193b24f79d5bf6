//! Cuts a text that is too large for the window. Knows nothing of pages.
//!
//! A cut never falls inside a grapheme cluster (UAX 29), so a flag, a family of emoji, an accent
//! or a vowel sign stays with its base, in any script and writing direction; it falls after a line
//! or a word where one ends in the last quarter.

use unicode_segmentation::GraphemeCursor;

use super::tokens::Count;

/// A cluster longer than this is cut between its characters: hostile text is one endless cluster.
const CLUSTER_BYTES_MAX: usize = 256;

/// No more of a text is looked at for each token that may be in its beginning, so that cutting a
/// long text piece by piece takes time in proportion to its length.
const TOKEN_BYTES: usize = 16;

/// How often a place is guessed before halving is safer.
const GUESSES: u32 = 5;
/// A thirty-second short of the limit is near enough.
const NEAR: u64 = 32;

/// The length in bytes of the longest good beginning of `text` within `tokens_max` tokens.
///
/// At least one character, where there is one, so that a loop over a text ends.
pub fn beginning(text: &str, tokens_max: u64, counter: &dyn Count) -> usize {
    let bytes_max = usize::try_from(tokens_max).unwrap_or(usize::MAX).saturating_mul(TOKEN_BYTES);
    let whole = text.len();
    let text = &text[..text.floor_char_boundary(bytes_max.min(whole))];
    if text.len() == whole && counter.tokens(text) <= tokens_max {
        return whole;
    }
    let low = longest(text, tokens_max, counter);
    let cut = at_word(text, at_cluster(text, low));
    let first = text.chars().next().map_or(0, char::len_utf8);
    cut.max(first)
}

/// A length within `tokens_max` tokens that is at most [`NEAR`] short of the longest.
///
/// Token counts grow with the text to within a token or two. The next place to look at is where
/// the last count says that the limit is; where that does not come near soon, halving does.
fn longest(text: &str, tokens_max: u64, counter: &dyn Count) -> usize {
    let (mut low, mut high, mut guess) = (0, text.len(), scaled(tokens_max, 4, 1));
    for round in 0.. {
        if high - low <= 4 {
            break;
        }
        let middle = if round < GUESSES { guess } else { low + (high - low) / 2 };
        let middle = text.floor_char_boundary(middle.clamp(low + 1, high - 1));
        if middle <= low {
            break;
        }
        let tokens = counter.tokens(&text[..middle]);
        if tokens <= tokens_max {
            low = middle;
            if round < GUESSES && tokens_max - tokens <= tokens_max / NEAR {
                break;
            }
        } else {
            high = middle;
        }
        guess = scaled(tokens_max, middle as u64, tokens.max(1));
        // A little below, so that the next count is within the limit.
        guess -= guess / (2 * usize::try_from(NEAR).unwrap_or(usize::MAX));
    }
    low
}

fn scaled(tokens: u64, bytes: u64, of_tokens: u64) -> usize {
    usize::try_from(u128::from(tokens) * u128::from(bytes) / u128::from(of_tokens.max(1)))
        .unwrap_or(usize::MAX)
}

/// The nearest place at or before `at` that is between two clusters.
fn at_cluster(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    if !matches!(cursor.is_boundary(text, 0), Ok(false)) {
        return at;
    }
    match cursor.prev_boundary(text, 0) {
        Ok(Some(before)) if at - before <= CLUSTER_BYTES_MAX => before,
        _ => at,
    }
}

/// After the last line, or else the last white space, of the last quarter before `at`.
fn at_word(text: &str, at: usize) -> usize {
    let from = text.ceil_char_boundary(at / 4 * 3).min(at);
    let last = &text[from..at];
    let line = last.rfind('\n').map(|found| from + found + 1);
    let word = || {
        let space = last.char_indices().rev().find(|(_, c)| c.is_whitespace());
        space.map(|(found, c)| from + found + c.len_utf8())
    };
    line.or_else(word).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::super::tokens::{Chars4, Tokenizer};
    use super::*;

    #[test]
    fn a_text_that_fits_is_whole() {
        assert_eq!(beginning("abc", 1, &Chars4), 3);
        assert_eq!(beginning("", 0, &Chars4), 0);
    }

    #[test]
    fn a_cut_falls_after_a_word() {
        let text = "one two three four five six";
        assert_eq!(&text[..beginning(text, 4, &Chars4)], "one two three ");
    }

    #[test]
    fn a_cut_keeps_clusters_whole_in_every_script() {
        let flags = "🇵🇹🇩🇪🇫🇷🇮🇹🇵🇱🇪🇸";
        let family = "👨‍👩‍👧‍👦".repeat(8);
        let hebrew = "שָׁלוֹם".repeat(9);
        let four_bytes = "𝒳𝒴".repeat(20);
        for text in [flags, &family, &hebrew, &four_bytes] {
            for tokens in 1..8 {
                let cut = beginning(text, tokens, &Chars4);
                assert!(cut > 0 && text.is_char_boundary(cut));
                let mut cursor = GraphemeCursor::new(cut, text.len(), true);
                let first = text.chars().next().map_or(0, char::len_utf8);
                assert!(cut == first || cursor.is_boundary(text, 0) == Ok(true), "{text} at {cut}");
                assert!(cut == first || Chars4.tokens(&text[..cut]) <= tokens);
            }
        }
    }

    #[test]
    fn an_endless_cluster_is_cut_all_the_same() {
        let text = format!("a{}", "\u{301}".repeat(10_000));
        let cut = beginning(&text, 100, &Chars4);
        assert!(cut > 400 && cut < text.len(), "{cut}");
    }

    #[test]
    fn a_long_text_is_cut_into_pieces_that_fit_by_every_counter() {
        let texts = ["word ".repeat(20_000), "水".repeat(20_000), " \n".repeat(20_000)];
        for counter in Tokenizer::ALL.map(Tokenizer::counter) {
            for text in &texts {
                let (mut rest, mut pieces) = (text.as_str(), 0);
                while !rest.is_empty() {
                    let at = beginning(rest, 1_000, &*counter);
                    // A tokenizer may count a beginning one or two higher than it is in the whole.
                    assert!(counter.tokens(&rest[..at]) <= 1_002);
                    rest = &rest[at..];
                    pieces += 1;
                }
                let least = counter.tokens(text) / 1_000;
                assert!(pieces <= 2 + least * 3 / 2, "{pieces} pieces of {least}");
            }
        }
    }
}
