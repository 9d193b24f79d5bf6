//! The layout of a prompt: blocks in order, and where the provider may keep a cache of the prefix.
//! Knows nothing of what to evict or recall.
//!
//! Head first (it never changes), then the log (append-only between evictions), then the tail:
//! recalled pages, time, status. The tail changes with every call, so it comes after the last
//! breakpoint.

use std::sync::Arc;

use super::page::{Kind, PageId, Part};

/// Who speaks in a block. Neighbouring blocks of one role are one message for providers that want
/// roles to alternate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions.
    System,
    /// The user's side: what is said to the model, notes, stubs, recalled pages.
    User,
    /// The model's own words and tool calls.
    Assistant,
    /// Answers of tools; for some providers a part of the user's side.
    Tool,
}

impl Role {
    /// The role in which a page of this kind is sent.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::System => Self::System,
            Kind::Task | Kind::User | Kind::Note => Self::User,
            Kind::Assistant | Kind::ToolCall => Self::Assistant,
            Kind::ToolResult => Self::Tool,
        }
    }
}

/// What a block shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A part of a page, as it was appended.
    Part {
        /// The page.
        page: PageId,
        /// The page's kind.
        kind: Kind,
        /// The part.
        part: Part,
    },
    /// Names what left the window here, in at most [`super::stub::TEXT_CHARS_MAX`] characters.
    Stub(Arc<str>),
    /// Something of the tail.
    Tail(TailBlock),
}

/// A block of the tail: it is sent once and is in no later prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailBlock {
    /// The page that is recalled, where it is one.
    pub page: Option<PageId>,
    /// What is said.
    pub text: Arc<str>,
}

impl TailBlock {
    /// A page that is shown again, or the beginning of one: a line that names it, and its words.
    pub fn recalled(page: PageId, text: &str) -> Self {
        Self { page: Some(page), text: format!("[page {page} again]\n{text}").into() }
    }
}

/// One content block of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub body: Body,
    /// Its tokens.
    pub tokens: u64,
}

impl Block {
    /// The words of the block.
    pub fn text(&self) -> &str {
        match &self.body {
            Body::Part { part, .. } => &part.text,
            Body::Stub(text) => text,
            Body::Tail(tail) => &tail.text,
        }
    }
}

/// A provider's rules for explicit cache breakpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakpointRules {
    /// The most in one request; 0 where the provider caches prefixes by itself.
    pub most: usize,
    /// A shorter prefix is not cached, in tokens.
    pub prefix_tokens_min: u64,
    /// How many blocks before a breakpoint a provider looks for an earlier entry.
    pub look_back_blocks: usize,
}

impl Default for BreakpointRules {
    /// Anthropic's prompt caching: four breakpoints, 1,024 tokens (most models), 20 blocks.
    /// <https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching>
    fn default() -> Self {
        Self { most: 4, prefix_tokens_min: 1_024, look_back_blocks: 20 }
    }
}

/// A prompt, ready for the model layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Head, log, tail.
    pub blocks: Vec<Block>,
    /// Indexes of blocks after which a cache entry is to be written, rising.
    pub breakpoints: Vec<usize>,
    /// How many blocks are the head.
    pub head_blocks: usize,
    /// How many blocks at the end are the tail.
    pub tail_blocks: usize,
    /// Tokens of all blocks.
    pub tokens: u64,
}

/// Where the landmarks of a prompt are, as counts of blocks from its beginning; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landmarks {
    /// The end of the head.
    pub head: usize,
    /// The end of the part that the last eviction left in place, or that the next one will.
    pub kept: usize,
    /// The end of the log as it was last sent.
    pub sent: usize,
    /// The end of the log.
    pub log: usize,
}

/// Chooses the breakpoints. `ends[i]` is the number of tokens up to and with block `i` of the log.
///
/// The end of the log writes the new entry. The last sent end finds the old one where it is out of
/// the look-back. The kept end is written at every call, so an entry is there when everything after
/// it is evicted; the head's end serves agents that share one head.
pub fn breakpoints(rules: &BreakpointRules, at: &Landmarks, ends: &[u64]) -> Vec<usize> {
    let near = at.log.saturating_sub(at.sent) < rules.look_back_blocks;
    let sent = if near { 0 } else { at.sent };
    let mut chosen: Vec<usize> = Vec::with_capacity(rules.most);
    for count in [at.log, at.kept, sent, at.head] {
        let long_enough = count > 0 && ends[count - 1] >= rules.prefix_tokens_min;
        if long_enough && chosen.len() < rules.most && !chosen.contains(&(count - 1)) {
            chosen.push(count - 1);
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakpointRules =
        BreakpointRules { most: 4, prefix_tokens_min: 100, look_back_blocks: 20 };

    #[test]
    fn all_landmarks_are_marked_once_and_in_order() {
        let ends: Vec<u64> = (1..=100).map(|n| n * 100).collect();
        let at = Landmarks { head: 2, kept: 30, sent: 50, log: 80 };
        assert_eq!(breakpoints(&RULES, &at, &ends), [1, 29, 49, 79]);
        let at = Landmarks { head: 2, kept: 2, sent: 79, log: 80 };
        assert_eq!(breakpoints(&RULES, &at, &ends), [1, 79]);
    }

    #[test]
    fn a_prefix_that_no_provider_would_cache_has_no_breakpoint() {
        let at = Landmarks { head: 1, kept: 0, sent: 0, log: 3 };
        assert_eq!(breakpoints(&RULES, &at, &[10, 20, 200]), [2]);
        assert_eq!(breakpoints(&RULES, &at, &[10, 20, 99]), [0_usize; 0]);
    }

    #[test]
    fn a_provider_with_fewer_gets_the_most_useful() {
        let ends: Vec<u64> = (1..=100).map(|n| n * 100).collect();
        let at = Landmarks { head: 2, kept: 30, sent: 50, log: 80 };
        let marks = |most| breakpoints(&BreakpointRules { most, ..RULES }, &at, &ends);
        assert_eq!(marks(0), [0_usize; 0]);
        assert_eq!(marks(1), [79]);
        assert_eq!(marks(2), [29, 79]);
    }
}
