//! The context of one agent: its page table, its window, and the log that the prompt is made of.
//!
//! Knows pages, budgets and the order in which they may come. It does not know how victims are
//! chosen (`evict`), where breakpoints go (`layout`), or where bodies are stored.

mod append;
mod change;
mod snapshot;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::append::LOG_TOKENS_MIN;
pub use self::snapshot::Snapshot;
use super::error::PagerError;
use super::evict::{self, Eviction};
use super::layout::{self, Block, Body, BreakpointRules, Landmarks, Rendered, Role, TailBlock};
use super::page::{ContentHash, Kind, Page, PageId, Part};
use super::signature::Signature;
use super::tokens::Count;

/// How far back the last user page is looked for.
const RECENT_PAGES: usize = 256;

/// The room of one agent's window, and how it is cleared.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Budget {
    /// Tokens of a whole prompt: head, log and tail.
    pub window_tokens: u64,
    /// Where an eviction stops: the share of what the head leaves free, 0.1 to 0.9.
    pub low_mark: f32,
    /// The price of a token read from the provider's cache, as a share of a plain input token's.
    pub cache_read: f32,
    /// The price of a token written to it, likewise.
    pub cache_write: f32,
}

/// Rarer, larger batches cost fewer broken prefixes, and leave a smaller window. Since the
/// beginning stays in place (`evict`), a batch costs less than half of what it leaves, so the mark
/// can be high: at .6 and 8,000 tokens after the head a recorded log of ten agents had .966 cache
/// hits and prompts of 6,612 tokens on average.
pub const LOW_MARK: f32 = 0.6;

impl Budget {
    /// A window of so many tokens with the default low mark.
    pub fn tokens(window_tokens: u64) -> Self {
        // Anthropic's price ratios; the model layer gives those of its table.
        Self { window_tokens, low_mark: LOW_MARK, cache_read: 0.1, cache_write: 1.25 }
    }
}

/// What became of an appended page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The page; its first piece, where it was split.
    pub id: PageId,
    /// The bodies to store, each with its page's number and hash: one, or one a piece. The first
    /// is in the window, the others are only in storage.
    pub bodies: Vec<(PageId, ContentHash, Arc<[Part]>)>,
}

/// Where a page's content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Here.
    Resident(Arc<[Part]>),
    /// In storage, under this name: a fault, which [`Usage::faults`] counts.
    Swapped(ContentHash),
}

/// What a context holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Tokens of a whole prompt at most.
    pub budget_tokens: u64,
    /// Tokens of the head.
    pub head_tokens: u64,
    /// Tokens in the window: head, resident pages and stubs, without the tail.
    pub resident_tokens: u64,
    /// Tokens of the pages that are out of the window and not freed.
    pub swapped_tokens: u64,
    /// Pages that are not freed.
    pub pages: u64,
    /// Reads of pages that were out of the window.
    pub faults: u64,
    /// Batches that left.
    pub evictions: u64,
    /// Pages that left, each time they did.
    pub evicted_pages: u64,
}

/// One entry of the log as the prompt shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A page of the window.
    Page(PageId),
    /// What stands for pages that left.
    Stub(Stub),
}

/// What stands in the prompt for a run of pages that left. Its text never changes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stub {
    /// The first page that left here.
    pub first: PageId,
    /// The last one.
    pub last: PageId,
    /// How many.
    pub pages: u64,
    /// Their tokens.
    pub left_tokens: u64,
    /// Words that say what they are about.
    pub topics: Vec<Arc<str>>,
    /// What the prompt says.
    pub text: Arc<str>,
    /// Tokens of `text`.
    pub tokens: u64,
}

/// The context of one agent.
pub struct Context {
    budget: Budget,
    counter: Arc<dyn Count>,
    pages: Vec<Page>,
    /// Content of the pages in the window; `None` for the others.
    bodies: Vec<Option<Arc<[Part]>>>,
    /// Head, then log.
    entries: Vec<Entry>,
    /// The blocks of `entries`, ready to send.
    blocks: Vec<Block>,
    /// For each block, the tokens up to its end.
    ends: Vec<u64>,
    /// For each entry, the number of blocks up to its end.
    entry_ends: Vec<usize>,
    /// How many entries are the head.
    head_entries: usize,
    /// Entries that the last eviction left in place; what the next one is likely to leave.
    kept_entries: usize,
    /// Entries that the last call was sent with.
    sent_entries: usize,
    /// Tool calls without a result, and the group that each is in.
    open_calls: HashMap<Arc<str>, PageId>,
    /// The reply that the last page is of.
    pub(super) last_reply: Option<u64>,
    /// The last page's group, and its tokens.
    last_group: PageId,
    last_group_tokens: u64,
    /// Tokens of pinned pages in the window, the head not among them.
    pinned_tokens: u64,
    /// Tokens of all pages ever appended: the pager's clock.
    log_tokens: u64,
    /// Prompts that went out.
    calls: u64,
    /// What the words of a page are, as bits; for relevance to the task.
    signatures: Vec<Signature>,
    usage: Usage,
}

