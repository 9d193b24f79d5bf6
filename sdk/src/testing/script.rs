//! A model's lines, written beforehand.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::kernel::{Model, Prompt};
use crate::agent::{Part, Reasoning, ToolCall};
use crate::model::{Error, StopReason};

/// What stands for the text of the last tool result.
const LAST_RESULT: &str = "{{last_result}}";

/// One reply of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    thoughts: Option<String>,
    said: Option<String>,
    /// Names and arguments.
    calls: Vec<(String, String)>,
    stop: Option<StopReason>,
    /// How long the model takes, in virtual time.
    pub(super) after: Duration,
}

impl Turn {
    /// Says this text, and ends the turn.
    pub fn say(text: impl Into<String>) -> Self {
        Self { said: Some(text.into()), ..Self::default() }
    }

    /// Calls a tool, named as `plugin__tool`.
    #[expect(clippy::needless_pass_by_value, reason = "so that json!(…) can stand in the call")]
    #[must_use]
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::default().and_call(name, &arguments.to_string())
    }

    /// Calls one tool more in the same turn; `arguments` is text, so that it may also be none of
    /// JSON.
    #[must_use]
    pub fn and_call(mut self, name: &str, arguments: &str) -> Self {
        self.calls.push((name.to_owned(), arguments.to_owned()));
        self
    }

    /// Thinks this before it speaks.
    #[must_use]
    pub fn thinking(mut self, thoughts: &str) -> Self {
        self.thoughts = Some(thoughts.to_owned());
        self
    }

    /// Stops for this reason, whatever the reply is.
    #[must_use]
    pub fn stopped_by(mut self, stop: StopReason) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Takes so long, in virtual time.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// The reply, its calls numbered by `id`, and why it stopped where the turn says so.
    pub(super) fn into_parts(
        self,
        mut id: impl FnMut() -> String,
    ) -> (Vec<Part>, Option<StopReason>) {
        let thoughts = self.thoughts.map(|text| {
            let opaque = text.clone().into_bytes();
            Part::Reasoning(Reasoning { text, opaque })
        });
        let said = self.said.filter(|text| !text.is_empty()).map(Part::text);
        let calls = self
            .calls
            .into_iter()
            .map(|(name, arguments)| Part::ToolCall(ToolCall { id: id(), name, arguments }));
        (thoughts.into_iter().chain(said).chain(calls).collect(), self.stop)
    }

    /// The same turn with the last tool result where it is named.
    fn filled(mut self, prompt: &Prompt) -> Self {
        let result = prompt.last_result();
        self.said = self.said.map(|text| text.replace(LAST_RESULT, &result));
        // Inside a JSON string.
        let quoted = Value::String(result).to_string();
        let inside = &quoted[1..quoted.len() - 1];
        for (_, arguments) in &mut self.calls {
            *arguments = arguments.replace(LAST_RESULT, inside);
        }
        self
    }
}

struct Line {
    expect: Option<String>,
    turn: Result<Turn, Error>,
}

/// A model that says its lines in order. `{{last_result}}` in a text or in arguments becomes the
/// text of the last tool result.
#[derive(Default)]
pub struct Script {
    said: usize,
    lines: VecDeque<Line>,
}

impl Script {
    /// A script without lines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same script with one turn more.
    #[must_use]
    pub fn turn(mut self, turn: Turn) -> Self {
        self.lines.push_back(Line { expect: None, turn: Ok(turn) });
        self
    }

    /// The same script with one turn more, which is said only where the last page holds `text`;
    /// otherwise the model is an error that says so.
    #[must_use]
    pub fn turn_after(mut self, text: &str, turn: Turn) -> Self {
        self.lines.push_back(Line { expect: Some(text.to_owned()), turn: Ok(turn) });
        self
    }

    /// The same script with one turn more in which the model gives an error.
    #[must_use]
    pub fn error(mut self, error: Error) -> Self {
        self.lines.push_back(Line { expect: None, turn: Err(error) });
        self
    }
}

impl Model for Script {
    fn answer(&mut self, prompt: &Prompt) -> Result<Turn, Error> {
        self.said += 1;
        let number = self.said;
        let Some(line) = self.lines.pop_front() else {
            let message = format!("the script has no turn {number}");
            return Err(Error::InvalidRequest(message));
        };
        if let Some(expected) = &line.expect {
            let text = prompt.last_text();
            if !text.contains(expected) {
                let message = format!("turn {number} expects {expected:?}, not {text:?}");
                return Err(Error::InvalidRequest(message));
            }
        }
        line.turn.map(|turn| turn.filled(prompt))
    }
}
