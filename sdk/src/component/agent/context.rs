//! `aos:agent/context`.

use super::bindings::aos::agent::context as host;
use super::parts;
use crate::agent::Part;
use crate::context::{Draft, Error, Page, PageId, PageKind, Recalled, Statistics};

pub(crate) fn append(draft: Draft) -> Result<PageId, Error> {
    let Draft { kind, parts, importance, label } = draft;
    let parts = parts::parts_out(parts);
    let id = host::append(kind_out(kind), &parts, importance, label.as_deref());
    id.map(PageId).map_err(error)
}

pub(crate) fn read(id: PageId) -> Result<Vec<Part>, Error> {
    host::read(id.0).map(parts::parts).map_err(error)
}

pub(crate) fn recall(query: &str, tokens_max: u32) -> Result<Vec<Recalled>, Error> {
    let found = host::recall(query, tokens_max).map_err(error)?;
    Ok(found.into_iter().map(|(found, text)| Recalled { page: page(found), text }).collect())
}

pub(crate) fn pin(id: PageId, pinned: bool) -> Result<(), Error> {
    host::pin(id.0, pinned).map_err(error)
}

pub(crate) fn free(id: PageId) -> Result<(), Error> {
    host::free(id.0).map_err(error)
}

pub(crate) fn pages() -> Vec<Page> {
    host::pages().into_iter().map(page).collect()
}

pub(crate) fn usage() -> Statistics {
    let usage = host::usage();
    Statistics {
        budget_tokens: usage.budget_tokens,
        resident_tokens: usage.resident_tokens,
        swapped_tokens: usage.swapped_tokens,
        pages: usage.pages,
        faults: usage.faults,
        cache_hit_ratio: usage.cache_hit_ratio,
    }
}

fn page(page: host::Page) -> Page {
    Page {
        id: PageId(page.id),
        kind: kind(page.kind),
        tokens: page.tokens,
        importance: page.importance,
        resident: page.resident,
        pinned: page.pinned,
        label: page.label,
    }
}

fn kind_out(kind: PageKind) -> host::PageKind {
    match kind {
        PageKind::System => host::PageKind::System,
        PageKind::Task => host::PageKind::Task,
        PageKind::User => host::PageKind::User,
        PageKind::Assistant => host::PageKind::Assistant,
        PageKind::ToolCall => host::PageKind::ToolCall,
        PageKind::ToolResult => host::PageKind::ToolResult,
        PageKind::Note => host::PageKind::Note,
    }
}

fn kind(kind: host::PageKind) -> PageKind {
    match kind {
        host::PageKind::System => PageKind::System,
        host::PageKind::Task => PageKind::Task,
        host::PageKind::User => PageKind::User,
        host::PageKind::Assistant => PageKind::Assistant,
        host::PageKind::ToolCall => PageKind::ToolCall,
        host::PageKind::ToolResult => PageKind::ToolResult,
        host::PageKind::Note => PageKind::Note,
    }
}

fn error(error: host::Error) -> Error {
    match error {
        host::Error::NoSuchPage(id) => Error::NoSuchPage(PageId(id)),
        host::Error::TooLarge(message) => Error::TooLarge(message),
        host::Error::OutOfOrder(message) => Error::OutOfOrder(message),
        host::Error::StorageFull(message) => Error::StorageFull(message),
    }
}
