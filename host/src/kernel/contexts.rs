//! Contexts as a store has them: found, shown, searched, measured and loaded. No agent need live.
//!
//! Knows pages, their records and their contents; knows nothing of agents that run, or of how
//! people type. A damaged content is named and passed over.

mod load;
mod measure;

use std::collections::HashMap;

pub use self::load::{Line, Loaded, load};
pub use self::measure::KnownItems;

use crate::pager::recall::{self, Document, Hit, Index};
use crate::pager::{ContentHash, Entry, Kept, Layout, PageId, State, record};
use crate::storage::pages::{ContextRecord, Contexts, StoredPage};
use crate::storage::{ChainId, Storage, StorageError};

/// Damaged pages that are named.
const NAMED_MAX: usize = 20;
/// No more hits are fitted into an answer.
const HITS_MAX: usize = 64;

/// Why a context cannot be used: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// Nobody has such a context.
    #[error("{0}")]
    None(String),
    /// A line of a file cannot be a page.
    #[error("{0}")]
    Line(String),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The context of an agent (its number or name) or of a name that pages were loaded under; of
/// several the newest.
///
/// # Errors
/// There is none, or the store cannot be read.
pub async fn find(store: &dyn Storage, who: &str) -> Result<ContextRecord, ContextError> {
    let pages = store.pages();
    let numbered = match who.parse::<u64>() {
        Ok(pid) if pid > 0 => pages.contexts(Contexts::Of(pid)).await?,
        Ok(_) | Err(_) => Vec::new(),
    };
    let found = match numbered.into_iter().next() {
        Some(found) => Some(found),
        None => pages.contexts(Contexts::Named(who)).await?.into_iter().next(),
    };
    found.ok_or_else(|| {
        let who: String = who.chars().take(200).collect();
        ContextError::None(format!(
            "no agent `{who}` has pages in {}; `aos-host ps -a` lists agents, \
             `aos-host context load --agent NAME FILE` loads pages",
            store.name()
        ))
    })
}

/// The context with this id.
///
/// # Errors
/// As [`find`].
pub async fn of_chain(store: &dyn Storage, id: ChainId) -> Result<ContextRecord, ContextError> {
    let before = id.0.iter().rposition(|byte| *byte > 0).map(|at| {
        let mut before = id.0;
        before[at] -= 1;
        before[at + 1..].fill(0xff);
        ChainId(before)
    });
    let found = store.pages().contexts(Contexts::After(before)).await?.into_iter().next();
    let none = || ContextError::None(format!("agent {id} has no pages in {}", store.name()));
    found.filter(|record| record.id == id).ok_or_else(none)
}

/// A context, read whole but for the contents that nobody asked for.
pub struct Remembered {
    /// Whose.
    pub record: ContextRecord,
    /// What its agent held and did.
    pub state: State,
    /// The window: head and log, with stubs.
    pub entries: Vec<Entry>,
    /// All pages, in the order of the log.
    pub pages: Vec<Kept>,
    /// Words of the pages, where they were asked for.
    pub texts: Vec<String>,
    /// What is wrong: a sentence for each of the first damaged pages.
    pub damaged: Vec<String>,
    /// How many are.
    pub damaged_count: u64,
}

impl Remembered {
    /// Reads the pages of a context. Contents are read to be verified, and kept if `with_texts`.
    ///
    /// # Errors
    /// The store cannot be read. A damaged page is no error.
    pub async fn read(
        store: &dyn Storage,
        record: ContextRecord,
        with_texts: bool,
    ) -> Result<Self, ContextError> {
        let state = serde_json::from_str(&record.state).unwrap_or_default();
        let layout: Layout = serde_json::from_str(&record.layout).unwrap_or_default();
        let mut all = Self {
            state,
            entries: Vec::new(),
            pages: Vec::new(),
            texts: Vec::new(),
            damaged: Vec::new(),
            damaged_count: 0,
            record,
        };
        let mut from = 0;
        loop {
            let some = store.pages().read(all.record.id, from).await?;
            let Some((last, _)) = some.last() else { break };
            from = last.number.saturating_add(1);
            for page in some {
                all.add(page, with_texts);
            }
        }
        all.entries = layout.with(&all.pages);
        let resident = record::resident(&all.entries);
        for kept in &mut all.pages {
            kept.page.resident = resident.contains(&kept.page.id);
        }
        Ok(all)
    }

    fn add(&mut self, (stored, body): StoredPage, with_texts: bool) {
        let number = stored.number;
        let Ok(kept) = serde_json::from_str::<Kept>(&stored.record) else {
            return self.wrong(format!("page {number}: its record cannot be read"));
        };
        let hash = ContentHash(stored.hash.0);
        let text = match &body {
            None => Err(format!("page {number}: its content {hash} is missing")),
            Some(body) => match record::decode(body, &hash) {
                Some(parts) => Ok(record::words(&parts)),
                None => Err(format!("page {number}: its content is damaged, it is not {hash}")),
            },
        };
        let text = text.unwrap_or_else(|wrong| {
            self.wrong(wrong);
            String::new()
        });
        self.pages.push(kept);
        if with_texts {
            self.texts.push(text);
        }
    }

    fn wrong(&mut self, what: String) {
        self.damaged_count += 1;
        if self.damaged.len() < NAMED_MAX {
            self.damaged.push(what);
        }
    }

    /// The index of its pages, ready to rank. Needs the texts.
    pub fn index(&self) -> Index {
        let mut index = Index::new();
        for (kept, text) in self.pages.iter().zip(&self.texts) {
            if kept.page.freed || kept.echo {
                continue;
            }
            index.add(Document {
                id: kept.page.id,
                text,
                speaker: kept.speaker.as_deref(),
                session: kept.session,
                said_at: kept.said_at.as_deref(),
            });
        }
        index
    }

    /// What says most about a query within so many tokens, best first: the page's place in
    /// [`Self::pages`], its score, and the words that fit.
    pub fn recall(&self, index: &Index, query: &str, max_tokens: u64) -> Vec<(usize, f32, String)> {
        let places: HashMap<PageId, usize> =
            self.pages.iter().enumerate().map(|(at, kept)| (kept.page.id, at)).collect();
        let hits: Vec<Hit> = index.rank(query, HITS_MAX);
        let tokens = |id: PageId| places.get(&id).map(|at| self.pages[*at].page.tokens);
        let picks = recall::fit(&hits, max_tokens, tokens);
        let counter = self.state.tokenizer.counter();
        let found = hits.iter().filter_map(|hit| {
            let pick = picks.iter().find(|pick| pick.id == hit.id)?;
            let at = *places.get(&hit.id)?;
            let text = &self.texts[at];
            let shown = match pick.excerpt {
                true => recall::excerpt(text, pick.tokens, &*counter),
                false => text,
            };
            Some((at, pick.score, shown.to_owned()))
        });
        found.collect()
    }
}
