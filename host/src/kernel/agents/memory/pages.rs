//! Pages and their errors in the contract's words, and the other way.

use std::sync::Arc;

use crate::pager::{Kind, Page, PagerError, Part};
use crate::sandbox::agent::{context as wit, types};

pub(super) fn wit_page(page: &Page) -> wit::Page {
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

pub(super) fn part_bytes(part: &Part) -> u64 {
    part.text.len() as u64 + part.wrap.as_ref().map_or(0, |wrap| wrap.len() as u64)
}

/// Which tool call a page is, or answers: one a page.
pub(super) fn call_of(kind: Kind, parts: &[types::Part]) -> Result<Option<Arc<str>>, wit::Error> {
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

pub(super) fn refused(error: PagerError) -> wit::Error {
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

pub(super) fn kind_of(kind: wit::PageKind) -> Kind {
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
