//! A context as storage keeps it: each page's record and content, what changes with every call,
//! and the order of the window. Pure: bytes and JSON in and out.
//!
//! The order is written only when something leaves the window. What was appended since follows it
//! in the order of the pages' numbers, so a call writes a few hundred bytes, however long the log
//! is.

use std::sync::Arc;

use super::context::{Entry, Usage};
use super::page::{ContentHash, Page, PageId, Part};
use super::tokens::{Factor, Tokenizer};

/// A page's record.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// What the pager keeps of it.
    #[serde(flatten)]
    pub page: Page,
    /// It repeats other pages, as the answer to a recall does: not recalled itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
    /// Who said it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// The conversation that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// When it was said, as a text with a date in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_at: Option<String>,
}

impl Kept {
    /// A page of which nothing else is known.
    pub fn of(page: Page) -> Self {
        Self { page, echo: false, speaker: None, session: None, said_at: None }
    }
}

/// The order of the window when something last left it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    /// Head and log, with stubs.
    pub entries: Vec<Entry>,
    /// How many pages there were then: later ones follow, but for pieces of split ones.
    pub pages: u64,
}

impl Layout {
    /// The window now: this order, and what was appended since.
    pub fn with(mut self, pages: &[Kept]) -> Vec<Entry> {
        let later = pages.iter().filter(|kept| kept.page.id.0 >= self.pages);
        let shown = later.filter(|kept| kept.page.piece_of.is_none() && !kept.page.freed);
        self.entries.extend(shown.map(|kept| Entry::Page(kept.page.id)));
        self.entries
    }
}

/// What changes with every call.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct State {
    /// The model that was asked last, or will be.
    pub model: String,
    /// How tokens are counted.
    pub tokenizer: Tokenizer,
    /// What the model counts a counted token as.
    pub factor: Factor,
    /// The budget of a prompt as it was given, in the model's tokens.
    pub budget_tokens: u64,
    /// What the context holds and did, in counted tokens.
    pub usage: Usage,
    /// How many entries are the head.
    pub head_entries: usize,
    /// How many entries the last eviction left in place.
    pub kept_entries: usize,
    /// Entries after which the last prompt had a breakpoint.
    pub breakpoints: Vec<usize>,
    /// Sums over all calls.
    pub figures: Figures,
}

/// Sums over all calls of one agent. Tokens are counted ones, but where the provider is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Prompts that went out.
    pub prompts: u64,
    /// Their tokens.
    pub prompt_tokens: u64,
    /// Tokens of the whole blocks with which a prompt began as the one before it did: what a
    /// perfect cache of the last prompt would have served.
    pub prefix_tokens: u64,
    /// Tokens of the pages that had left the window, summed over prompts: what was not sent.
    pub unsent_tokens: u64,
    /// User turns after something had left.
    pub user_turns: u64,
    /// Those that had recalled pages in their prompt.
    pub recalled_turns: u64,
    /// Tokens of pages that were recalled by themselves.
    pub recalled_tokens: u64,
    /// Recalls that the agent or its model asked for.
    pub recalls: u64,
    /// Those that found something.
    pub recalls_answered: u64,
    /// Prompt tokens as the provider counted them.
    pub provider_tokens: u64,
    /// Those that its cache served.
    pub provider_cached_tokens: u64,
    /// Millionths of a dollar that its cache saved: what the prompts would have cost without it,
    /// less what they cost, writes to the cache counted.
    pub cache_saved_microdollars: i64,
    /// Millionths of a dollar that the tokens which were not sent would have cost at least: at the
    /// price of reading them from the cache.
    pub unsent_saved_microdollars: u64,
}

/// The largest number of parts in one body.
const PARTS_MAX: u64 = 1 << 20;

