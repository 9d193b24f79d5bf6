//! Copying what agents remember: contexts, pages and their contents.

use super::CopyError;
use crate::storage::Storage;
use crate::storage::pages::{Contexts, PageBatch};

/// Copies all contexts with their pages; one that both have becomes that of the source. Returns how
/// many pages were copied.
pub(super) async fn contexts(from: &dyn Storage, to: &dyn Storage) -> Result<u64, CopyError> {
    let (mut copied, mut after) = (0, None);
    loop {
        let some = from.pages().contexts(Contexts::After(after)).await?;
        let Some(last) = some.last() else { return Ok(copied) };
        after = Some(last.id);
        for context in some {
            let mut next = 0;
            loop {
                let read = from.pages().read(context.id, next).await?;
                let done = read.is_empty();
                next = read.last().map_or(next, |(page, _)| page.number.saturating_add(1));
                copied += read.len() as u64;
                let mut batch = PageBatch {
                    context: context.clone(),
                    pages: Vec::new(),
                    contents: Vec::new(),
                    pages_end: None,
                };
                for (page, body) in read {
                    batch.contents.extend(body.map(|body| (page.hash, body)));
                    batch.pages.push(page);
                }
                to.pages().put(&batch).await?;
                if done {
                    break;
                }
            }
        }
    }
}
