//! A streamed completion: chunks with `choices[0].delta`, a `finish_reason`, a chunk of usage, and
//! `[DONE]`, which some services never send.

use super::super::completion::{Delta, Stop};
use super::super::reply::{Counted, Draft, PIECES_MAX, Progress, StreamFault, provider_error};
use super::super::request::Part;
use serde_json::{Map, Value, json};

/// A reply as it grows.
#[derive(Debug, Default)]
pub struct Stream {
    begun: bool,
    model: String,
    text: String,
    refusal: String,
    reasoning: String,
    /// `reasoning_content` or `reasoning`: the name goes back with the text.
    reasoning_field: Option<&'static str>,
    reasoning_details: Vec<Value>,
    calls: Vec<Call>,
    finish: Option<String>,
    counted: Option<Counted>,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    announced: bool,
}

impl Stream {
    /// Takes one event's data. Fails when it is no chunk, or says that the call failed.
    pub fn event(
        &mut self,
        data: &str,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<Progress, StreamFault> {
        if data.trim() == "[DONE]" {
            return Ok(Progress::Done);
        }
        let chunk: Value = serde_json::from_str(data)
            .map_err(|error| StreamFault::broken(format!("an event is not JSON ({error})")))?;
        if !chunk.is_object() {
            return Err(StreamFault::broken("an event is not a JSON object"));
        }
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let (kind, message) = provider_error(error);
            return Err(StreamFault::Provider { kind, message });
        }
        if chunk["object"] == "error" {
            let (kind, message) = provider_error(&chunk);
            return Err(StreamFault::Provider { kind, message });
        }
        self.chunk(&chunk, sink)?;
        Ok(Progress::More)
    }

    /// Whether the reply is whole, even if the stream says no more.
    pub fn is_whole(&self) -> bool {
        self.finish.is_some()
    }

    /// The reply, when it is whole.
    pub fn finish(self) -> Result<Draft, StreamFault> {
        let Some(reason) = self.finish else {
            return Err(StreamFault::broken("it ended before the reply did"));
        };
        let refused = !self.refusal.is_empty();
        let stop = match reason.as_str() {
            _ if refused => Stop::Refusal(self.refusal.clone()),
            "content_filter" => Stop::Refusal("the provider's content filter".to_owned()),
            "length" => Stop::MaxOutput,
            // Some services say `stop` after a tool call.
            "stop" | "tool_calls" | "function_call" if !self.calls.is_empty() => Stop::ToolUse,
            "stop" | "tool_calls" | "function_call" | "eos" => Stop::EndTurn,
            other => Stop::Other(other.to_owned()),
        };
        let mut parts = Vec::new();
        parts.extend(reasoning_part(self.reasoning, self.reasoning_field, self.reasoning_details));
        let said = if self.text.is_empty() { self.refusal } else { self.text };
        if !said.is_empty() {
            parts.push(Part::text(said));
        }
        let calls = self.calls.into_iter().filter(|call| call.announced);
        parts.extend(calls.map(|call| Part::ToolCall {
            id: call.id,
            name: call.name,
            arguments: if call.arguments.is_empty() { "{}".to_owned() } else { call.arguments },
        }));
        Ok(Draft { model: self.model, parts, stop, counted: self.counted })
    }

