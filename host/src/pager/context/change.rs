//! What changes the window beside an append: a batch that leaves, a pin, a page that is freed.

use super::super::error::PagerError;
use super::super::evict::{self, Eviction};
use super::super::page::{Kind, PageId};
use super::{Context, Entry, index};

impl Context {
    /// Clears the window as planned. Applying it again, or after a restart, changes nothing more.
    ///
    /// # Errors
    /// [`PagerError::Damaged`] for an eviction of another context: it names pages that are not in
    /// this window.
    pub fn apply(&mut self, eviction: &Eviction) -> Result<(), PagerError> {
        let keep = eviction.keep_entries;
        if self.entries.get(keep..).is_some_and(|now| now == eviction.entries) {
            return Ok(());
        }
        self.check_eviction(eviction)?;
        for id in &eviction.thin {
            self.pages[index(*id)].thin = true;
        }
        let blocks = self.block_count(keep);
        let sent_before = self.block_count(self.sent_entries);
        let left = self.entries.split_off(keep);
        self.entry_ends.truncate(keep);
        self.blocks.truncate(blocks);
        self.ends.truncate(blocks);
        self.usage.resident_tokens = self.ends.last().copied().unwrap_or(0);
        for entry in &left {
            if let Entry::Page(id) = entry {
                self.pages[index(*id)].resident = false;
            }
        }
        for entry in &eviction.entries {
            if let Entry::Page(id) = entry {
                self.pages[index(*id)].resident = true;
            }
            self.push_entry(entry.clone());
        }
        for entry in left {
            if let Entry::Page(id) = entry {
                self.forget_body(id);
            }
        }
        self.kept_entries = keep.max(self.head_entries);
        self.sent_entries = self.sent_entries.min(self.kept_entries);
        debug_assert!(self.block_count(self.sent_entries) <= sent_before);
        self.usage.evictions += 1;
        Ok(())
    }

    /// A page that left the window: its content is in storage only.
    fn forget_body(&mut self, id: PageId) {
        let page = &mut self.pages[index(id)];
        if page.resident || self.bodies[index(id)].take().is_none() {
            return;
        }
        if page.pinned {
            self.pinned_tokens = self.pinned_tokens.saturating_sub(page.tokens);
        }
        if !page.freed {
            self.usage.swapped_tokens += page.tokens;
            self.usage.evicted_pages += 1;
        }
    }

    fn check_eviction(&self, eviction: &Eviction) -> Result<(), PagerError> {
        let wrong = |what: String| Err(PagerError::Damaged(what));
        let keep = eviction.keep_entries;
        if keep < self.head_entries || keep > self.entries.len() {
            return wrong(format!("an eviction keeps {keep} entries of {}", self.entries.len()));
        }
        for entry in &eviction.entries {
            if let Entry::Page(id) = entry
                && self.bodies.get(index(*id)).is_none_or(Option::is_none)
            {
                return wrong(format!("an eviction keeps page {id}, which is not in the window"));
            }
        }
        let pages = eviction.entries.iter().filter_map(|entry| match entry {
            Entry::Page(id) => Some(*id),
            Entry::Stub(_) => None,
        });
        let kept: std::collections::HashSet<PageId> = pages.collect();
        match eviction.thin.iter().find(|id| !kept.contains(id)) {
            Some(id) => wrong(format!("an eviction thins page {id}, which it does not keep")),
            None => Ok(()),
        }
    }

    /// Keeps a page in the window, or lets it go again. A pin does not bring back a page that
    /// left: that would break the prompt's prefix; `recall` shows it in the tail.
    ///
    /// # Errors
    /// No such page, or it was freed; [`PagerError::Wedged`] where pins would fill the window.
    pub fn pin(&mut self, id: PageId, pinned: bool) -> Result<(), PagerError> {
        let page = self.page(id)?;
        if page.pinned == pinned {
            return Ok(());
        }
        let at = index(id);
        if page.resident && !self.is_head(id) {
            let tokens = page.tokens;
            if pinned {
                let needed_tokens = self.usage.head_tokens
                    + self.pinned_tokens
                    + tokens
                    + super::append::LOG_TOKENS_MIN;
                let budget_tokens = self.budget.window_tokens;
                if needed_tokens > budget_tokens {
                    return Err(PagerError::Wedged { needed_tokens, budget_tokens });
                }
                self.pinned_tokens += tokens;
            } else {
                self.pinned_tokens = self.pinned_tokens.saturating_sub(tokens);
            }
        }
        self.pages[at].pinned = pinned;
        Ok(())
    }

    /// Takes a page out of prompt and recall for good. Pages that cannot be sent without it (the
    /// other half of a tool call) leave the window with it, and stay in recall.
    ///
    /// # Errors
    /// No such page, or it was freed before; [`PagerError::OutOfOrder`] for a page of the head,
    /// which never changes, and for a tool call that waits for its result.
    pub fn free(&mut self, id: PageId) -> Result<(), PagerError> {
        let page = self.page(id)?;
        let (group, resident, tokens) = (page.group, page.resident, page.tokens);
        if self.is_head(id) {
            return Err(PagerError::OutOfOrder(format!(
                "page {id} is in the head, which never changes"
            )));
        }
        if self.open_calls.values().any(|open| *open == group) {
            return Err(PagerError::OutOfOrder(format!(
                "page {id} belongs to a tool call that has no result yet"
            )));
        }
        let at = index(id);
        self.pages[at].freed = true;
        self.usage.pages -= 1;
        if resident {
            let eviction = evict::without(self, id);
            self.apply(&eviction)?;
            self.usage.evictions -= 1;
        } else {
            self.usage.swapped_tokens = self.usage.swapped_tokens.saturating_sub(tokens);
        }
        Ok(())
    }

    /// Whether a page is in the head.
    pub(in super::super) fn is_head(&self, id: PageId) -> bool {
        let head = &self.entries[..self.head_entries];
        matches!(self.pages[index(id)].kind, Kind::System | Kind::Task)
            && head.contains(&Entry::Page(id))
    }
}
