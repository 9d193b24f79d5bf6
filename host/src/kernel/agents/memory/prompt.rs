//! A prompt from the memory: what leaves the window first, what is recalled by itself, and the
//! blocks as a model's messages.

use super::Prompted;
use super::words::said;
use super::{Memory, Recall};
use crate::model::{self, Breakpoint, Caching, Role};
use crate::pager::layout::BreakpointRules;
use crate::pager::{
    Block, Body, Count, Entry, Factor, LOG_TOKENS_MIN, PageId, PagerError, Rendered,
    Role as PageRole, TailBlock, record,
};

/// Tokens that pages recalled by themselves take in a prompt at most.
pub(in crate::kernel::agents) const AUTO_RECALL_TOKENS: u64 = 250;

/// Bytes of what left the window that a summary is made of, and of each page.
const LEFT_BYTES_MAX: usize = 24 << 10;
const LEFT_PAGE_BYTES: usize = 600;

/// What one call brings with it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::kernel) struct Call {
    /// Tokens of a prompt that the model takes, in its own count.
    pub(in crate::kernel) window_tokens: u64,
    /// Counted tokens of the tools that are offered.
    pub(in crate::kernel) tools_tokens: u64,
    /// How the provider caches.
    pub(in crate::kernel) caching: Caching,
}

/// A prompt in the model layer's words.
pub(in crate::kernel::agents) struct Prompt {
    pub(in crate::kernel::agents) system: String,
    pub(in crate::kernel::agents) messages: Vec<model::Message>,
    pub(in crate::kernel::agents) breakpoints: Vec<Breakpoint>,
}

/// What is kept of the last prompt.
#[derive(Default)]
pub(super) struct Trace {
    /// Its blocks without the tail.
    blocks: Vec<Block>,
    /// Its tokens as they were counted, tools and tail too.
    pub(super) counted_tokens: u64,
    /// Tokens of pages that were not in it.
    pub(super) unsent_tokens: u64,
    /// The entries after which it had a breakpoint.
    pub(super) breakpoints: Vec<usize>,
    pub(super) model: String,
    /// Words of what has left the window since they were last taken.
    pub(super) left: String,
    /// Whether recalled pages were meant for its tail.
    pub(super) recalled: bool,
    /// The tools that were counted last, by their hash, and their tokens.
    tools: ([u8; 32], u64),
}

impl Memory {
    /// Clears the window for the next prompt, and says which pages its tail is to show.
    ///
    /// # Errors
    /// [`PagerError::HeadTooLarge`] with the budget that would do, [`PagerError::Wedged`] where
    /// pins fill it.
    pub(in crate::kernel::agents) fn prepare(
        &mut self,
        call: &Call,
    ) -> Result<Vec<Recall>, PagerError> {
        let Some((asked, tail_tokens)) = self.make_room(call)? else { return Ok(Vec::new()) };
        let outside = |page: &crate::pager::Page| !page.resident && !page.freed;
        let mut picks = Vec::new();
        // A terse answer is about what it answers.
        for query in [asked, std::sync::Arc::clone(&self.said)] {
            if picks.is_empty() {
                picks = self.ranked(&query, tail_tokens, outside);
            }
        }
        picks.sort_unstable_by_key(|recall| recall.pick.id);
        self.trace.recalled = !picks.is_empty();
        Ok(picks)
    }

    /// Clears the window; gives what pages are to be recalled for, and how many tokens of them.
    pub(super) fn make_room(
        &mut self,
        call: &Call,
    ) -> Result<Option<(std::sync::Arc<str>, u64)>, PagerError> {
        self.paged.prompt = Some(Box::new(Prompted::of(*call)));
        self.fit_window(call)?;
        self.trace.recalled = false;
        let asked = self.asked.take().filter(|_| self.setting.auto_recall);
        // The window is cleared for the largest tail, so that a recall never needs a second batch.
        let tail_tokens = if asked.is_some() { self.tail_tokens_max() } else { 0 };
        let cleared = self.clear(tail_tokens);
        let Some(asked) = asked.filter(|_| self.context.usage().evictions > 0) else {
            return cleared.map(|()| None);
        };
        if let Err(PagerError::Wedged { .. }) = cleared {
            return self.clear(0).map(|()| None);
        }
        cleared?;
        self.figures.user_turns += 1;
        Ok(Some((asked, tail_tokens)))
    }

    /// The model's window less the tools, in counted tokens.
    fn fit_window(&mut self, call: &Call) -> Result<(), PagerError> {
        let budget_tokens = self.setting.budget_tokens.min(call.window_tokens);
        let head_tokens = self.context.usage().head_tokens + call.tools_tokens;
        let needed_tokens = head_tokens + LOG_TOKENS_MIN;
        if needed_tokens > budget_tokens {
            return Err(PagerError::HeadTooLarge { head_tokens, budget_tokens, needed_tokens });
        }
        let counted = self.factor.counted_in(budget_tokens);
        self.context.resize(counted.saturating_sub(call.tools_tokens));
        Ok(())
    }

    pub(super) fn tail_tokens_max(&self) -> u64 {
        let usage = self.context.usage();
        let room = usage.budget_tokens.saturating_sub(usage.head_tokens);
        AUTO_RECALL_TOKENS.min(room / 8)
    }

    /// The beginnings of the pages that are to leave, for a summary.
    fn note_what_leaves(&mut self, eviction: &crate::pager::Eviction) {
        let stays = record::resident(&eviction.entries);
        let left = &mut self.trace.left;
        for entry in &self.context.entries()[eviction.keep_entries..] {
            let Entry::Page(id) = entry else { continue };
            let Some(parts) = self.context.content(*id).filter(|_| !stays.contains(id)) else {
                continue;
            };
            let text = record::words(parts);
            let end = text.floor_char_boundary(LEFT_PAGE_BYTES.min(text.len()));
            if left.len() + end <= LEFT_BYTES_MAX && end > 0 {
                left.push_str(&format!("[page {id}] {}\n", &text[..end]));
            }
        }
    }

