//! The memory of one agent: its context, and the words between the contract, the pager and models.
//!
//! Pure bookkeeping under a lock that is held for no wait: what storage must be asked for is handed
//! out as a wish ([`Body`], [`Recall`]), and the caller ([`super::paging`]) comes back with it.
//! The same questions in the same order make the same memory, so a replay makes it again; nothing
//! here reads a clock or another agent.

mod keep;
mod pages;
mod prompt;
mod replay;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use self::pages::{call_of, kind_of, part_bytes, refused, wit_page};
pub(in crate::kernel) use self::prompt::Call;
pub(super) use self::prompt::budget_tokens_min;
pub(super) use self::words::{answered, error_text, message};
use self::words::{kept, shown};
use super::record::{Looked, Paged, Prompted};
use crate::model::TokenUsage;
use crate::pager::recall::{self, Document, Index, Pick};
use crate::pager::{
    Budget, Content, ContentHash, Context, Count, Factor, Figures, Kind, NewPage, Page, PageId,
    PagerError, Part, Relation, Tokenizer, record,
};
use crate::sandbox::agent::{context as wit, types};

/// Pages that a recall looks at before it fits the best into what was asked for.
const RECALL_HITS_MAX: usize = 64;
/// Names of the tools by which a model reaches its own memory.
pub(super) const RECALL: &str = "recall";
/// See [`RECALL`].
pub(super) const READ_PAGE: &str = "read_page";

/// How an agent remembers: with the questions it asks, all that its memory follows from.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Setting {
    /// Tokens of a prompt at most, in its model's own count.
    pub(in crate::kernel) budget_tokens: u64,
    /// How tokens are counted.
    pub(in crate::kernel) tokenizer: Tokenizer,
    /// What its model counted a counted token as, before this agent asked it.
    pub(in crate::kernel) factor: Factor,
    /// Whether pages are recalled by themselves for each user turn.
    pub(in crate::kernel) auto_recall: bool,
    /// Whether a model says what left the window.
    pub(in crate::kernel) summarise: bool,
    /// Bytes of all its pages.
    pub(in crate::kernel) stored_bytes_max: u64,
    /// Prices of tokens read from and written to the cache, as shares of an input token's.
    pub(in crate::kernel) cache_prices: (f32, f32),
}

/// What an agent remembers.
pub(super) struct Memory {
    setting: Setting,
    context: Context,
    counter: Arc<dyn Count>,
    factor: Factor,
    /// Content that no store has yet, and of pages that are in no window.
    fresh: BTreeMap<PageId, Arc<[Part]>>,
    fresh_bytes: u64,
    /// Records that the store does not have as they are.
    changed: BTreeSet<PageId>,
    /// Pages that are copies of others: answers to `recall` and `read_page`.
    echoes: HashSet<PageId>,
    /// The calls whose answers will be.
    echo_calls: HashSet<Arc<str>>,
    /// Bytes of all pages ever appended.
    bytes: u64,
    replies: u64,
    index: Index,
    /// Pages that the index has seen.
    indexed: usize,
    /// What the user said since the last call.
    asked: Option<Arc<str>>,
    /// What the model said last: the subject of a terse answer.
    said: Arc<str>,
    trace: prompt::Trace,
    figures: Figures,
    layout: keep::LayoutState,
    /// Its agent has ended: all is in the store, and nothing here.
    gone: bool,
    /// What the question that is being answered did, as far as a replay cannot know it.
    paged: Paged,
}

/// A page's content, or where it is.
pub(super) enum Body {
    Here(Arc<[Part]>),
    Stored(ContentHash),
}

/// A page that is to be shown: where its content is, and how much of it.
pub(super) struct Recall {
    pub(super) page: wit::Page,
    pub(super) pick: Pick,
    pub(super) body: Body,
}

impl Memory {
    /// An empty memory.
    pub(super) fn new(setting: Setting) -> Self {
        let counter = setting.tokenizer.counter();
        let (cache_read, cache_write) = setting.cache_prices;
        let counted = setting.factor.counted_in(setting.budget_tokens);
        let budget = Budget { cache_read, cache_write, ..Budget::tokens(counted) };
        Self {
            setting,
            context: Context::new(budget, Arc::clone(&counter)),
            counter,
            factor: setting.factor,
            fresh: BTreeMap::new(),
            fresh_bytes: 0,
            changed: BTreeSet::new(),
            echoes: HashSet::new(),
            echo_calls: HashSet::new(),
            bytes: 0,
            replies: 0,
            index: Index::new(),
            indexed: 0,
            asked: None,
            said: Arc::from(""),
            trace: prompt::Trace::default(),
            figures: Figures::default(),
            layout: keep::LayoutState::default(),
            gone: false,
            paged: Paged::default(),
        }
    }

    /// As it was when its agent was born: its journal is played back to it.
    pub(super) fn begin_again(&mut self) {
        *self = Self::new(self.setting);
    }

    /// Lets go of everything: its agent has ended, and the store has it.
    pub(super) fn forget(&mut self) {
        *self = Self { gone: true, ..Self::new(self.setting) };
    }

