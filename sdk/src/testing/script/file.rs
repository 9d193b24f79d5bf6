//! A script file of the host, read for a test.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Line, Script, Turn};
use crate::model::StopReason;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that the host knows and a test has no use for")]
struct Written {
    name: Option<String>,
    window_tokens: Option<u64>,
    output_tokens_max: Option<u32>,
    #[serde(default)]
    turn: Vec<WrittenTurn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys that the host knows and a test has no use for")]
struct WrittenTurn {
    agent: Option<String>,
    expect: Option<String>,
    #[serde(default)]
    delay_ms: u64,
    reasoning: Option<String>,
    say: Option<String>,
    #[serde(default)]
    call: Vec<WrittenCall>,
    stop: Option<Stop>,
    usage: Option<Value>,
    #[serde(default = "once")]
    repeat: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a key that the host knows and a test has no use for")]
struct WrittenCall {
    tool: String,
    /// A text is what the model writes, JSON or not.
    #[serde(default)]
    arguments: Value,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stop {
    EndTurn,
    ToolUse,
    MaxOutput,
    Refusal,
}

fn once() -> usize {
    1
}

pub(super) fn parse(text: &str) -> Result<Script, String> {
    /// Calls that one turn answers alike, at most: more than a test makes.
    const REPEAT_MAX: usize = 10_000;
    let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut script = Script::new();
    for turn in written.turn {
        for _ in 0..turn.repeat.min(REPEAT_MAX) {
            script.lines.push(turn.line());
        }
    }
    Ok(script)
}

impl WrittenTurn {
    fn line(&self) -> Line {
        let calls = self.call.iter().map(|call| {
            let arguments = match &call.arguments {
                Value::String(raw) => raw.clone(),
                Value::Null => "{}".to_owned(),
                other => other.to_string(),
            };
            (call.tool.clone(), arguments)
        });
        let turn = Turn {
            thoughts: self.reasoning.clone(),
            said: self.say.clone(),
            calls: calls.collect(),
            stop: self.stop.as_ref().map(Stop::reason),
            after: Duration::from_millis(self.delay_ms),
        };
        Line { process: self.agent.clone(), expect: self.expect.clone(), turn: Ok(turn) }
    }
}

impl Stop {
    fn reason(&self) -> StopReason {
        match self {
            Self::EndTurn => StopReason::EndTurn,
            Self::ToolUse => StopReason::ToolUse,
            Self::MaxOutput => StopReason::MaxOutput,
            Self::Refusal => StopReason::Refusal("scripted".to_owned()),
        }
    }
}
