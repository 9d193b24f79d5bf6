//! The memory of one agent: its context, and the words between the contract, the pager and models.

mod words;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use self::words::{answered, message};
use self::words::{kept, said, shown};
use crate::model::{self, Breakpoint, Role};
use crate::pager::layout::BreakpointRules;
use crate::pager::recall::{self, Document, EXCERPT_TOKENS, Index};
use crate::pager::{
    Body, Budget, Content, Context, Count, Kind, NewPage, Page, PageId, PagerError, Part, Relation,
    Rendered, Role as PageRole,
};
use crate::sandbox::agent::{context as wit, types};

/// Pages that a recall looks at before it fits the best into what was asked for.
const RECALL_HITS_MAX: usize = 64;
/// Characters of an excerpt: four make a token.
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
const EXCERPT_CHARS: usize = EXCERPT_TOKENS as usize * 4;

/// What an agent remembers.
pub(super) struct Memory {
    context: Context,
    counter: Arc<dyn Count>,
    /// Content of every page, also of those that left the window.
    bodies: HashMap<PageId, Arc<[Part]>>,
    bytes: u64,
    bytes_max: u64,
    replies: u64,
    index: Index,
    /// Pages that the index has seen.
    indexed: usize,
}

/// A prompt in the model layer's words.
pub(super) struct Prompt {
    pub(super) system: String,
    pub(super) messages: Vec<model::Message>,
    pub(super) breakpoints: Vec<Breakpoint>,
}

impl Memory {
    /// An empty memory with a window of `window_tokens`, and room for `bytes_max` bytes in all.
    pub(super) fn new(window_tokens: u64, counter: Arc<dyn Count>, bytes_max: u64) -> Self {
        let context = Context::new(Budget::tokens(window_tokens), Arc::clone(&counter));
        Self {
            context,
            counter,
            bodies: HashMap::new(),
            bytes: 0,
            bytes_max,
            replies: 0,
            index: Index::new(),
            indexed: 0,
        }
    }

    /// `context.append`.
    pub(super) fn append(
        &mut self,
        kind: wit::PageKind,
        parts: Vec<types::Part>,
        importance: f32,
        label: Option<String>,
    ) -> Result<u64, wit::Error> {
        let kind = kind_of(kind);
        let relation = Relation { reply: None, call: call_of(kind, &parts)? };
        let page = NewPage {
            kind,
            parts: parts.iter().flat_map(kept).collect(),
            importance,
            label: label.map(Into::into),
            relation,
        };
        Ok(self.take(page)?.0)
    }

    /// Takes a model's reply as pages: words and reasoning together, each tool call alone.
    pub(super) fn append_reply(&mut self, parts: &[types::Part]) -> Result<Vec<u64>, wit::Error> {
        self.replies += 1;
        let reply = Some(self.replies);
        let mut pages = Vec::new();
        let mut words: Vec<Part> = Vec::new();
        let page = |kind, parts, call: Option<&str>| NewPage {
            kind,
            parts,
            importance: 0.5,
            label: None,
            relation: Relation { reply, call: call.map(Into::into) },
        };
        for part in parts {
            let types::Part::ToolCall(call) = part else {
                words.extend(kept(part));
                continue;
            };
            if !words.is_empty() {
                let words = std::mem::take(&mut words);
                pages.push(self.take(page(Kind::Assistant, words, None))?.0);
            }
            let parts = kept(part);
            pages.push(self.take(page(Kind::ToolCall, parts, Some(&call.id)))?.0);
        }
        if !words.is_empty() || pages.is_empty() {
            pages.push(self.take(page(Kind::Assistant, words, None))?.0);
        }
        Ok(pages)
    }

