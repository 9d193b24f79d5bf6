//! Text to terms: stems of words that carry a subject, and hashed character 4-grams.

use rust_stemmers::{Algorithm, Stemmer};

use super::super::words;

/// No more of a page is indexed, in bytes: pages that are larger are pieces already.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Buckets of the hashed 4-grams.
pub const GRAM_BUCKETS: u64 = 1 << 16;
/// Words are read up to here, in characters: what is longer is a key, found by its beginning.
const WORD_CHARS_MAX: usize = 40;
/// Length of a gram in characters, the word's own borders counted as one each.
const GRAM_CHARS: usize = 4;

/// Makes terms. One for many texts: a stemmer has tables.
pub struct Analyzer(Stemmer);

impl Default for Analyzer {
    fn default() -> Self {
        // Snowball's English (Porter2); words of other languages keep more of their endings, which
        // the grams forgive.
        Self(Stemmer::create(Algorithm::English))
    }
}

impl Analyzer {
    /// The words of a text that carry a subject, as they are written, in lower case.
    pub fn subjects(text: &str) -> Vec<String> {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX.min(text.len()))];
        let cut = |word: String| match word.char_indices().nth(WORD_CHARS_MAX) {
            Some((at, _)) => word[..at].to_owned(),
            None => word,
        };
        words::words(text).filter(|word| !words::is_stop_word(word)).map(cut).collect()
    }

    /// A word's stem.
    pub fn stem(&self, word: &str) -> String {
        self.0.stem(word).into_owned()
    }
}

/// The hashed 4-grams of a word between its borders; a shorter word is one gram.
pub fn grams(word: &str) -> impl Iterator<Item = u16> + '_ {
    let bordered: Vec<char> =
        std::iter::once('<').chain(word.chars()).chain(std::iter::once('>')).collect();
    let count = bordered.len().saturating_sub(GRAM_CHARS - 1).max(1);
    (0..count).map(move |at| {
        let gram = &bordered[at..(at + GRAM_CHARS).min(bordered.len())];
        let bytes: String = gram.iter().collect();
        u16::try_from(words::fnv1a(bytes.as_bytes()) % GRAM_BUCKETS)
            .expect("invariant: there are 65,536 buckets")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_have_one_stem() {
        let analyzer = Analyzer::default();
        assert_eq!(analyzer.stem("adopted"), analyzer.stem("adopting"));
        assert_eq!(Analyzer::subjects("What is the adoption of it?"), ["adoption"]);
    }

    #[test]
    fn a_misspelt_word_shares_grams() {
        let one: Vec<u16> = grams("education").collect();
        let shared = grams("educaton").filter(|gram| one.contains(gram)).count();
        assert!(shared >= 4, "{shared}");
        assert_eq!(grams("").count(), 1);
        assert_eq!(grams("东").count(), 1);
    }

    #[test]
    fn a_word_without_an_end_is_read_to_its_bound() {
        let words = Analyzer::subjects(&"😀a".repeat(100_000));
        assert!(words.iter().all(|word| word.chars().count() <= WORD_CHARS_MAX));
        let long = "x".repeat(1_000_000);
        assert_eq!(Analyzer::subjects(&long), ["x".repeat(WORD_CHARS_MAX)]);
    }
}