impl Context {
    /// An empty context.
    pub fn new(budget: Budget, counter: Arc<dyn Count>) -> Self {
        Self {
            budget,
            counter,
            pages: Vec::new(),
            bodies: Vec::new(),
            entries: Vec::new(),
            blocks: Vec::new(),
            ends: Vec::new(),
            entry_ends: Vec::new(),
            head_entries: 0,
            kept_entries: 0,
            sent_entries: 0,
            open_calls: HashMap::new(),
            last_reply: None,
            last_group: PageId(0),
            last_group_tokens: 0,
            pinned_tokens: 0,
            log_tokens: 0,
            calls: 0,
            signatures: Vec::new(),
            usage: Usage { budget_tokens: budget.window_tokens, ..Usage::default() },
        }
    }

    /// The pages, in the order of their numbers, freed ones too.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// One page's record.
    ///
    /// # Errors
    /// No such page, or it was freed.
    pub fn page(&self, id: PageId) -> Result<&Page, PagerError> {
        let page = usize::try_from(id.0).ok().and_then(|at| self.pages.get(at));
        page.filter(|page| !page.freed).ok_or(PagerError::NoSuchPage(id))
    }

    /// The log as the prompt shows it: the map of the window.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many of the entries are the head, which never leaves.
    pub fn head_entries(&self) -> usize {
        self.head_entries
    }

    /// What the context holds and did.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Another size of the window from now on: what a model counts was learnt better, or another
    /// model is asked. Never less than the head and a little room, so that it cannot be emptied.
    pub fn resize(&mut self, window_tokens: u64) {
        let least = self.usage.head_tokens + append::LOG_TOKENS_MIN;
        self.budget.window_tokens = window_tokens.max(least);
        self.usage.budget_tokens = self.budget.window_tokens;
    }

