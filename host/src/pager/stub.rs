//! The words that stand in a prompt for pages that left. Knows nothing of why they left.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::{Context, Entry, Stub};
use super::words;

/// The most characters of a stub: a model needs numbers and a subject, not a summary.
pub const TEXT_CHARS_MAX: usize = 400;
/// How many words say what the pages are about.
const TOPICS: usize = 6;
/// Longer words (keys, addresses) say little and cost much.
const TOPIC_CHARS_MAX: usize = 24;
/// No more text than this is read to find the words, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024;
/// A label is shown up to here, in characters.
const LABEL_CHARS_MAX: usize = 40;
/// How many labels are shown.
const LABELS: usize = 3;

/// A run of pages that leave together, as it is gathered.
#[derive(Debug, Default)]
pub(super) struct Run {
    first: Option<u64>,
    last: u64,
    pages: u64,
    tokens: u64,
    read_bytes: usize,
    labels: Vec<Arc<str>>,
    counts: HashMap<String, u32>,
}

impl Run {
    /// Whether nothing that can be recalled has left.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Adds a page, or what an older stub stands for.
    pub fn add(&mut self, context: &Context, entry: &Entry) {
        match entry {
            Entry::Page(id) => {
                let Ok(page) = context.page(*id) else { return };
                self.span(id.0, id.0);
                self.pages += 1;
                self.tokens += page.tokens;
                if let Some(label) = &page.label
                    && self.labels.len() < LABELS
                    && !self.labels.contains(label)
                {
                    self.labels.push(Arc::clone(label));
                }
                for part in context.resident(*id) {
                    self.read(&part.text);
                }
            }
            Entry::Stub(stub) => {
                self.span(stub.first.0, stub.last.0);
                self.pages += stub.pages;
                self.tokens += stub.left_tokens;
                for topic in &stub.topics {
                    *self.counts.entry(topic.to_string()).or_default() += 2;
                }
            }
        }
    }

    fn span(&mut self, first: u64, last: u64) {
        self.first = Some(self.first.map_or(first, |now| now.min(first)));
        self.last = self.last.max(last);
    }

    fn read(&mut self, text: &str) {
        let left = READ_BYTES_MAX.saturating_sub(self.read_bytes).min(text.len());
        let text = &text[..text.floor_char_boundary(left)];
        self.read_bytes += text.len();
        for word in words::words(text).filter(|word| tells(word)) {
            *self.counts.entry(word).or_default() += 1;
        }
    }

    /// The words that are most telling: frequent, long enough, in a fixed order.
    fn topics(&self) -> Vec<Arc<str>> {
        let mut words: Vec<(&String, u32)> = self.counts.iter().map(|(w, n)| (w, *n)).collect();
        words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        words.into_iter().take(TOPICS).map(|(word, _)| Arc::from(word.as_str())).collect()
    }

    /// The stub; none for a run of nothing.
    pub fn into_stub(self, context: &Context) -> Option<Stub> {
        let first = self.first?;
        let topics = self.topics();
        let text: Arc<str> = self.text(first, &topics).into();
        let tokens = context.count(&text);
        Some(Stub {
            first: super::PageId(first),
            last: super::PageId(self.last),
            pages: self.pages,
            left_tokens: self.tokens,
            topics,
            text,
            tokens,
        })
    }

    fn text(&self, first: u64, topics: &[Arc<str>]) -> String {
        let which = if first == self.last {
            format!("page {first}")
        } else {
            format!("pages {first} to {}", self.last)
        };
        let mut text = format!("[{which} left the window: {} tokens", self.tokens);
        let labels: Vec<String> = self.labels.iter().map(|label| shown(label)).collect();
        if !labels.is_empty() {
            text.push_str(&format!("; {}", labels.join(", ")));
        }
        if !topics.is_empty() {
            text.push_str(&format!("; about {}", topics.join(", ")));
        }
        text.push_str(". `recall` finds them]");
        debug_assert!(text.chars().count() <= TEXT_CHARS_MAX);
        text
    }
}

/// A label on one line, and not too long.
fn shown(label: &str) -> String {
    label.chars().filter(|c| !c.is_control()).take(LABEL_CHARS_MAX).collect()
}

/// Words that say what a text is about: not numbers, keys or the glue of a language.
fn tells(word: &str) -> bool {
    let length = word.chars().count();
    (4..=TOPIC_CHARS_MAX).contains(&length)
        && word.chars().all(char::is_alphabetic)
        && !words::is_stop_word(word)
}
