//! A model that is a file: replies, tool calls, delays and faults, in order. For demos and tests;
//! its completions are named `script/NAME`, so nobody takes them for a real model's.
//!
//! Each agent has a place of its own in the script. The place is the number of calls that were
//! answered before: the caller's own count where it gives one (so a place survives a crash), else
//! one kept here. Nothing is random.

mod file;

use super::catalogue::ModelFacts;
use super::completion::{Completion, Delta, Stop, TokenUsage};
use super::endpoint::reply_tokens;
use super::error::ModelError;
use super::estimate;
use super::exchange::Timeouts;
use super::failure::{Asked, of_status};
use super::request::{Part, Request, Role};
use crate::types::Content;
use file::{Fault, File, Turn};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Agents whose places are kept at most; the oldest of more than these begin anew.
const AGENTS_MAX: usize = 100_000;
/// Bytes that one template puts into a reply at most.
const TEMPLATE_BYTES_MAX: usize = 16 << 10;

/// A script, read and checked.
#[derive(Debug)]
pub(super) struct Script {
    name: String,
    file: File,
    places: Mutex<HashMap<(String, u64), Place>>,
}

/// Where an agent is: the turns that it was answered, and the faults of the next one that it met.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    answered: u64,
    at: u64,
    faults: usize,
}