/// A page's content as bytes: for each part its words, its flags, the model layer's bytes and
/// their tokens; lengths and numbers are little-endian.
pub fn encode(parts: &[Part]) -> Vec<u8> {
    let size = |part: &Part| part.text.len() + part.wrap.as_ref().map_or(0, |w| w.len()) + 21;
    let mut body = Vec::with_capacity(8 + parts.iter().map(size).sum::<usize>());
    body.extend((parts.len() as u64).to_le_bytes());
    for part in parts {
        body.extend((part.text.len() as u64).to_le_bytes());
        body.extend(part.text.as_bytes());
        body.push(u8::from(part.wrap.is_some()) | (u8::from(part.fleeting) << 1));
        let wrap: &[u8] = part.wrap.as_deref().unwrap_or(&[]);
        body.extend((wrap.len() as u64).to_le_bytes());
        body.extend(wrap);
        body.extend(part.wrap_tokens.to_le_bytes());
    }
    body
}

/// What [`encode`] made; none where the bytes are no content, or not the one of this name.
pub fn decode(mut body: &[u8], hash: &ContentHash) -> Option<Arc<[Part]>> {
    let count = number(&mut body)?;
    let mut parts = Vec::new();
    for _ in 0..(count <= PARTS_MAX).then_some(count)? {
        let text = length(&mut body)?;
        let text = std::str::from_utf8(text).ok()?;
        let (flags, rest) = body.split_first()?;
        body = rest;
        let wrap = length(&mut body)?;
        let (tokens, rest) = body.split_first_chunk()?;
        body = rest;
        parts.push(Part {
            text: text.into(),
            wrap: (flags & 1 == 1).then(|| bytes::Bytes::copy_from_slice(wrap)),
            wrap_tokens: u32::from_le_bytes(*tokens),
            fleeting: flags & 2 == 2,
        });
    }
    (body.is_empty() && ContentHash::of(&parts) == *hash).then(|| parts.into())
}

fn number(body: &mut &[u8]) -> Option<u64> {
    let (number, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(u64::from_le_bytes(*number))
}

fn length<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(body)?).ok()?;
    let (found, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(found)
}

/// The words of a content, as recall reads them and `read_page` shows them.
pub fn words(parts: &[Part]) -> String {
    let texts: Vec<&str> =
        parts.iter().map(|part| &*part.text).filter(|text| !text.is_empty()).collect();
    texts.join("\n")
}

/// Which of these pages are in the window.
pub fn resident(entries: &[Entry]) -> std::collections::HashSet<PageId> {
    let page = |entry: &Entry| match entry {
        Entry::Page(id) => Some(*id),
        Entry::Stub(_) => None,
    };
    entries.iter().filter_map(page).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Vec<Vec<Part>> {
        vec![
            vec![Part::text("")],
            vec![],
            vec![Part::text("naïve \0 שָׁלוֹם 😀"), Part::wrapped("", vec![0, 255, 10], 7)],
            vec![Part::wrapped("thought", "w", 3).passing(), Part::wrapped("x", "", 0)],
        ]
    }

    #[test]
    fn a_content_comes_back_as_it_was() {
        for parts in contents() {
            let (hash, body) = (ContentHash::of(&parts), encode(&parts));
            assert_eq!(decode(&body, &hash).as_deref(), Some(&parts[..]), "{parts:?}");
        }
    }

    #[test]
    fn a_changed_content_is_none() {
        for parts in contents() {
            let (hash, body) = (ContentHash::of(&parts), encode(&parts));
            for at in 0..body.len() {
                let mut changed = body.clone();
                changed[at] ^= 0x41;
                assert_eq!(decode(&changed, &hash), None, "{parts:?} at {at}");
                assert_eq!(decode(&body[..at], &hash), None);
            }
            assert_eq!(decode(&[&body[..], b"x"].concat(), &hash), None);
        }
        assert_eq!(decode(&[0xff; 64], &ContentHash([0; 32])), None);
    }

    #[test]
    fn records_written_without_later_fields_are_read() {
        let state: State = serde_json::from_str("{\"model\":\"m\"}").expect("reads");
        assert_eq!((state.model.as_str(), state.figures), ("m", Figures::default()));
    }
}