    pub(super) fn clear(&mut self, tail_tokens: u64) -> Result<(), PagerError> {
        while let Some(eviction) = self.context.plan(tail_tokens)? {
            // What leaves is read once more, while it is here.
            self.index_what_is_new();
            if self.setting.summarise {
                self.note_what_leaves(&eviction);
            }
            self.context.apply(&eviction)?;
            self.layout.changed();
        }
        Ok(())
    }

    /// The prompt with this tail, which goes out now.
    ///
    /// # Errors
    /// [`PagerError::Wedged`] where [`Self::prepare`] was not asked.
    pub(in crate::kernel::agents) fn render(
        &mut self,
        model: &str,
        call: &Call,
        tail: Vec<(PageId, String)>,
    ) -> Result<Prompt, PagerError> {
        let tail = self.tail_within(tail);
        let rules = BreakpointRules {
            most: call.caching.breakpoints_max,
            prefix_tokens_min: call.caching.prefix_tokens_min.saturating_sub(call.tools_tokens),
            ..BreakpointRules::default()
        };
        let rendered = self.context.render(&tail, &rules)?;
        if let Some(prompt) = &mut self.paged.prompt {
            prompt.sent = true;
        }
        let trace = &mut self.trace;
        let same = rendered.blocks.iter().zip(&trace.blocks).take_while(|(now, then)| now == then);
        self.figures.prefix_tokens += same.map(|(block, _)| block.tokens).sum::<u64>();
        self.figures.prompts += 1;
        self.figures.prompt_tokens += rendered.tokens;
        self.figures.unsent_tokens += self.context.usage().swapped_tokens;
        trace.unsent_tokens = self.context.usage().swapped_tokens;
        trace.counted_tokens = rendered.tokens + call.tools_tokens;
        let entry = |block: &usize| self.context.entry_of_block(*block);
        trace.breakpoints = rendered.breakpoints.iter().map(entry).collect();
        model.clone_into(&mut trace.model);
        let prompt = prompt_of(&rendered);
        trace.blocks = rendered.blocks;
        trace.blocks.truncate(trace.blocks.len() - rendered.tail_blocks);
        self.context.sent();
        Ok(prompt)
    }

    /// As much of a tail as fits, in the log's order.
    fn tail_within(&mut self, tail: Vec<(PageId, String)>) -> Vec<TailBlock> {
        let most = self.tail_tokens_max();
        let (mut blocks, mut left) = (Vec::new(), most);
        for (page, text) in tail {
            let block = TailBlock::recalled(page, &text);
            let tokens = self.counter.tokens(&block.text);
            if tokens <= left {
                left -= tokens;
                self.figures.recalled_tokens += tokens;
                blocks.push(block);
            }
        }
        self.figures.recalled_turns += u64::from(!blocks.is_empty());
        if let Some(prompt) = &mut self.paged.prompt {
            prompt.tail_tokens = most - left;
        }
        blocks
    }

    /// Counted tokens of the tools that a request offers: name, description and schema, as the
    /// model reads them.
    pub(in crate::kernel::agents) fn tools_tokens(&mut self, tools: &[model::ToolOffer]) -> u64 {
        let texts = tools.iter().flat_map(|tool| {
            [tool.name.clone(), tool.description.clone(), tool.input_schema.to_string()]
        });
        let texts: Vec<String> = texts.collect();
        let mut hasher = blake3::Hasher::new();
        for text in &texts {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        let hash = *hasher.finalize().as_bytes();
        if self.trace.tools.0 != hash {
            let tokens = texts.iter().map(|text| self.counter.tokens(text)).sum();
            self.trace.tools = (hash, tokens);
        }
        self.trace.tools.1
    }
}

/// The smallest budget, in the model's tokens, for a task and what must be beside it.
pub(in crate::kernel::agents) fn budget_tokens_min(
    task: &str,
    counter: &dyn Count,
    factor: Factor,
) -> u64 {
    factor.provider_tokens(counter.tokens(task) + LOG_TOKENS_MIN)
}

/// Blocks of one role in a row are one message, except that one ends at each breakpoint: what comes
/// after it may change.
fn prompt_of(rendered: &Rendered) -> Prompt {
    let mut prompt =
        Prompt { system: String::new(), messages: Vec::new(), breakpoints: Vec::new() };
    let mut cut = false;
    for (at, block) in rendered.blocks.iter().enumerate() {
        let role = match block.role {
            PageRole::System => {
                if !prompt.system.is_empty() {
                    prompt.system.push_str("\n\n");
                }
                prompt.system.push_str(block.text());
                if rendered.breakpoints.contains(&at) {
                    prompt.breakpoints.push(Breakpoint::System);
                }
                continue;
            }
            PageRole::User | PageRole::Tool => Role::User,
            PageRole::Assistant => Role::Assistant,
        };
        let joins = !cut && prompt.messages.last().is_some_and(|last| last.role == role);
        if !joins {
            prompt.messages.push(model::Message { role, parts: Vec::new() });
        }
        if let Some(message) = prompt.messages.last_mut() {
            match &block.body {
                Body::Part { part, .. } => said(part, &mut message.parts),
                Body::Stub(text) => message.parts.push(model::Part::text(&**text)),
                Body::Tail(tail) => message.parts.push(model::Part::text(&*tail.text)),
            }
        }
        cut = rendered.breakpoints.contains(&at);
        if cut {
            prompt.breakpoints.push(Breakpoint::Message(prompt.messages.len() - 1));
        }
    }
    prompt
}
