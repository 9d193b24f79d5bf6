//! Runs JavaScript: QuickJS, inside the sandbox of this plugin. Code reaches the files
//! that the operator granted, and nothing else.

mod engine;
mod natives;
mod streams;

use aos_sdk::{Answer, ToolError, plugin, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use engine::Ending;

#[derive(Deserialize, JsonSchema)]
struct Execute {
    /// The program: one script, of one line or of many.
    code: String,
    /// What the code finds as `stdin`.
    #[serde(default)]
    stdin: String,
}

#[derive(Serialize, JsonSchema)]
struct Ran {
    stdout: String,
    stderr: String,
    /// Of the last statement, where JSON can say it; else null.
    #[schemars(with = "serde_json::Value")]
    value: Option<Box<RawValue>>,
    /// The same as text, where JSON cannot say it.
    value_text: Option<String>,
    exception: Option<Raised>,
}

#[derive(Serialize, JsonSchema)]
struct Raised {
    r#type: String,
    message: String,
    traceback: String,
}

/// Runs JavaScript and returns what it printed, the value of its last statement, and the exception
/// that ended it, with its traceback.
///
/// The language is ECMAScript 2025 as a script, without modules, timers and Intl. Besides it there
/// are console.log and console.error, the text stdin, and fs.readText(path),
/// fs.writeText(path, text), fs.list(path), fs.remove(path) for the files that the operator
/// granted. A promise as the last value is waited for. There is no network; calls inside calls are
/// bounded at some 800. Every call begins anew.
#[tool(title = "Run JavaScript")]
fn execute(arguments: Execute) -> Result<Answer<Ran>, ToolError> {
    let engine::Ran { stdout, stderr, ending } =
        engine::run(&arguments.code, &arguments.stdin).map_err(ToolError::failed)?;
    let mut ran = Ran { stdout, stderr, value: None, value_text: None, exception: None };
    match ending {
        Ending::Nothing => {}
        Ending::Value(value) => ran.value = Some(value),
        Ending::Shown(text) => ran.value_text = Some(text),
        Ending::Raised { kind, message, traceback } => {
            ran.exception = Some(Raised { r#type: kind, message, traceback });
        }
    }
    let parts = [
        Some(ran.stdout.as_str()),
        Some(&ran.stderr),
        ran.value.as_ref().map(|value| value.get()),
        ran.value_text.as_deref(),
        ran.exception.as_ref().map(|raised| raised.traceback.as_str()),
    ];
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    let text: Vec<_> = parts.map(|part| part.strip_suffix('\n').unwrap_or(part)).collect();
    Ok(Answer::new(text.join("\n"), ran))
}

plugin!(execute);

#[cfg(test)]
mod tests;
