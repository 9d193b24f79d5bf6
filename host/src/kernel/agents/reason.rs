//! Which reply of the model asked for a call: what an auditor reads beside the action.

use blake3::Hash;

use super::tools::arguments_of;
use crate::journal::Seq;
use crate::model::{Completion, Part};
use crate::sandbox::agent::types;

/// Characters of a reply's text that its row holds.
pub(super) const SAID_CHARS_MAX: usize = 500;

/// The calls that the newest reply of the model asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    row: u64,
    /// The name and the hash of the arguments of each.
    calls: Vec<(String, Hash)>,
}

impl Asked {
    /// Of a reply whose use stands in this row.
    pub(super) fn of(row: Seq, reply: &Completion) -> Self {
        let call = |part: &Part| match part {
            Part::ToolCall { name, arguments, .. } => {
                let arguments = arguments_of(arguments).ok()?;
                Some((name.clone(), hash(&arguments)))
            }
            Part::Content(_) | Part::Reasoning { .. } | Part::ToolResult { .. } => None,
        };
        Self { row: row.0, calls: reply.parts.iter().filter_map(call).collect() }
    }

    /// Of a reply that is played back.
    pub(super) fn again(row: u64, parts: &[types::Part]) -> Self {
        let call = |part: &types::Part| match part {
            types::Part::ToolCall(call) => {
                let arguments = arguments_of(&call.arguments).ok()?;
                Some((call.name.clone(), hash(&arguments)))
            }
            types::Part::Content(_) | types::Part::Reasoning(_) | types::Part::ToolResult(_) => {
                None
            }
        };
        Self { row, calls: parts.iter().filter_map(call).collect() }
    }

    /// The row that says what the reply used.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// The row of the reply, if it asked for just this; an agent's own idea has none.
    pub(super) fn row_of(&self, name: &str, arguments: &serde_json::Value) -> Option<u64> {
        let hash = hash(arguments);
        let is_it = |(asked, with): &(String, Hash)| asked == name && *with == hash;
        self.calls.iter().any(is_it).then_some(self.row)
    }
}

fn hash(arguments: &serde_json::Value) -> Hash {
    blake3::hash(arguments.to_string().as_bytes())
}
