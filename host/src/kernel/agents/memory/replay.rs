//! The memory that an agent had, made again from its questions and the answers that it got: no
//! recall ranks anew and no model is asked.

use super::Memory;
use crate::kernel::agents::record::Prompted;
use crate::pager::PageId;
use crate::sandbox::agent::{Answer, Ask};

impl Memory {
    /// Does to the pages what this question did.
    ///
    /// # Errors
    /// One sentence, where the pages come out otherwise than they did then.
    pub(in crate::kernel::agents) fn replay(
        &mut self,
        ask: Ask,
        answer: &Answer,
        prompted: Prompted,
    ) -> Result<(), String> {
        let differs = |what: String| Err(format!("its pages differ from its journal's: {what}"));
        match (ask, answer) {
            (Ask::Append(kind, parts, importance, label), Answer::Page(Ok(page))) => {
                match self.append(kind, parts, importance, label) {
                    Ok(now) if now == *page => {}
                    other => return differs(format!("page {page} is now {other:?}")),
                }
            }
            (Ask::Read(id), Answer::Parts(Ok(_))) => drop(self.read(id)),
            (Ask::Recall(..), Answer::Recalled(Ok(found))) => {
                for (page, _) in found {
                    // Freed since: it was not then.
                    let _touched = self.context.touch(PageId(page.id));
                }
            }
            (Ask::Pin(id, pinned), Answer::Changed(Ok(()))) => drop(self.pin(id, pinned)),
            (Ask::Free(id), Answer::Changed(Ok(()))) => drop(self.free(id)),
            (Ask::Step(_), Answer::Completion(completion)) => {
                if prompted != Prompted::No {
                    let _prompt = self.prompt();
                }
                if prompted == Prompted::Sent {
                    self.sent();
                }
                if let Ok(completion) = completion {
                    let pages = self.append_reply(&completion.parts);
                    if pages.as_ref().ok() != Some(&completion.pages) {
                        return differs(format!("a reply's {:?} are {pages:?}", completion.pages));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
