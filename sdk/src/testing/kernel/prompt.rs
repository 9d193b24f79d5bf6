//! What a model is asked, and who answers.

use crate::agent::{Part, part_text};
use crate::context::PageKind;
use crate::model::{self, Options};
use crate::process::Pid;
use crate::testing::Turn;

/// What a model is asked: the context of a process, or the messages that it sent apart from it.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Who asks.
    pub pid: Pid,
    /// Its name.
    pub process: String,
    /// What the model reads, in order.
    pub pages: Vec<(PageKind, Vec<Part>)>,
    /// How it is asked.
    pub options: Options,
    /// Names of the tools that it is offered.
    pub tools: Vec<String>,
}

impl Prompt {
    /// The text of the last page: what was said, or what came of the last tool call.
    #[must_use]
    pub fn last_text(&self) -> String {
        self.pages.last().map(|(_, parts)| text(parts)).unwrap_or_default()
    }

    /// The text of the last tool result, output or error; empty where there is none.
    #[must_use]
    pub fn last_result(&self) -> String {
        let results = self.pages.iter().rev().find(|(kind, _)| *kind == PageKind::ToolResult);
        results.map(|(_, parts)| text(parts)).unwrap_or_default()
    }

    /// The text of the last page that is no tool's: what the model was told last.
    #[must_use]
    pub fn last_said(&self) -> String {
        let said = |kind: PageKind| matches!(kind, PageKind::Task | PageKind::User);
        let last = self.pages.iter().rev().find(|(kind, _)| said(*kind));
        last.map(|(_, parts)| text(parts)).unwrap_or_default()
    }

    /// Everything that the model reads, as text, a page a paragraph.
    #[must_use]
    pub fn text(&self) -> String {
        let pages: Vec<String> = self.pages.iter().map(|(_, parts)| text(parts)).collect();
        pages.join("\n\n")
    }
}

/// Text and tool results as a model would read them.
pub(super) fn text(parts: &[Part]) -> String {
    let said = part_text(parts);
    let results = parts.iter().filter_map(|part| match part {
        Part::ToolResult(result) => Some(match &result.outcome {
            Ok(output) => output.to_text(),
            Err(error) => error.to_string(),
        }),
        Part::Content(_) | Part::Reasoning(_) | Part::ToolCall(_) => None,
    });
    let said = (!said.is_empty()).then_some(said);
    said.into_iter().chain(results).collect::<Vec<_>>().join("\n")
}

/// A model's stand-in: a [`Script`](crate::testing::Script), or a function of the prompt.
pub trait Model {
    /// What the model says to this.
    ///
    /// # Errors
    /// What the agent gets instead of a reply.
    fn answer(&mut self, prompt: &Prompt) -> Result<Turn, model::Error>;
}

impl<F: FnMut(&Prompt) -> Result<Turn, model::Error>> Model for F {
    fn answer(&mut self, prompt: &Prompt) -> Result<Turn, model::Error> {
        self(prompt)
    }
}
