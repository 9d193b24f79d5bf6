//! What the store does not have of a memory yet, as a batch; and what may be let go of once it has.

use std::collections::BTreeSet;

use super::{Memory, part_bytes};
use crate::pager::{ContentHash, Kept, Layout, PageId, State, record};
use crate::storage::Digest;
use crate::storage::pages::PageRecord;

/// Content that waits for the next prompt before it is written, in bytes: more is written at once.
const FRESH_BYTES_MAX: u64 = 1 << 20;
/// And so many pages.
const FRESH_PAGES_MAX: usize = 1_000;

/// Whether the store has the order of the window.
#[derive(Debug, Default)]
pub(super) struct LayoutState {
    stale: bool,
    written: bool,
}

impl LayoutState {
    /// Something left the window.
    pub(super) fn changed(&mut self) {
        self.stale = true;
    }
}

/// What is to be written, in one transaction.
pub(in crate::kernel::agents) struct Unkept {
    pub(in crate::kernel::agents) state: String,
    /// Empty where the store has it.
    pub(in crate::kernel::agents) layout: String,
    pub(in crate::kernel::agents) pages: Vec<PageRecord>,
    pub(in crate::kernel::agents) contents: Vec<(Digest, Vec<u8>)>,
    ids: BTreeSet<PageId>,
    fresh: Vec<PageId>,
}

impl Memory {
    /// Whether there is nothing to keep any more.
    pub(in crate::kernel::agents) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether so much is unwritten that it should not wait.
    pub(in crate::kernel::agents) fn is_heavy(&self) -> bool {
        self.fresh_bytes > FRESH_BYTES_MAX || self.fresh.len() > FRESH_PAGES_MAX
    }

    /// What the store does not have. Either [`Self::kept`] or [`Self::not_kept`] follows. Writing
    /// it twice does no harm.
    pub(in crate::kernel::agents) fn unkept(&mut self) -> Unkept {
        // What is let go of afterwards is read once more, while it is here.
        if self.fresh.keys().any(|id| self.context.content(*id).is_none()) {
            self.index_what_is_new();
        }
        let ids = std::mem::take(&mut self.changed);
        let pages = self.context.pages();
        let kept = |id: &PageId| {
            let page = pages.get(usize::try_from(id.0).ok()?)?;
            let kept = Kept { echo: self.echoes.contains(id), ..Kept::of(page.clone()) };
            // A closed type of numbers and texts always has its JSON.
            let record = serde_json::to_string(&kept).unwrap_or_default();
            Some(PageRecord { number: id.0, hash: Digest(page.hash.0), record })
        };
        let content = |(id, parts): (&PageId, &std::sync::Arc<[crate::pager::Part]>)| {
            let hash = pages.get(usize::try_from(id.0).ok()?).map(|page| page.hash);
            let ContentHash(hash) = hash?;
            Some((Digest(hash), record::encode(parts)))
        };
        let whole = self.layout.stale || !self.layout.written;
        let layout = if whole { self.layout_json() } else { String::new() };
        let unkept = Unkept {
            state: serde_json::to_string(&self.state()).unwrap_or_default(),
            layout,
            pages: ids.iter().filter_map(kept).collect(),
            contents: self.fresh.iter().filter_map(content).collect(),
            fresh: self.fresh.keys().copied().collect(),
            ids,
        };
        self.layout = LayoutState { stale: false, written: true };
        unkept
    }

    /// The store has it.
    pub(in crate::kernel::agents) fn kept(&mut self, unkept: &Unkept) {
        for id in &unkept.fresh {
            if let Some(parts) = self.fresh.remove(id) {
                let bytes: u64 = parts.iter().map(part_bytes).sum();
                self.fresh_bytes = self.fresh_bytes.saturating_sub(bytes);
            }
        }
    }

    /// The store could not take it.
    pub(in crate::kernel::agents) fn not_kept(&mut self, unkept: Unkept) {
        self.changed.extend(unkept.ids);
        self.layout.stale |= !unkept.layout.is_empty();
    }

    fn layout_json(&self) -> String {
        let pages = self.context.pages().len() as u64;
        let layout = Layout { entries: self.context.entries().to_vec(), pages };
        serde_json::to_string(&layout).unwrap_or_default()
    }

    fn state(&self) -> State {
        let (kept_entries, _) = self.context.kept_and_sent_entries();
        State {
            model: self.trace.model.clone(),
            tokenizer: self.setting.tokenizer,
            factor: self.factor,
            budget_tokens: self.setting.budget_tokens,
            usage: self.context.usage(),
            head_entries: self.context.head_entries(),
            kept_entries,
            breakpoints: self.trace.breakpoints.clone(),
            figures: self.figures,
        }
    }
}
