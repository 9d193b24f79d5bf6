//! A context in memory: all pages are resident, and what does not fit is an error.

use super::prompt::text;
use crate::agent::{Part, ToolCall};
use crate::context::{Draft, Error, Page, PageId, PageKind, Recalled, Statistics};

/// Bytes of a token, as the host estimates them where no tokenizer is.
const TOKEN_BYTES: usize = 4;

/// The pages of one process.
pub(super) struct Memory {
    budget_tokens: u64,
    next: u64,
    pages: Vec<(Page, Vec<Part>)>,
    /// A turn went by: no system page may follow.
    has_turned: bool,
    /// Calls of the model that have no result yet, by id.
    open_calls: Vec<String>,
}

impl Memory {
    pub(super) fn new(budget_tokens: u64) -> Self {
        Self { budget_tokens, next: 1, pages: Vec::new(), has_turned: false, open_calls: vec![] }
    }

    pub(super) fn into_pages(self) -> Vec<(Page, Vec<Part>)> {
        self.pages
    }

    pub(super) fn pages(&self) -> Vec<Page> {
        self.pages.iter().map(|(page, _)| page.clone()).collect()
    }

    /// What a model reads.
    pub(super) fn rendered(&self) -> Vec<(PageKind, Vec<Part>)> {
        self.pages.iter().map(|(page, parts)| (page.kind, parts.clone())).collect()
    }

    /// Ids of calls whose results are missing.
    pub(super) fn open_calls(&self) -> &[String] {
        &self.open_calls
    }

    pub(super) fn append(&mut self, draft: Draft) -> Result<PageId, Error> {
        self.check_order(&draft)?;
        let id = self.insert(draft)?;
        Ok(id)
    }

    /// A reply becomes one page of what was said, and one for each call.
    pub(super) fn append_reply(&mut self, parts: &[Part]) -> Result<Vec<PageId>, Error> {
        let is_call = |part: &Part| matches!(part, Part::ToolCall(_));
        let said: Vec<Part> = parts.iter().filter(|part| !is_call(part)).cloned().collect();
        let mut drafts = Vec::new();
        if !said.is_empty() {
            let draft = Draft::new(PageKind::Assistant);
            drafts.push(Draft { parts: said, ..draft });
        }
        let calls = parts.iter().filter(|part| is_call(part)).cloned();
        drafts.extend(calls.map(|call| Draft::new(PageKind::ToolCall).part(call)));
        self.has_turned = true;
        for part in parts {
            if let Part::ToolCall(ToolCall { id, .. }) = part {
                self.open_calls.push(id.clone());
            }
        }
        drafts.into_iter().map(|draft| self.insert(draft)).collect()
    }

    fn check_order(&mut self, draft: &Draft) -> Result<(), Error> {
        if draft.kind == PageKind::System && self.has_turned {
            let message = "system pages come before the first turn";
            return Err(Error::OutOfOrder(message.to_owned()));
        }
        for part in &draft.parts {
            let Part::ToolResult(result) = part else { continue };
            if !self.open_calls.contains(&result.call_id) {
                let message = format!("there is no open tool call {}", result.call_id);
                return Err(Error::OutOfOrder(message));
            }
        }
        Ok(())
    }

    fn insert(&mut self, draft: Draft) -> Result<PageId, Error> {
        let tokens = tokens(&draft.parts);
        let used = self.resident_tokens();
        if used + u64::from(tokens) > self.budget_tokens {
            let budget = self.budget_tokens;
            let message = format!("{tokens} tokens beside {used}, in a window of {budget}");
            return Err(Error::TooLarge(message));
        }
        for part in &draft.parts {
            if let Part::ToolResult(result) = part {
                self.open_calls.retain(|id| *id != result.call_id);
            }
        }
        let id = PageId(self.next);
        self.next += 1;
        let Draft { kind, parts, importance, label } = draft;
        let page = Page { id, kind, tokens, importance, resident: true, pinned: false, label };
        self.pages.push((page, parts));
        Ok(id)
    }

    pub(super) fn read(&self, id: PageId) -> Result<Vec<Part>, Error> {
        let found = self.pages.iter().find(|(page, _)| page.id == id);
        found.map(|(_, parts)| parts.clone()).ok_or(Error::NoSuchPage(id))
    }

    /// By how many of the query's words are in a page; a host ranks better.
    pub(super) fn recall(&self, query: &str, tokens_max: u32) -> Vec<Recalled> {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let mut ranked: Vec<(usize, Recalled)> = Vec::new();
        for (page, parts) in &self.pages {
            let text = text(parts);
            let lower = text.to_lowercase();
            let score = words.iter().filter(|word| lower.contains(word.as_str())).count();
            if score > 0 {
                ranked.push((score, Recalled { page: page.clone(), text }));
            }
        }
        ranked.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let mut room = tokens_max;
        let fits = ranked.into_iter().map(|(_, recalled)| recalled);
        fits.take_while(|recalled| {
            let fits = recalled.page.tokens <= room;
            room = room.saturating_sub(recalled.page.tokens);
            fits
        })
        .collect()
    }

    pub(super) fn pin(&mut self, id: PageId, pinned: bool) -> Result<(), Error> {
        let found = self.pages.iter_mut().find(|(page, _)| page.id == id);
        found.map(|(page, _)| page.pinned = pinned).ok_or(Error::NoSuchPage(id))
    }

    pub(super) fn free(&mut self, id: PageId) -> Result<(), Error> {
        let before = self.pages.len();
        self.pages.retain(|(page, _)| page.id != id);
        if self.pages.len() < before { Ok(()) } else { Err(Error::NoSuchPage(id)) }
    }

    pub(super) fn usage(&self) -> Statistics {
        Statistics {
            budget_tokens: self.budget_tokens,
            resident_tokens: self.resident_tokens(),
            pages: self.pages.len() as u64,
            ..Statistics::default()
        }
    }

    pub(super) fn resident_tokens(&self) -> u64 {
        self.pages.iter().map(|(page, _)| u64::from(page.tokens)).sum()
    }
}

/// At least one, so that no page is free.
pub(super) fn tokens(parts: &[Part]) -> u32 {
    let bytes: usize = parts
        .iter()
        .map(|part| match part {
            Part::ToolCall(call) => call.name.len() + call.arguments.len(),
            Part::Reasoning(reasoning) => reasoning.text.len() + reasoning.opaque.len(),
            Part::Content(_) | Part::ToolResult(_) => text(std::slice::from_ref(part)).len(),
        })
        .sum();
    u32::try_from(bytes.div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX).max(1)
}
