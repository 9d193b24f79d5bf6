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
    /// The number of pages.
    pub(in crate::kernel::agents) pages_end: u64,
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
            pages_end: pages.len() as u64,
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

#[cfg(test)]
mod tests {
    use super::super::{Body, Call, Setting};
    use super::*;
    use crate::model::Caching;
    use crate::pager::{Factor, Tokenizer};
    use crate::sandbox::agent::{context as wit, tool, types};

    fn memory() -> Memory {
        Memory::new(Setting {
            budget_tokens: 1_000,
            tokenizer: Tokenizer::Chars4,
            factor: Factor::default(),
            auto_recall: true,
            summarise: false,
            stored_bytes_max: 1 << 20,
            cache_prices: (0.1, 1.25),
        })
    }

    fn say(memory: &mut Memory, kind: wit::PageKind, text: &str) -> u64 {
        let part = types::Part::Content(tool::Content::Text(text.into()));
        memory.append(kind, vec![part], 0.5, None).expect("appends")
    }

    fn step(memory: &mut Memory) {
        let caching = Caching { breakpoints_max: 4, prefix_tokens_min: 16 };
        let call = Call { window_tokens: 1_000, tools_tokens: 0, caching };
        memory.prepare(&call).expect("prepares");
        memory.render("m", &call, Vec::new()).expect("renders");
    }

    /// Turns of 60 tokens, until something leaves.
    fn fill(memory: &mut Memory) {
        say(memory, wit::PageKind::System, "You help.");
        while memory.context.usage().evictions == 0 {
            say(memory, wit::PageKind::User, &"what else ".repeat(12));
            step(memory);
            say(memory, wit::PageKind::Assistant, &"that much ".repeat(12));
        }
    }

    #[test]
    fn a_batch_that_the_store_did_not_take_is_offered_again_whole() {
        let mut memory = memory();
        fill(&mut memory);
        let lost = memory.unkept();
        let (pages, contents) = (lost.pages.clone(), lost.contents.clone());
        assert!(!lost.layout.is_empty() && pages.len() == memory.context.pages().len());
        memory.not_kept(lost);
        let again = memory.unkept();
        assert_eq!((&again.pages, &again.contents), (&pages, &contents));
        assert!(!again.layout.is_empty());
        // Until the store has it, all is here.
        assert!(matches!(memory.read(1), Ok(Body::Here(_))));
        memory.kept(&again);
        let left = memory.context.pages().iter().find(|page| !page.resident).expect("left").id;
        assert!(matches!(memory.read(left.0), Ok(Body::Stored(_))));
        // A read is a use; nothing else is to be written, and no order.
        let rest = memory.unkept();
        assert!(rest.contents.is_empty() && rest.layout.is_empty() && rest.pages.len() <= 2);
    }

    #[test]
    fn an_ended_agents_memory_holds_nothing_and_writes_nothing() {
        let mut memory = memory();
        fill(&mut memory);
        assert!(memory.resident_bytes() > 1_000);
        memory.forget();
        assert!(memory.is_gone() && memory.resident_bytes() == 0);
    }

    #[test]
    fn a_head_with_its_tools_above_the_budget_is_told_with_the_number() {
        let mut memory = memory();
        say(&mut memory, wit::PageKind::System, &"word".repeat(300));
        let caching = Caching { breakpoints_max: 4, prefix_tokens_min: 16 };
        let call = Call { window_tokens: 9_000, tools_tokens: 500, caching };
        let refused = memory.prepare(&call).map(drop).expect_err("too small").to_string();
        assert!(refused.contains("takes 800 tokens") && refused.contains("1056"), "{refused}");
        assert!(memory.prepare(&Call { tools_tokens: 400, ..call }).is_ok());
    }
}