    fn chunk(
        &mut self,
        chunk: &Value,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<(), StreamFault> {
        if let Some(model) = chunk["model"].as_str().filter(|model| !model.is_empty()) {
            model.clone_into(&mut self.model);
        }
        // Where the usage is: at the top, or as Groq and Kimi have it.
        for usage in [&chunk["usage"], &chunk["x_groq"]["usage"], &chunk["choices"][0]["usage"]] {
            if usage.is_object() {
                let counted = count(usage);
                self.counted = Some(counted);
                sink(Delta::Usage(counted.usage()));
            }
        }
        // Chunks without choices carry usage, or the filter's verdict on the prompt.
        let Some(choice) = chunk["choices"].get(0) else { return Ok(()) };
        if !std::mem::replace(&mut self.begun, true) {
            sink(Delta::Started);
        }
        let delta = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        self.say(delta, sink);
        self.think(delta, sink)?;
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call, sink)?;
        }
        if let Some(reason) = choice["finish_reason"].as_str().filter(|r| !r.is_empty()) {
            self.finish = Some(reason.to_owned());
        }
        Ok(())
    }

    fn say(&mut self, delta: &Value, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        let pieces = match &delta["content"] {
            Value::Array(pieces) => pieces.iter().filter_map(|p| p["text"].as_str()).collect(),
            other => other.as_str().into_iter().collect::<Vec<_>>(),
        };
        for text in pieces.into_iter().filter(|text| !text.is_empty()) {
            self.text.push_str(text);
            sink(Delta::Text(text));
        }
        if let Some(text) = delta["refusal"].as_str() {
            self.refusal.push_str(text);
        }
    }

    fn think(
        &mut self,
        delta: &Value,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<(), StreamFault> {
        for field in ["reasoning_content", "reasoning"] {
            let Some(text) = delta[field].as_str().filter(|text| !text.is_empty()) else {
                continue;
            };
            self.reasoning_field = Some(field);
            self.reasoning.push_str(text);
            sink(Delta::Reasoning(text));
            // vLLM sends the same text under both names.
            break;
        }
        for detail in delta["reasoning_details"].as_array().into_iter().flatten() {
            if !join_detail(&mut self.reasoning_details, detail) {
                if self.reasoning_details.len() == PIECES_MAX {
                    return Err(StreamFault::broken("too many pieces of reasoning"));
                }
                self.reasoning_details.push(detail.clone());
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        fragment: &Value,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<(), StreamFault> {
        let place = self.place(fragment)?;
        let call = &mut self.calls[place];
        let function = &fragment["function"];
        if call.name.is_empty()
            && let Some(name) = function["name"].as_str()
        {
            name.clone_into(&mut call.name);
        }
        if !call.announced && !call.name.is_empty() {
            if call.id.is_empty() {
                call.id = format!("call_{}", uuid::Uuid::now_v7().simple());
            }
            call.announced = true;
            sink(Delta::ToolCall { id: &call.id, name: &call.name });
        }
        let arguments = match &function["arguments"] {
            Value::String(text) => text.clone(),
            Value::Object(object) => Value::Object(object.clone()).to_string(),
            _ => return Ok(()),
        };
        call.arguments.push_str(&arguments);
        if call.announced && !arguments.is_empty() {
            sink(Delta::Arguments { id: &call.id, fragment: &arguments });
        }
        Ok(())
    }

    /// Which call a fragment is of: by its index; but a new id under an old index is a new call,
    /// and a fragment with neither belongs to the last.
    fn place(&mut self, fragment: &Value) -> Result<usize, StreamFault> {
        let index = fragment["index"].as_u64();
        let id = fragment["id"].as_str().unwrap_or("");
        let same = |call: &Call| id.is_empty() || call.id.is_empty() || call.id == id;
        let found = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|call| call.id == id),
        };
        if let Some(place) = found.filter(|place| same(&self.calls[*place])) {
            return Ok(place);
        }
        if self.calls.len() == PIECES_MAX {
            return Err(StreamFault::broken("too many tool calls"));
        }
        self.calls.push(Call { index, id: id.to_owned(), ..Call::default() });
        Ok(self.calls.len() - 1)
    }
}

/// Adds a fragment of OpenRouter's `reasoning_details` to the one it continues; false where it is
/// a new one.
fn join_detail(details: &mut [Value], fragment: &Value) -> bool {
    let Some(last) = details.last_mut() else { return false };
    if last["type"] != fragment["type"] || last["index"] != fragment["index"] {
        return false;
    }
    let (Some(last), Some(fragment)) = (last.as_object_mut(), fragment.as_object()) else {
        return false;
    };
    for (key, value) in fragment {
        match (last.get_mut(key), value) {
            (Some(Value::String(whole)), Value::String(more))
                if matches!(key.as_str(), "text" | "data" | "summary") =>
            {
                whole.push_str(more);
            }
            (_, Value::Null) => {}
            _ => {
                last.insert(key.clone(), value.clone());
            }
        }
    }
    true
}

fn reasoning_part(text: String, field: Option<&str>, details: Vec<Value>) -> Option<Part> {
    let mut back = Map::new();
    if let Some(field) = field {
        back.insert(field.to_owned(), json!(text));
    }
    if !details.is_empty() {
        back.insert("reasoning_details".to_owned(), Value::Array(details));
    }
    let opaque = Value::Object(back);
    let empty = opaque.as_object().is_none_or(Map::is_empty);
    (!empty).then(|| Part::Reasoning { text, opaque: opaque.to_string().into_bytes() })
}

/// xAI counts cost in ten-billionths of a US dollar (its recorded streams: 1,497,500 ticks where
/// the price list gives 149.75 millionths).
const TICKS_PER_MICRODOLLAR: u64 = 10_000;

fn count(usage: &Value) -> Counted {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let prompt = number(&usage["prompt_tokens"]);
    let details = &usage["prompt_tokens_details"];
    // DeepSeek and Kimi name the cached part elsewhere.
    let cached =
        [&details["cached_tokens"], &usage["prompt_cache_hit_tokens"], &usage["cached_tokens"]];
    let cache_read = cached.into_iter().map(number).max().unwrap_or(0).min(prompt);
    let written = [&details["cache_write_tokens"], &details["cache_creation_input_tokens"]];
    let cache_write =
        written.into_iter().map(number).max().unwrap_or(0).min(prompt.saturating_sub(cache_read));
    let completion = number(&usage["completion_tokens"]);
    let reasoning = number(&usage["completion_tokens_details"]["reasoning_tokens"]);
    // xAI leaves reasoning out of the completion's tokens; its total tells.
    let apart = reasoning > 0
        && usage["total_tokens"].as_u64()
            == prompt.checked_add(completion).and_then(|sum| sum.checked_add(reasoning));
    let output = if apart { completion.saturating_add(reasoning) } else { completion };
    let ticks = usage["cost_in_usd_ticks"].as_u64().map(|t| t / TICKS_PER_MICRODOLLAR);
    Counted {
        input: prompt.saturating_sub(cache_read).saturating_sub(cache_write),
        output,
        reasoning: reasoning.min(output),
        cache_read,
        cache_write,
        cost_microdollars: usage["cost"].as_f64().and_then(microdollars).or(ticks),
    }
}

fn microdollars(dollars: f64) -> Option<u64> {
    let micro = dollars * 1e6;
    // No single call costs a million dollars: what is above is no price.
    let plausible = micro.is_finite() && (0.0..1e12).contains(&micro);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be between 0 and 10^12"
    )]
    plausible.then(|| micro.round() as u64)
}