    /// The content of a page that is in the window. Counts as no use.
    pub fn content(&self, id: PageId) -> Option<&Arc<[Part]>> {
        self.bodies.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    /// The entry that a block of the last prompt, counted from its beginning, is of.
    pub fn entry_of_block(&self, block: usize) -> usize {
        self.entry_ends.partition_point(|end| *end <= block)
    }

    /// How many entries the last eviction left in place, and how many the last call had.
    pub fn kept_and_sent_entries(&self) -> (usize, usize) {
        (self.kept_entries, self.sent_entries)
    }

    /// The budget in force.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// What must leave so that a prompt with a tail of `tail_tokens` fits; none where it fits.
    /// Pure: the same context gives the same answer.
    ///
    /// # Errors
    /// [`PagerError::Wedged`] where pins, the open tool calls and the head are more than the
    /// budget.
    pub fn plan(&self, tail_tokens: u64) -> Result<Option<Eviction>, PagerError> {
        let needed = self.usage.resident_tokens + tail_tokens;
        if needed <= self.budget.window_tokens {
            return Ok(None);
        }
        evict::plan(self, tail_tokens).map(Some)
    }

    /// The ordered blocks of a prompt with this tail, and its breakpoints by these rules.
    ///
    /// # Errors
    /// [`PagerError::Wedged`] where it is over the budget: [`Self::plan`] was not applied.
    pub fn render(
        &self,
        tail: &[TailBlock],
        rules: &BreakpointRules,
    ) -> Result<Rendered, PagerError> {
        let tail_block = |block: &TailBlock| Block {
            role: Role::User,
            tokens: self.counter.tokens(&block.text),
            body: Body::Tail(block.clone()),
        };
        let mut blocks = Vec::with_capacity(self.blocks.len() + tail.len());
        blocks.extend_from_slice(&self.blocks);
        blocks.extend(tail.iter().map(tail_block));
        let tail_tokens: u64 = blocks[self.blocks.len()..].iter().map(|block| block.tokens).sum();
        let tokens = self.usage.resident_tokens + tail_tokens;
        let budget_tokens = self.budget.window_tokens;
        if tokens > budget_tokens {
            return Err(PagerError::Wedged { needed_tokens: tokens, budget_tokens });
        }
        Ok(Rendered {
            breakpoints: layout::breakpoints(rules, &self.landmarks(), &self.ends),
            head_blocks: self.block_count(self.head_entries),
            tail_blocks: tail.len(),
            blocks,
            tokens,
        })
    }

    /// The prompt went out: what was new in it may leave from now on.
    pub fn sent(&mut self) {
        self.sent_entries = self.entries.len();
        self.calls += 1;
    }

    /// A page's content, or its name in storage. Counts as a use.
    ///
    /// # Errors
    /// No such page, or it was freed.
    pub fn read(&mut self, id: PageId) -> Result<Content, PagerError> {
        self.touch(id)?;
        let at = index(id);
        match &self.bodies[at] {
            Some(parts) => Ok(Content::Resident(Arc::clone(parts))),
            None => {
                self.usage.faults += 1;
                Ok(Content::Swapped(self.pages[at].hash))
            }
        }
    }

    /// A page was used: read, or recalled into a tail.
    ///
    /// # Errors
    /// No such page, or it was freed.
    pub fn touch(&mut self, id: PageId) -> Result<(), PagerError> {
        self.page(id)?;
        let page = &mut self.pages[index(id)];
        page.uses = page.uses.saturating_add(1);
        page.used_at_tokens = self.log_tokens;
        Ok(())
    }

    /// Tokens of all pages ever appended: the pager's clock.
    pub fn log_tokens(&self) -> u64 {
        self.log_tokens
    }

    /// How many prompts went out.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Entries that were in the last prompt that went out.
    pub(super) fn sent_entries(&self) -> usize {
        self.sent_entries
    }

    /// Whether a tool call of this group waits for its result.
    pub(super) fn is_open(&self, group: PageId) -> bool {
        self.open_calls.values().any(|open| *open == group)
    }

    /// The content of a page that is in the window; nothing for others.
    pub(super) fn resident(&self, id: PageId) -> &[Part] {
        self.bodies[index(id)].as_deref().unwrap_or_default()
    }

    /// Tokens of a text by this context's counter.
    pub(super) fn count(&self, text: &str) -> u64 {
        self.counter.tokens(text)
    }

    /// Tokens of the entry at `place`.
    pub(super) fn entry_tokens(&self, place: usize) -> u64 {
        self.tokens_of_first(place + 1) - self.tokens_of_first(place)
    }

    /// The words of a page as bits.
    pub(super) fn signature(&self, id: PageId) -> Signature {
        self.signatures[index(id)]
    }

    /// What the agent is about now: its task, and what was said to it last.
    pub(super) fn topic(&self) -> Signature {
        let last = self.pages.iter().rev().take(RECENT_PAGES).find(|p| p.kind == Kind::User);
        let task = self.entries[..self.head_entries].iter().filter_map(|entry| match entry {
            Entry::Page(id) => Some(&self.pages[index(*id)]),
            Entry::Stub(_) => None,
        });
        let task = task.filter(|page| page.kind == Kind::Task);
        let all = task.chain(last).map(|page| self.signature(page.id));
        all.fold(Signature::default(), Signature::union)
    }

    /// The landmarks of the log as it is.
    fn landmarks(&self) -> Landmarks {
        Landmarks {
            head: self.block_count(self.head_entries),
            kept: self.block_count(self.kept_entries),
            sent: self.block_count(self.sent_entries),
            log: self.blocks.len(),
        }
    }

    /// How many blocks the first `entries` have.
    fn block_count(&self, entries: usize) -> usize {
        if entries == 0 { 0 } else { self.entry_ends[entries - 1] }
    }

    /// How many tokens the first `entries` have.
    pub(super) fn tokens_of_first(&self, entries: usize) -> u64 {
        let blocks = self.block_count(entries);
        if blocks == 0 { 0 } else { self.ends[blocks - 1] }
    }

    /// Adds an entry at the end, and its blocks.
    fn push_entry(&mut self, entry: Entry) {
        match &entry {
            Entry::Page(id) => {
                let page = &self.pages[index(*id)];
                let (kind, tokens, role) = (page.kind, page.tokens, Role::of(page.kind));
                let parts = self.bodies[index(*id)].clone().unwrap_or_default();
                let thin = page.thin;
                for (part, share) in parts.iter().zip(shares(tokens, &parts, &*self.counter)) {
                    if thin && part.fleeting {
                        continue;
                    }
                    let body = Body::Part { page: *id, kind, part: part.clone() };
                    self.push_block(Block { role, body, tokens: share });
                }
            }
            Entry::Stub(stub) => {
                let body = Body::Stub(Arc::clone(&stub.text));
                self.push_block(Block { role: Role::User, body, tokens: stub.tokens });
            }
        }
        self.entries.push(entry);
        self.entry_ends.push(self.blocks.len());
    }

    fn push_block(&mut self, block: Block) {
        self.ends.push(self.ends.last().copied().unwrap_or(0) + block.tokens);
        self.usage.resident_tokens += block.tokens;
        self.blocks.push(block);
    }
}

/// Each part's share of a page's tokens; a page of one part needs no counting.
fn shares(tokens: u64, parts: &[Part], counter: &dyn Count) -> Vec<u64> {
    match parts {
        [] => Vec::new(),
        [_] => vec![tokens],
        [first @ .., _] => {
            let count = |part: &Part| counter.tokens(&part.text) + u64::from(part.wrap_tokens);
            let mut all: Vec<u64> = first.iter().map(count).collect();
            all.push(tokens.saturating_sub(all.iter().sum()));
            all
        }
    }
}

/// Where a page is in the table.
///
/// Numbers are given out in the order of the table, so one that was looked up is an index.
fn index(id: PageId) -> usize {
    usize::try_from(id.0).expect("invariant: page numbers are indexes of the table")
}

#[cfg(test)]
mod tests;
