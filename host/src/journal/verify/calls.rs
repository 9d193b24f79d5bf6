//! Whether started calls have ended, and ended ones were started.

use crate::journal::RowKind;
use crate::storage::StoredRow;
use std::collections::HashSet;

/// How many calls of one chain may be under way at once before they are no longer paired; agents
/// have a few dozen.
const UNDER_WAY_MAX: usize = 100_000;

/// The calls of one chain that were accepted and have not ended.
#[derive(Debug, Default)]
pub(super) struct Calls {
    under_way: HashSet<Vec<u8>>,
    /// Too many were under way at once.
    over: bool,
    /// How many were accepted.
    pub(super) started: u64,
}

impl Calls {
    /// The next row; says what is wrong with it.
    pub(super) fn row(&mut self, row: &StoredRow) -> Option<String> {
        // Effects have the call's id too; they are no calls.
        if row.capability != "tool" || row.call.is_empty() {
            return None;
        }
        match RowKind::from_word(&row.kind)? {
            RowKind::Accepted => {
                self.started += 1;
                self.over |= self.under_way.len() >= UNDER_WAY_MAX;
                if !self.over {
                    self.under_way.insert(row.call.clone());
                }
                None
            }
            RowKind::Outcome | RowKind::Fault => {
                let known = self.under_way.remove(&row.call);
                // A call that was open where a chain was forked or recovered is told as cut.
                let cut = row.body.contains(r#""interrupted":true"#);
                let wrong = !(known || cut || self.over);
                wrong.then(|| "it ends a call that no row before it started".to_owned())
            }
            RowKind::Opened
            | RowKind::Verdict
            | RowKind::Asked
            | RowKind::Answered
            | RowKind::Noted
            | RowKind::Closed => None,
        }
    }

    /// How many have not ended.
    pub(super) fn unended(&self) -> u64 {
        self.under_way.len() as u64
    }
}
