//! The context and checkpoints.

use crate::bindings::aos::agent::context::{self, PageKind};
use crate::bindings::aos::agent::process;
use crate::bindings::aos::agent::types::{Part, ToolResult};
use crate::bindings::aos::tool::types::{Content, Output};
use crate::{Outcome, number, size};

pub fn run(what: &str, arguments: &[&str]) -> Outcome {
    Some(Ok(match (what, arguments) {
        ("append", [bytes, count]) => append(size(bytes), number(count)),
        ("result-without-call", []) => {
            let outcome = Ok(Output { content: Vec::new(), structured: None });
            let result = ToolResult { call_id: "none".to_owned(), outcome };
            told(page(PageKind::ToolResult, Part::ToolResult(result)))
        }
        ("system-late", []) => {
            let first = told(page(PageKind::User, text(1)));
            let turn = crate::mind::run("count", &["1"], "1");
            format!("{first}\n{turn:?}\n{}", told(page(PageKind::System, text(1))))
        }
        ("free-twice", []) => match page(PageKind::Note, text(1)) {
            Ok(id) => {
                let freed = [context::free(id), context::free(id), context::free(u64::MAX)];
                format!("{freed:?}\n{:?}", context::read(id))
            }
            Err(error) => format!("{error:?}"),
        },
        ("checkpoint", [label, bytes]) => {
            let state = vec![7; size(bytes)];
            format!("{:?}", process::checkpoint(label, Some(&state)))
        }
        _ => return None,
    }))
}

fn text(bytes: usize) -> Part {
    Part::Content(Content::Text("t".repeat(bytes)))
}

fn page(kind: PageKind, part: Part) -> Result<u64, context::Error> {
    context::append(kind, &[part], 0.5, None)
}

fn told(page: Result<u64, context::Error>) -> String {
    page.map_or_else(|error| format!("{error:?}"), |_| "appended".to_owned())
}

fn append(bytes: usize, count: u64) -> String {
    for appended in 0..count {
        if let Err(error) = page(PageKind::Note, text(bytes)) {
            return format!("{appended} pages, then {error:?}");
        }
    }
    format!("{count} pages")
}
