//! A context as data: what a checkpoint keeps, and how the same bytes come out of it again.

use std::sync::Arc;

use super::super::error::PagerError;
use super::super::page::{ContentHash, Page, PageId, Part};
use super::super::signature::Signature;
use super::super::tokens::Count;
use super::{Budget, Context, Entry, Usage, index};

/// All of a context but the content of its pages, which storage has by hash.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// The room.
    pub budget: Budget,
    /// The page table.
    pub pages: Vec<Page>,
    /// Head and log as the prompt shows them, stubs with their words.
    pub entries: Vec<Entry>,
    /// How many entries are the head.
    pub head_entries: usize,
    /// How many the last eviction left in place.
    pub kept_entries: usize,
    /// How many the last call was sent with.
    pub sent_entries: usize,
    /// Tool calls that wait for a result, and their groups.
    pub open_calls: Vec<(Arc<str>, PageId)>,
    /// The reply that the last page is of.
    pub last_reply: Option<u64>,
    /// The group of the last page, and its tokens.
    pub last_group: (PageId, u64),
    /// The pager's clock.
    pub log_tokens: u64,
    /// Prompts that went out.
    pub calls: u64,
    /// The words of each page as bits.
    pub signatures: Vec<Signature>,
    /// Counters.
    pub usage: Usage,
}

impl Context {
    /// The context as data.
    pub fn snapshot(&self) -> Snapshot {
        let mut open_calls: Vec<_> =
            self.open_calls.iter().map(|(call, group)| (Arc::clone(call), *group)).collect();
        open_calls.sort_unstable();
        Snapshot {
            budget: self.budget,
            pages: self.pages.clone(),
            entries: self.entries.clone(),
            head_entries: self.head_entries,
            kept_entries: self.kept_entries,
            sent_entries: self.sent_entries,
            open_calls,
            last_reply: self.last_reply,
            last_group: (self.last_group, self.last_group_tokens),
            log_tokens: self.log_tokens,
            calls: self.calls,
            signatures: self.signatures.clone(),
            usage: self.usage,
        }
    }

    /// The context that a snapshot was taken of. `body` gives the content of the pages that are in
    /// the window.
    ///
    /// # Errors
    /// [`PagerError::Damaged`] where the snapshot does not hold together, or a body is missing or
    /// is not what its hash says: the page is named.
    pub fn restore(
        snapshot: Snapshot,
        counter: Arc<dyn Count>,
        mut body: impl FnMut(PageId, &ContentHash) -> Option<Arc<[Part]>>,
    ) -> Result<Self, PagerError> {
        check(&snapshot)?;
        let mut context = Self::new(snapshot.budget, counter);
        context.bodies = vec![None; snapshot.pages.len()];
        context.pages = snapshot.pages;
        for entry in snapshot.entries {
            if let Entry::Page(id) = &entry {
                let page = &context.pages[index(*id)];
                let right = |parts: &Arc<[Part]>| ContentHash::of(parts) == page.hash;
                let found = body(*id, &page.hash).filter(right);
                let missing =
                    || PagerError::Damaged(format!("the body of page {id} is not {}", page.hash));
                context.bodies[index(*id)] = Some(found.ok_or_else(missing)?);
            }
            context.push_entry(entry);
        }
        context.head_entries = snapshot.head_entries;
        context.kept_entries = snapshot.kept_entries;
        context.sent_entries = snapshot.sent_entries;
        context.open_calls = snapshot.open_calls.into_iter().collect();
        context.last_reply = snapshot.last_reply;
        (context.last_group, context.last_group_tokens) = snapshot.last_group;
        context.log_tokens = snapshot.log_tokens;
        context.calls = snapshot.calls;
        context.signatures = snapshot.signatures;
        let outside = |page: &&Page| page.pinned && page.resident && !context.is_head(page.id);
        context.pinned_tokens = context.pages.iter().filter(outside).map(|page| page.tokens).sum();
        let resident_tokens = context.usage.resident_tokens;
        context.usage = Usage { resident_tokens, ..snapshot.usage };
        Ok(context)
    }
}

/// Numbers in a row, entries that are there, counts within their bounds.
fn check(snapshot: &Snapshot) -> Result<(), PagerError> {
    let wrong = |what: String| Err(PagerError::Damaged(what));
    let misplaced = (0..).zip(&snapshot.pages).find(|(number, page)| page.id.0 != *number);
    if let Some((number, page)) = misplaced {
        return wrong(format!("page {} is where page {number} should be", page.id));
    }
    let mut shown = vec![false; snapshot.pages.len()];
    for entry in &snapshot.entries {
        if let Entry::Page(id) = entry {
            let at = usize::try_from(id.0).unwrap_or(usize::MAX);
            match shown.get_mut(at) {
                Some(seen) if !*seen => *seen = true,
                _ => return wrong(format!("the window shows page {id} twice or without a record")),
            }
        }
    }
    if snapshot.signatures.len() != snapshot.pages.len() {
        return wrong("it does not have a signature for each page".into());
    }
    let counts = [snapshot.head_entries, snapshot.kept_entries, snapshot.sent_entries];
    if counts.iter().any(|count| *count > snapshot.entries.len()) {
        return wrong("it counts more entries than it has".into());
    }
    let residents =
        snapshot.pages.iter().zip(&shown).find(|(page, shown)| page.resident != **shown);
    match residents {
        Some((page, _)) => wrong(format!("page {} is not where its record says", page.id)),
        None => Ok(()),
    }
}