    fn take(&mut self, page: NewPage) -> Result<PageId, wit::Error> {
        let bytes: u64 = page.parts.iter().map(part_bytes).sum();
        if self.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(wit::Error::StorageFull(format!(
                "an agent stores at most {} bytes of pages; stored_bytes of [host] raises it",
                self.bytes_max
            )));
        }
        let appended = self.context.append(page.measure(&*self.counter)).map_err(refused)?;
        self.bytes += bytes;
        for (id, _, body) in appended.bodies {
            self.bodies.insert(id, body);
        }
        Ok(appended.id)
    }

    /// `context.read`.
    pub(super) fn read(&mut self, id: u64) -> Result<Vec<types::Part>, wit::Error> {
        let id = PageId(id);
        let parts = match self.context.read(id).map_err(refused)? {
            Content::Resident(parts) => parts,
            Content::Swapped(_) => {
                self.bodies.get(&id).cloned().ok_or(wit::Error::NoSuchPage(id.0))?
            }
        };
        Ok(parts.iter().map(shown).collect())
    }

    /// `context.recall`.
    pub(super) fn recall(
        &mut self,
        query: &str,
        max_tokens: u32,
    ) -> Result<Vec<(wit::Page, String)>, wit::Error> {
        self.index_what_is_new();
        let hits = self.index.rank(query, RECALL_HITS_MAX);
        let pages = self.context.pages();
        let page_of = |id: PageId| usize::try_from(id.0).ok().and_then(|at| pages.get(at));
        let tokens_of = |id| page_of(id).filter(|page: &&Page| !page.freed).map(|page| page.tokens);
        // In the order of the log to fit them, best first to hand them back.
        let picked = recall::fit(&hits, u64::from(max_tokens), tokens_of);
        let mut found = Vec::with_capacity(picked.len());
        for hit in &hits {
            let Some(pick) = picked.iter().find(|pick| pick.id == hit.id) else { continue };
            let (Some(page), Some(body)) = (page_of(hit.id), self.bodies.get(&hit.id)) else {
                continue;
            };
            let text: String = body.iter().map(|part| &*part.text).collect::<Vec<_>>().join("\n");
            let text = match pick.excerpt {
                true => text.chars().take(EXCERPT_CHARS).collect(),
                false => text,
            };
            found.push((wit_page(page), text));
        }
        for (page, _) in &found {
            self.context.touch(PageId(page.id)).map_err(refused)?;
        }
        Ok(found)
    }

    /// The index is made when it is first asked for, and grows by what came since.
    fn index_what_is_new(&mut self) {
        for page in self.context.pages().iter().skip(self.indexed) {
            let Some(body) = self.bodies.get(&page.id) else { continue };
            let text: String = body.iter().map(|part| &*part.text).collect::<Vec<_>>().join("\n");
            if !page.freed {
                self.index.add(Document {
                    id: page.id,
                    text: &text,
                    speaker: None,
                    session: None,
                    said_at: None,
                });
            }
        }
        self.indexed = self.context.pages().len();
    }

    /// `context.pin`.
    pub(super) fn pin(&mut self, id: u64, pinned: bool) -> Result<(), wit::Error> {
        self.context.pin(PageId(id), pinned).map_err(refused)
    }

    /// `context.free`.
    pub(super) fn free(&mut self, id: u64) -> Result<(), wit::Error> {
        self.context.free(PageId(id)).map_err(refused)?;
        self.index.remove(PageId(id));
        Ok(())
    }

    /// `context.pages`.
    pub(super) fn pages(&self) -> Vec<wit::Page> {
        let live = self.context.pages().iter().filter(|page| !page.freed);
        live.map(wit_page).collect()
    }

    /// `context.usage`; the cache's part is the caller's to know.
    pub(super) fn usage(&self, cache_hit_ratio: f32) -> wit::Statistics {
        let usage = self.context.usage();
        wit::Statistics {
            budget_tokens: usage.budget_tokens,
            resident_tokens: usage.resident_tokens,
            swapped_tokens: usage.swapped_tokens,
            pages: usage.pages,
            faults: usage.faults,
            cache_hit_ratio,
        }
    }

    /// The prompt of the next call, after what must leave the window has left it.
    pub(super) fn prompt(&mut self) -> Result<Prompt, PagerError> {
        while let Some(eviction) = self.context.plan(0)? {
            self.context.apply(&eviction)?;
        }
        let rendered = self.context.render(&[], &BreakpointRules::default())?;
        Ok(prompt_of(&rendered))
    }

    /// The prompt went out.
    pub(super) fn sent(&mut self) {
        self.context.sent();
    }
}

fn wit_page(page: &Page) -> wit::Page {
    wit::Page {
        id: page.id.0,
        kind: wit_kind(page.kind),
        tokens: u32::try_from(page.tokens).unwrap_or(u32::MAX),
        importance: page.importance,
        resident: page.resident,
        pinned: page.pinned,
        label: page.label.as_deref().map(Into::into),
    }
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

fn part_bytes(part: &Part) -> u64 {
    part.text.len() as u64 + part.wrap.as_ref().map_or(0, |wrap| wrap.len() as u64)
}

/// Which tool call a page is, or answers: one a page.
fn call_of(kind: Kind, parts: &[types::Part]) -> Result<Option<Arc<str>>, wit::Error> {
    let mut ids = parts.iter().filter_map(|part| match (kind, part) {
        (Kind::ToolCall, types::Part::ToolCall(call)) => Some(call.id.as_str()),
        (Kind::ToolResult, types::Part::ToolResult(result)) => Some(result.call_id.as_str()),
        _ => None,
    });
    let id = ids.next();
    match ids.next() {
        Some(_) => Err(wit::Error::OutOfOrder("a page holds one tool call or one result".into())),
        None => Ok(id.map(Into::into)),
    }
}

fn refused(error: PagerError) -> wit::Error {
    match error {
        PagerError::NoSuchPage(id) => wit::Error::NoSuchPage(id.0),
        PagerError::OutOfOrder(text) => wit::Error::OutOfOrder(text),
        PagerError::TooLarge(text) => wit::Error::TooLarge(text),
        PagerError::HeadTooLarge { .. } | PagerError::Wedged { .. } => {
            wit::Error::TooLarge(error.to_string())
        }
        PagerError::Damaged(text) => wit::Error::StorageFull(text),
    }
}

fn kind_of(kind: wit::PageKind) -> Kind {
    match kind {
        wit::PageKind::System => Kind::System,
        wit::PageKind::Task => Kind::Task,
        wit::PageKind::User => Kind::User,
        wit::PageKind::Assistant => Kind::Assistant,
        wit::PageKind::ToolCall => Kind::ToolCall,
        wit::PageKind::ToolResult => Kind::ToolResult,
        wit::PageKind::Note => Kind::Note,
    }
}

fn wit_kind(kind: Kind) -> wit::PageKind {
    match kind {
        Kind::System => wit::PageKind::System,
        Kind::Task => wit::PageKind::Task,
        Kind::User => wit::PageKind::User,
        Kind::Assistant => wit::PageKind::Assistant,
        Kind::ToolCall => wit::PageKind::ToolCall,
        Kind::ToolResult => wit::PageKind::ToolResult,
        Kind::Note => wit::PageKind::Note,
    }
}