impl Script {
    /// Reads a script. Fails with one sentence that names the file and the line.
    pub(super) fn load(path: &Path) -> Result<Self, ModelError> {
        let file = File::read(path).map_err(|reason| ModelError::BadRequest {
            model: format!("script:{}", path.display()),
            reason,
        })?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = file.name().map(str::to_owned).or(stem).unwrap_or_default();
        Ok(Self { name: format!("script/{name}"), file, places: Mutex::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn facts(&self) -> ModelFacts {
        self.file.facts()
    }

    /// Plays one turn. Fails as the script says, and where it has no turn for this call.
    pub(super) async fn answer(
        &self,
        request: &Request,
        timeouts: &Timeouts,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<Completion, ModelError> {
        let refuse = |reason| ModelError::BadRequest { model: self.name.clone(), reason };
        let (turn, number, faults) = self.next(request).map_err(refuse)?;
        if let Some(expected) = &turn.expect {
            let last = last_text(request);
            if !last.contains(expected.as_str()) {
                let shown: String = last.chars().take(120).collect();
                return Err(refuse(format!(
                    "turn {} of the script expects `{expected}` in the last message, which is \
                     `{shown}`",
                    number + 1
                )));
            }
        }
        tokio::time::sleep(Duration::from_millis(turn.delay_ms)).await;
        if let Some(fault) = turn.faults.get(faults) {
            self.count(request, |place| place.faults += 1);
            return Err(self.fail(*fault, turn, timeouts, sink).await);
        }
        if !turn.answers() {
            return Err(refuse(format!("the script ends after turn {number}")));
        }
        let completion = self.play(turn, number, request, sink);
        self.count(request, |place| {
            *place = Place { answered: place.answered + 1, at: place.at + 1, faults: 0 };
        });
        Ok(completion)
    }

    /// The turn that is next, its number from 0, and how many of its faults were met.
    fn next(&self, request: &Request) -> Result<(&Turn, u64, usize), String> {
        let caller = &request.caller;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= AGENTS_MAX {
            places.clear();
        }
        let place = places.entry((caller.agent.clone(), caller.instance)).or_default();
        let number = caller.answered.unwrap_or(place.answered);
        if place.at != number {
            // The caller counts for itself, and this is another turn than the last one seen.
            place.at = number;
            place.faults = 0;
        }
        let met = place.faults;
        drop(places);
        let turn = self.file.turn(&caller.agent, number)?;
        Ok((turn, number, met))
    }

    fn count(&self, request: &Request, change: impl FnOnce(&mut Place)) {
        let key = (request.caller.agent.clone(), request.caller.instance);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        change(places.entry(key).or_default());
    }

    fn play(
        &self,
        turn: &Turn,
        number: u64,
        request: &Request,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Completion {
        let fill = |text: &str| filled(text, request, number);
        let mut parts = Vec::new();
        sink(Delta::Started);
        if let Some(text) = &turn.reasoning {
            let text = fill(text);
            sink(Delta::Reasoning(&text));
            parts.push(Part::Reasoning { text, opaque: Vec::new() });
        }
        if let Some(text) = &turn.say {
            let text = fill(text);
            text.split_inclusive(' ').for_each(|word| sink(Delta::Text(word)));
            parts.push(Part::text(text));
        }
        for (order, call) in turn.call.iter().enumerate() {
            let id =
                call.id.clone().unwrap_or_else(|| format!("call_{}_{}", number + 1, order + 1));
            let arguments = match &call.arguments {
                Value::String(raw) => fill(raw),
                other => filled_value(other, &fill).to_string(),
            };
            sink(Delta::ToolCall { id: &id, name: &call.tool });
            sink(Delta::Arguments { id: &id, fragment: &arguments });
            parts.push(Part::ToolCall { id, name: call.tool.clone(), arguments });
        }
        let stop = turn.stop(&parts);
        let usage = self.usage(turn, request, &parts);
        sink(Delta::Usage(usage));
        Completion { model: self.name.clone(), parts, stop, usage }
    }

    fn usage(&self, turn: &Turn, request: &Request, parts: &[Part]) -> TokenUsage {
        let set = turn.usage.unwrap_or_default();
        let mut usage = TokenUsage {
            input: set.input.unwrap_or_else(|| estimate::request_tokens(request)),
            output: set.output.unwrap_or_else(|| reply_tokens(parts)),
            reasoning: set.reasoning,
            cache_read: set.cache_read,
            cache_write: set.cache_write,
            cost_microdollars: None,
            estimated: set.input.is_none() || set.output.is_none(),
        };
        usage.cost_microdollars = self.file.facts().price(&usage);
        usage
    }

    async fn fail(
        &self,
        fault: Fault,
        turn: &Turn,
        timeouts: &Timeouts,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> ModelError {
        let model = self.name.clone();
        let broken = |reason: &str| ModelError::BrokenStream {
            model: self.name.clone(),
            reason: reason.to_owned(),
        };
        match fault {
            Fault::Hang => {
                tokio::time::sleep(timeouts.idle).await;
                ModelError::TimedOut { model, what: "send more", after: timeouts.idle }
            }
            Fault::Reset => {
                sink(Delta::Started);
                let said = turn.say.as_deref().unwrap_or("");
                let half = said.chars().count() / 2;
                sink(Delta::Text(&said.chars().take(half).collect::<String>()));
                broken("the connection was reset (scripted)")
            }
            Fault::Garbage => broken("an event is not JSON (scripted)"),
            Fault::Status(status) => {
                let asked = Asked { model: &self.name, key_variable: None, key: None };
                let mut headers = http::HeaderMap::new();
                if let Some(ms) = turn.retry_after_ms {
                    headers.insert("retry-after-ms", http::HeaderValue::from(ms));
                }
                let body = br#"{"error":{"message":"scripted"}}"#;
                of_status(&asked, status, &headers, body, SystemTime::UNIX_EPOCH).error
            }
        }
    }
}

/// The text of the last message: what a user said, or what a tool answered.
fn last_text(request: &Request) -> String {
    let last = request.messages.iter().rfind(|message| message.role == Role::User);
    let parts = last.map(|message| message.parts.as_slice()).unwrap_or_default();
    parts.iter().map(part_text).collect::<Vec<_>>().join("\n")
}

fn part_text(part: &Part) -> String {
    match part {
        Part::Content(content) => content_text(std::slice::from_ref(content)),
        Part::ToolResult { content, .. } => content_text(content),
        Part::Reasoning { .. } | Part::ToolCall { .. } => String::new(),
    }
}

fn content_text(content: &[Content]) -> String {
    let texts = content.iter().map(super::encode::describe);
    texts.collect::<Vec<_>>().join("\n")
}

/// The text of the last piece for which `wanted` holds.
fn last_part(request: &Request, wanted: impl Fn(&Part) -> bool) -> String {
    let users = request.messages.iter().filter(|message| message.role == Role::User);
    let mut parts = users.flat_map(|message| &message.parts);
    let last = parts.rfind(|part| wanted(part)).map(part_text).unwrap_or_default();
    let mut end = TEMPLATE_BYTES_MAX.min(last.len());
    while !last.is_char_boundary(end) {
        end -= 1;
    }
    last[..end].to_owned()
}

/// Puts in what a template asks for. What is put in is not looked at again.
fn filled(text: &str, request: &Request, number: u64) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let value = after.split_once("}}").and_then(|(name, after)| {
            let value = match name.trim() {
                "last_result" => last_part(request, |p| matches!(p, Part::ToolResult { .. })),
                "last_user" => last_part(request, |p| matches!(p, Part::Content(_))),
                "agent" => request.caller.agent.clone(),
                "turn" => (number + 1).to_string(),
                _ => return None,
            };
            Some((value, after))
        });
        match value {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The same in every text of a JSON value.
fn filled_value(value: &Value, fill: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text)),
        Value::Array(items) => items.iter().map(|item| filled_value(item, fill)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, item)| (key.clone(), filled_value(item, fill)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

impl Turn {
    fn stop(&self, parts: &[Part]) -> Stop {
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        match &self.stop {
            Some(stop) => stop.clone().into(),
            None if calls => Stop::ToolUse,
            None => Stop::EndTurn,
        }
    }
}
