//! How good recall is for one context, without anybody's labels: known items.
//!
//! Of the pages that have left the window some are drawn evenly, and each is asked for by a few of
//! its own words; it should be among the best ten. The task is the one of known-item search
//! (Azzopardi, de Rijke and Balog, "Building simulated queries for known-item topics", 2007), with
//! words drawn evenly instead of at random.

use super::Remembered;
use crate::pager::recall::Index;

/// Pages that are asked for at most.
const ITEMS_MAX: usize = 64;
/// Words of a question.
const WORDS: usize = 6;
/// Shorter words say little.
const WORD_CHARS_MIN: usize = 3;
/// The best so many are looked at.
const BEST: usize = 10;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct KnownItems {
    /// Pages that were asked for.
    pub asked: u64,
    /// Those that were among the best ten.
    pub found: u64,
}

impl Remembered {
    /// Asks for pages that have left the window, by their own words. Needs the texts.
    pub fn known_items(&self, index: &Index) -> KnownItems {
        let gone: Vec<usize> = (0..self.pages.len())
            .filter(|at| {
                let kept = &self.pages[*at];
                !kept.page.resident && !kept.page.freed && !kept.echo
            })
            .collect();
        let step = gone.len().div_ceil(ITEMS_MAX).max(1);
        let mut items = KnownItems::default();
        for at in gone.into_iter().step_by(step) {
            let Some(query) = query(&self.texts[at]) else { continue };
            items.asked += 1;
            let wanted = self.pages[at].page.hash;
            // A page of the same words is as good.
            let hit = index.rank(&query, BEST).iter().any(|hit| {
                let found = self.pages.binary_search_by_key(&hit.id, |kept| kept.page.id);
                found.is_ok_and(|found| self.pages[found].page.hash == wanted)
            });
            items.found += u64::from(hit);
        }
        items
    }
}

/// A few words of a text, drawn evenly; none where it has fewer.
fn query(text: &str) -> Option<String> {
    let end = text.floor_char_boundary(text.len().min(64 << 10));
    let words = text[..end].split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| word.chars().count() >= WORD_CHARS_MIN).collect();
    let step = (words.len() / WORDS).max(1);
    let some: Vec<&str> = words.iter().copied().step_by(step).take(WORDS).collect();
    (some.len() == WORDS).then(|| some.join(" "))
}
