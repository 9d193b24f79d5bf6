//! The words of a page as a few bits, to tell at an eviction what is near the task without
//! reading the pages. Knows nothing of pages.

use super::words;

/// A Bloom filter of one hash over the words that are not stop words (Bloom 1970): 256 bits, so a
/// page of 50 such words has about a fifth of them set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signature([u64; 4]);

/// No more of a text is looked at, in bytes: what is longer has all bits set anyway.
const READ_BYTES_MAX: usize = 4 * 1024;

impl Signature {
    /// Adds the words of a text.
    pub fn add(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(READ_BYTES_MAX.min(text.len()))];
        for word in words::words(text).filter(|word| !words::is_stop_word(word)) {
            let bit = words::fnv1a(word.as_bytes()) & 255;
            self.0[(bit >> 6) as usize & 3] |= 1 << (bit & 63);
        }
    }

    /// The words of both.
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    /// The share of the smaller one's bits that both have, 0 to 1: the overlap coefficient.
    pub fn overlap(&self, other: &Self) -> f32 {
        let count = |bits: &[u64; 4]| bits.iter().map(|word| word.count_ones()).sum::<u32>();
        let both: [u64; 4] = std::array::from_fn(|at| self.0[at] & other.0[at]);
        let least = count(&self.0).min(count(&other.0)).max(1);
        count(&both) as f32 / least as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Signature {
        let mut signature = Signature::default();
        signature.add(text);
        signature
    }

    #[test]
    fn texts_with_the_same_words_overlap_more() {
        let task = of("book a flight from Lisbon to Seattle");
        assert!(of("the flight to Seattle leaves").overlap(&task) > 0.5);
        assert!(of("my cat likes tuna").overlap(&task) < 0.3);
        assert_eq!(of("").overlap(&task), 0.0);
        assert_eq!(of("the of and").overlap(&Signature::default()), 0.0);
    }
}
