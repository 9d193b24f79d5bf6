//! A model's lines, written beforehand.

mod file;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::kernel::{Model, Prompt};
use crate::agent::{Part, Reasoning, ToolCall};
use crate::model::{Error, StopReason};
use crate::process::Pid;

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

    /// The same turn with what its templates ask for.
    fn filled(mut self, prompt: &Prompt, number: usize) -> Self {
        let values = [
            ("{{last_result}}", prompt.last_result()),
            ("{{last_user}}", prompt.last_said()),
            ("{{agent}}", prompt.process.clone()),
            ("{{turn}}", number.to_string()),
        ];
        for (name, value) in values {
            self.said = self.said.map(|text| text.replace(name, &value));
            // Inside a JSON string.
            let quoted = Value::String(value).to_string();
            let inside = &quoted[1..quoted.len() - 1];
            for (_, arguments) in &mut self.calls {
                *arguments = arguments.replace(name, inside);
            }
        }
        self
    }
}

/// One turn of a script, and who says it when.
struct Line {
    /// Processes of this name alone; none for all that have no turn of their own.
    process: Option<String>,
    expect: Option<String>,
    turn: Result<Turn, Error>,
}

/// A model that says its lines in order, to each process from the first on.
///
/// In texts and arguments `{{last_result}}` becomes the text of the last tool result,
/// `{{last_user}}` what was said last, `{{agent}}` the name of the process and `{{turn}}` the
/// number of the turn.
#[derive(Default)]
pub struct Script {
    lines: Vec<Line>,
    /// How many turns each process had.
    said: HashMap<Pid, usize>,
}

impl Script {
    /// A script without lines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a script file of the host (`--model script:FILE`), as far as a test can play it:
    /// `[[turn]]` with `agent`, `expect`, `delay_ms`, `reasoning`, `say`, `call`, `stop` and
    /// `repeat`. What it says of usage and windows is passed over.
    ///
    /// # Errors
    /// A sentence with line and column where it is none, or holds a fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        file::parse(text)
    }

    /// The same script with one turn more.
    #[must_use]
    pub fn turn(self, turn: Turn) -> Self {
        self.line(None, Ok(turn))
    }

    /// The same script with one turn more, which is said only where the last page holds `text`;
    /// otherwise the model is an error that says so.
    #[must_use]
    pub fn turn_after(self, text: &str, turn: Turn) -> Self {
        self.line(Some(text.to_owned()), Ok(turn))
    }

    /// The same script with one turn more in which the model gives an error.
    #[must_use]
    pub fn error(self, error: Error) -> Self {
        self.line(None, Err(error))
    }

    fn line(mut self, expect: Option<String>, turn: Result<Turn, Error>) -> Self {
        self.lines.push(Line { process: None, expect, turn });
        self
    }
}

impl Model for Script {
    fn answer(&mut self, prompt: &Prompt) -> Result<Turn, Error> {
        let own = Some(prompt.process.as_str());
        let has_own = self.lines.iter().any(|line| line.process.as_deref() == own);
        let whose = if has_own { own } else { None };
        let said = self.said.entry(prompt.pid).or_default();
        let mut lines = self.lines.iter().filter(|line| line.process.as_deref() == whose);
        let line = lines.nth(*said);
        *said += 1;
        let number = *said;
        let Some(line) = line else {
            let message = format!("the script has no turn {number} for {}", prompt.process);
            return Err(Error::InvalidRequest(message));
        };
        if let Some(expected) = &line.expect {
            let text = prompt.last_text();
            if !text.contains(expected) {
                let message = format!("turn {number} expects {expected:?}, not {text:?}");
                return Err(Error::InvalidRequest(message));
            }
        }
        line.turn.clone().map(|turn| turn.filled(prompt, number))
    }
}