    /// A page that says what left the window, as a model has it; it comes after what is there, so
    /// it breaks no prefix.
    pub(super) fn append_summary(&mut self, text: &str) -> Result<(), PagerError> {
        let tail_tokens = self.tail_tokens_max();
        let page = NewPage {
            label: Some(SUMMARY.into()),
            importance: 0.8,
            ..NewPage::text(Kind::Note, text)
        };
        if self.take(page).is_ok() {
            // What is said in it was said before.
            self.echoes.extend(self.context.pages().last().map(|page| page.id));
            self.clear(tail_tokens)?;
        }
        // That what leaves for a summary is not summarised again.
        self.trace.left.clear();
        if let Some(prompt) = &mut self.paged.prompt {
            prompt.summary = Some(text.to_owned());
        }
        Ok(())
    }

    /// What has left the window since this was last asked, cut to what a summary needs.
    pub(super) fn take_left(&mut self) -> String {
        std::mem::take(&mut self.trace.left)
    }

    /// About how many bytes of content it holds: a counted token is four, of text as of what is
    /// sent in base64.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.fresh_bytes.saturating_add(self.context.usage().resident_tokens.saturating_mul(4))
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
        let said = (kind == Kind::User).then(|| record::words(&page.parts).into());
        let call = page.relation.call.clone().filter(|_| kind == Kind::ToolResult);
        let first = self.context.pages().len();
        let id = self.take(page)?;
        if call.is_some_and(|call| self.echo_calls.remove(&call)) {
            self.echoes.extend(self.context.pages()[first..].iter().map(|page| page.id));
        }
        self.asked = said.or(self.asked.take());
        Ok(id.0)
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
                let words = self.say(std::mem::take(&mut words));
                pages.push(self.take(page(Kind::Assistant, words, None))?.0);
            }
            if call.name == RECALL || call.name == READ_PAGE {
                self.echo_calls.insert(call.id.as_str().into());
            }
            let parts = kept(part);
            pages.push(self.take(page(Kind::ToolCall, parts, Some(&call.id)))?.0);
        }
        if !words.is_empty() || pages.is_empty() {
            let words = self.say(words);
            pages.push(self.take(page(Kind::Assistant, words, None))?.0);
        }
        Ok(pages)
    }

    /// Keeps the words of a reply as the subject of what comes next.
    fn say(&mut self, parts: Vec<Part>) -> Vec<Part> {
        let spoken: Vec<Part> = parts.iter().filter(|part| !part.fleeting).cloned().collect();
        self.said = record::words(&spoken).into();
        parts
    }

    /// Learns from what a call used: how the provider counts, and what its cache did. `price` gives
    /// what tokens cost, in millionths of a dollar.
    pub(super) fn settle(&mut self, usage: &TokenUsage, price: impl Fn(TokenUsage) -> u64) {
        // A tail may be shorter than was meant, where a page of it is damaged: nothing is learnt
        // from that, so that a replay learns the same.
        if let Some(prompt) = &mut self.paged.prompt {
            prompt.used = Some(*usage);
        }
        if !usage.estimated && !self.trace.recalled {
            self.factor.learn(self.trace.counted_tokens, usage.prompt());
        }
        let saved = self.trace.unsent_tokens;
        let figures = &mut self.figures;
        figures.provider_tokens += usage.prompt();
        figures.provider_cached_tokens += usage.cache_read;
        let uncached = TokenUsage { input: usage.prompt(), ..TokenUsage::default() };
        let cached = TokenUsage { output: 0, reasoning: 0, ..*usage };
        let (without, with) = (price(uncached), price(cached));
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        figures.cache_saved_microdollars += signed(without) - signed(with);
        let unsent = self.factor.provider_tokens(saved);
        figures.unsent_saved_microdollars +=
            price(TokenUsage { cache_read: unsent, ..TokenUsage::default() });
    }

    fn take(&mut self, page: NewPage) -> Result<PageId, wit::Error> {
        let bytes: u64 = page.parts.iter().map(part_bytes).sum();
        if self.bytes.saturating_add(bytes) > self.setting.stored_bytes_max {
            return Err(wit::Error::StorageFull(format!(
                "an agent stores at most {} bytes of pages; stored_bytes of [host] raises it",
                self.setting.stored_bytes_max
            )));
        }
        let appended = self.context.append(page.measure(&*self.counter)).map_err(refused)?;
        self.bytes += bytes;
        for (id, _, body) in appended.bodies {
            self.fresh_bytes += body.iter().map(part_bytes).sum::<u64>();
            self.fresh.insert(id, body);
            self.changed.insert(id);
        }
        Ok(appended.id)
    }

    /// `context.read`.
    pub(super) fn read(&mut self, id: u64) -> Result<Body, wit::Error> {
        let id = PageId(id);
        let content = self.context.read(id).map_err(refused)?;
        self.changed.insert(id);
        self.paged.looked.push(Looked::Read(id.0));
        Ok(match content {
            Content::Resident(parts) => Body::Here(parts),
            Content::Swapped(hash) => match self.fresh.get(&id) {
                Some(parts) => Body::Here(Arc::clone(parts)),
                None => Body::Stored(hash),
            },
        })
    }

    /// `context.recall`: the best pages within so many tokens, best first. They count as used.
    pub(super) fn recall(&mut self, query: &str, max_tokens: u32) -> Vec<Recall> {
        let found = self.ranked(query, u64::from(max_tokens), |page| !page.freed);
        self.figures.recalls += 1;
        self.figures.recalls_answered += u64::from(!found.is_empty());
        found
    }

    /// The best of the pages that are wanted, best first.
    fn ranked(
        &mut self,
        query: &str,
        max_tokens: u64,
        wanted: impl Fn(&Page) -> bool,
    ) -> Vec<Recall> {
        self.index_what_is_new();
        let hits = self.index.rank(query, RECALL_HITS_MAX);
        let pages = self.context.pages();
        let page_of = |id: PageId| usize::try_from(id.0).ok().and_then(|at| pages.get(at));
        let tokens_of = |id| page_of(id).filter(|page| wanted(page)).map(|page| page.tokens);
        let picked = recall::fit(&hits, max_tokens, tokens_of);
        let mut found = Vec::with_capacity(picked.len());
        for hit in &hits {
            let Some(pick) = picked.iter().find(|pick| pick.id == hit.id) else { continue };
            let Some(page) = page_of(hit.id) else { continue };
            found.push(Recall { page: wit_page(page), pick: *pick, body: self.body(page) });
        }
        for Recall { pick, .. } in &found {
            // It was found by its number a moment ago.
            let _known = self.context.touch(pick.id);
            self.changed.insert(pick.id);
            self.paged.looked.push(Looked::Found(pick.id.0));
        }
        found
    }

    fn body(&self, page: &Page) -> Body {
        let here = self.fresh.get(&page.id).or_else(|| self.context.content(page.id));
        match here {
            Some(parts) => Body::Here(Arc::clone(parts)),
            None => Body::Stored(page.hash),
        }
    }

    /// The words of a page as it is shown in so many tokens.
    pub(super) fn excerpt(&self, pick: &Pick, parts: &[Part]) -> String {
        let words = record::words(parts);
        match pick.excerpt {
            true => recall::excerpt(&words, pick.tokens, &*self.counter).to_owned(),
            false => words,
        }
    }

    /// The index grows by what came since it was last asked, or something last left the window.
    fn index_what_is_new(&mut self) {
        for page in self.context.pages().iter().skip(self.indexed) {
            let body = self.fresh.get(&page.id).or_else(|| self.context.content(page.id));
            let Some(body) = body.filter(|_| !page.freed && !self.echoes.contains(&page.id)) else {
                continue;
            };
            let text = record::words(body);
            let (speaker, session, said_at) = (None, None, None);
            self.index.add(Document { id: page.id, text: &text, speaker, session, said_at });
        }
        self.indexed = self.context.pages().len();
    }

    /// `context.pin`.
    pub(super) fn pin(&mut self, id: u64, pinned: bool) -> Result<(), wit::Error> {
        self.context.pin(PageId(id), pinned).map_err(refused)?;
        self.changed.insert(PageId(id));
        Ok(())
    }

    /// `context.free`.
    pub(super) fn free(&mut self, id: u64) -> Result<(), wit::Error> {
        self.index_what_is_new();
        self.context.free(PageId(id)).map_err(refused)?;
        self.index.remove(PageId(id));
        self.changed.insert(PageId(id));
        self.layout.changed();
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

    /// The most tokens that a tool of the memory answers with: it becomes a page itself, and must
    /// not push out what it is asked beside.
    pub(super) fn answer_tokens_max(&self) -> u64 {
        (self.context.budget().window_tokens / 4).clamp(64, 4_000)
    }

    /// Cuts a text to so many tokens.
    pub(super) fn cut<'a>(&self, text: &'a str, tokens_max: u64) -> &'a str {
        recall::excerpt(text, tokens_max, &*self.counter)
    }

    /// A question begins: nothing is known of what it does.
    pub(super) fn begin(&mut self) {
        self.paged = Paged::default();
    }

    /// What the question did, for its row.
    pub(super) fn take_paged(&mut self) -> Paged {
        std::mem::take(&mut self.paged)
    }

    /// Where the reply that is about to come will be written down.
    pub(super) fn replied_in(&mut self, row: u64) {
        if let Some(prompt) = &mut self.paged.prompt {
            prompt.row = Some(row);
        }
    }

    /// What its model counts a counted token as, as far as it has learnt.
    pub(super) fn factor(&self) -> Factor {
        self.factor
    }
}

/// The label of a page that says what left the window.
pub(super) const SUMMARY: &str = "summary";

/// A page's parts in the contract's words.
pub(super) fn shown_parts(parts: &[Part]) -> Vec<types::Part> {
    parts.iter().map(shown).collect()
}
