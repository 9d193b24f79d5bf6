//! Pages from a file under a name: what somebody remembers who never ran here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{ContextError, Remembered};
use crate::pager::{
    ContentHash, Count, Kept, Kind, Layout, NewPage, Page, PageId, Relation, State, Tokenizer,
    Usage, record,
};
use crate::storage::pages::{ContextRecord, Contexts, PageBatch, PageRecord};
use crate::storage::{ChainId, Digest, Storage};

/// Pages of one transaction.
const BATCH_PAGES: usize = 1_000;
/// Bytes of one transaction.
const BATCH_BYTES: usize = 4 << 20;

/// A page as a file has it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Line {
    /// Its name.
    pub label: String,
    /// What it is; said by the user where nothing else is said.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Its words.
    pub text: String,
    /// Who said it.
    #[serde(default)]
    pub speaker: Option<String>,
    /// The conversation that it is of.
    #[serde(default)]
    pub session: Option<u64>,
    /// When it was said, as a text with a date in it.
    #[serde(default)]
    pub said_at: Option<String>,
    /// Whose it is, where a file has pages of several.
    #[serde(default)]
    pub agent: Option<String>,
}

impl Line {
    /// A page's words with its speaker: what it takes in a prompt.
    pub fn tokens(&self, counter: &dyn Count) -> u64 {
        match &self.speaker {
            Some(speaker) => counter.tokens(&format!("{speaker}: {}", self.text)),
            None => counter.tokens(&self.text),
        }
    }
}

/// What a load brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loaded {
    /// Pages that are new.
    pub pages: u64,
    /// Pages that were there, with the same label and words.
    pub known: u64,
    /// Pages that the name has now.
    pub total: u64,
    /// Their tokens.
    pub tokens: u64,
}

/// Adds pages to those of a name, in the order given. One that is there already, with the same
/// label and words, is passed over, so a file may be loaded twice.
///
/// # Errors
/// The store cannot be read or written. What was written before stays.
pub async fn load(
    store: &dyn Storage,
    name: &str,
    tokenizer: Tokenizer,
    lines: Vec<Line>,
) -> Result<Loaded, ContextError> {
    let named = store.pages().contexts(Contexts::Named(name)).await?;
    let own = named.into_iter().find(|record| record.pid == 0);
    let mut loading = Loading::new(store, name, tokenizer, own).await?;
    let counter = tokenizer.counter();
    let mut loaded = Loaded::default();
    for line in lines {
        match loading.add(line, &*counter) {
            true => loaded.pages += 1,
            false => loaded.known += 1,
        }
        if loading.is_full() {
            loading.write(store).await?;
        }
    }
    loading.write(store).await?;
    loaded.total = loading.usage.pages;
    loaded.tokens = loading.usage.swapped_tokens;
    Ok(loaded)
}

struct Loading {
    record: ContextRecord,
    tokenizer: Tokenizer,
    known: HashSet<(Arc<str>, ContentHash)>,
    next: u64,
    usage: Usage,
    pages: Vec<PageRecord>,
    contents: Vec<(Digest, Vec<u8>)>,
    bytes: usize,
}

impl Loading {
    async fn new(
        store: &dyn Storage,
        name: &str,
        tokenizer: Tokenizer,
        own: Option<ContextRecord>,
    ) -> Result<Self, ContextError> {
        let record = own.unwrap_or_else(|| ContextRecord {
            id: ChainId(rand::random()),
            pid: 0,
            name: name.to_owned(),
            updated_us: 0,
            state: String::new(),
            layout: String::new(),
        });
        let there = Remembered::read(store, record.clone(), false).await?;
        let label = |kept: &Kept| (kept.page.label.clone().unwrap_or_default(), kept.page.hash);
        let usage = Usage {
            pages: there.pages.len() as u64,
            swapped_tokens: there.pages.iter().map(|kept| kept.page.tokens).sum(),
            ..Usage::default()
        };
        Ok(Self {
            record,
            tokenizer,
            known: there.pages.iter().map(label).collect(),
            next: there.pages.last().map_or(0, |kept| kept.page.id.0 + 1),
            usage,
            pages: Vec::new(),
            contents: Vec::new(),
            bytes: 0,
        })
    }

    /// Whether the page is new.
    fn add(&mut self, line: Line, counter: &dyn Count) -> bool {
        let tokens = line.tokens(counter).max(1);
        let Line { label, kind, text, speaker, session, said_at, agent: _ } = line;
        let label: Arc<str> = label.into();
        let parts = NewPage::text(kind.unwrap_or(Kind::User), text).parts;
        let hash = ContentHash::of(&parts);
        if !self.known.insert((Arc::clone(&label), hash)) {
            return false;
        }
        let id = PageId(self.next);
        self.next += 1;
        let page = Page {
            id,
            kind: kind.unwrap_or(Kind::User),
            tokens,
            importance: 0.5,
            resident: false,
            pinned: false,
            freed: false,
            thin: false,
            label: Some(label),
            hash,
            relation: Relation::default(),
            group: id,
            piece_of: None,
            used_at_tokens: self.usage.swapped_tokens,
            uses: 1,
        };
        let kept = Kept { speaker, session, said_at, ..Kept::of(page) };
        let record = serde_json::to_string(&kept).unwrap_or_default();
        let body = record::encode(&parts);
        self.bytes += record.len() + body.len();
        self.pages.push(PageRecord { number: id.0, hash: Digest(hash.0), record });
        self.contents.push((Digest(hash.0), body));
        self.usage.pages += 1;
        self.usage.swapped_tokens += tokens;
        true
    }

    fn is_full(&self) -> bool {
        self.pages.len() >= BATCH_PAGES || self.bytes >= BATCH_BYTES
    }

    async fn write(&mut self, store: &dyn Storage) -> Result<(), ContextError> {
        // None of them is in a window.
        let layout = Layout { entries: Vec::new(), pages: u64::MAX };
        let state = State { tokenizer: self.tokenizer, usage: self.usage, ..State::default() };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let context = ContextRecord {
            updated_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            state: serde_json::to_string(&state).unwrap_or_default(),
            layout: serde_json::to_string(&layout).unwrap_or_default(),
            ..self.record.clone()
        };
        let batch = PageBatch {
            context,
            pages: std::mem::take(&mut self.pages),
            contents: std::mem::take(&mut self.contents),
            pages_end: None,
        };
        self.bytes = 0;
        Ok(store.pages().put(&batch).await?)
    }
}
