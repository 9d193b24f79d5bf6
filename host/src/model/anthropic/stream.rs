//! A streamed message: `message_start`, blocks by index, `message_delta`, `message_stop`.
//!
//! A second `message_start` with another id means that the service began anew: what came before is
//! void. With the same id it is a repeat, and blocks that begin again replace what they were.

use super::super::completion::{Delta, Stop};
use super::super::reply::{Counted, Draft, PIECES_MAX, Progress, StreamFault, provider_error};
use super::super::request::Part;
use serde_json::{Map, Value, json};

/// A reply as it grows.
#[derive(Debug, Default)]
pub struct Stream {
    id: Option<String>,
    model: String,
    blocks: Vec<Option<Block>>,
    stop: Option<Stop>,
    counted: Option<Counted>,
}

#[derive(Debug)]
enum Block {
    Text(String),
    Tool {
        id: String,
        name: String,
        json: String,
        given: Value,
    },
    Thinking {
        text: String,
        signature: String,
    },
    /// Anything else is the provider's own and goes back as it came; a call of one of its own tools
    /// gets its arguments in fragments.
    Own {
        block: Value,
        json: String,
    },
}

impl Stream {
    /// Takes one event's data. Fails when it is no event of this format, or says that it failed.
    pub fn event(
        &mut self,
        data: &str,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<Progress, StreamFault> {
        let event: Value = serde_json::from_str(data)
            .map_err(|error| StreamFault::broken(format!("an event is not JSON ({error})")))?;
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap_or("") {
            "message_start" => self.begin(&event["message"], sink),
            "content_block_start" => self.begin_block(index, &event["content_block"], sink)?,
            "content_block_delta" => self.grow(index, &event["delta"], sink)?,
            "message_delta" => self.end(&event, sink),
            "message_stop" => return Ok(Progress::Done),
            "error" => {
                let (kind, message) = provider_error(&event["error"]);
                return Err(StreamFault::Provider { kind, message });
            }
            // Pings, the ends of blocks, and what later versions of the format add: its rule is
            // that unknown events are passed over.
            _ if event["type"].is_string() => {}
            _ => return Err(StreamFault::broken("an event has no type")),
        }
        Ok(Progress::More)
    }

    /// Whether the reply is whole, even if the stream says no more.
    pub fn is_whole(&self) -> bool {
        self.stop.is_some()
    }

    /// The reply, when it is whole.
    pub fn finish(self) -> Result<Draft, StreamFault> {
        let stop = self.stop.ok_or_else(|| StreamFault::broken("it ended before the reply did"))?;
        let parts = self.blocks.into_iter().flatten().filter_map(Block::into_part).collect();
        Ok(Draft { model: self.model, parts, stop, counted: self.counted })
    }

    fn begin(&mut self, message: &Value, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        let id = message["id"].as_str().map(str::to_owned);
        if self.id.is_none() || self.id != id {
            *self = Self { id, ..Self::default() };
            self.model = message["model"].as_str().unwrap_or("").to_owned();
            sink(Delta::Started);
        }
        self.count(&message["usage"], sink);
    }

    fn begin_block(
        &mut self,
        index: Option<u64>,
        block: &Value,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<(), StreamFault> {
        let text = |key: &str| block[key].as_str().unwrap_or("").to_owned();
        let begun = match block["type"].as_str() {
            Some("text") => Block::Text(text("text")),
            Some("tool_use") => Block::Tool {
                id: text("id"),
                name: text("name"),
                json: String::new(),
                given: block["input"].clone(),
            },
            Some("thinking") => {
                Block::Thinking { text: text("thinking"), signature: text("signature") }
            }
            Some(_) => Block::Own { block: block.clone(), json: String::new() },
            None => return Err(StreamFault::broken("a block has no type")),
        };
        match &begun {
            Block::Text(text) if !text.is_empty() => sink(Delta::Text(text)),
            Block::Tool { id, name, .. } => sink(Delta::ToolCall { id, name }),
            Block::Thinking { text, .. } if !text.is_empty() => sink(Delta::Reasoning(text)),
            Block::Text(_) | Block::Thinking { .. } | Block::Own { .. } => {}
        }
        *self.place(index)? = Some(begun);
        Ok(())
    }

    fn grow(
        &mut self,
        index: Option<u64>,
        delta: &Value,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<(), StreamFault> {
        let Some(block) = self.place(index)? else {
            return Err(StreamFault::broken("a block grows that never began"));
        };
        let text = |key: &str| delta[key].as_str().unwrap_or("");
        match (delta["type"].as_str().unwrap_or(""), block) {
            ("text_delta", Block::Text(whole)) => {
                whole.push_str(text("text"));
                sink(Delta::Text(text("text")));
            }
            ("input_json_delta", Block::Tool { id, json, .. }) => {
                json.push_str(text("partial_json"));
                sink(Delta::Arguments { id, fragment: text("partial_json") });
            }
            ("input_json_delta", Block::Own { json, .. }) => json.push_str(text("partial_json")),
            ("thinking_delta", Block::Thinking { text: whole, .. }) => {
                whole.push_str(text("thinking"));
                sink(Delta::Reasoning(text("thinking")));
            }
            ("signature_delta", Block::Thinking { signature, .. }) => {
                signature.push_str(text("signature"));
            }
            // Citations, and what later versions add to a block: nothing that must go back.
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, event: &Value, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        self.count(&event["usage"], sink);
        let delta = &event["delta"];
        let Some(reason) = delta["stop_reason"].as_str() else { return };
        self.stop = Some(match reason {
            "end_turn" => Stop::EndTurn,
            "tool_use" => Stop::ToolUse,
            // The window is full: the reply is as torn as at its own maximum.
            "max_tokens" | "model_context_window_exceeded" => Stop::MaxOutput,
            "stop_sequence" => {
                Stop::StopSequence(delta["stop_sequence"].as_str().unwrap_or("").to_owned())
            }
            "refusal" => {
                let details = &delta["stop_details"];
                let words = details["explanation"].as_str().or(details["category"].as_str());
                Stop::Refusal(words.unwrap_or("").to_owned())
            }
            other => Stop::Other(other.to_owned()),
        });
    }

    /// Usage is cumulative: what an event does not name keeps its value.
    fn count(&mut self, usage: &Value, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        let Some(usage) = usage.as_object() else { return };
        let mut counted = self.counted.unwrap_or_default();
        let set = |key: &str, place: &mut u64| {
            if let Some(tokens) = usage.get(key).and_then(Value::as_u64) {
                *place = tokens;
            }
        };
        set("input_tokens", &mut counted.input);
        set("output_tokens", &mut counted.output);
        set("cache_read_input_tokens", &mut counted.cache_read);
        set("cache_creation_input_tokens", &mut counted.cache_write);
        let details = usage.get("output_tokens_details");
        if let Some(tokens) = details.and_then(|d| d["thinking_tokens"].as_u64()) {
            counted.reasoning = tokens;
        }
        self.counted = Some(counted);
        sink(Delta::Usage(counted.usage()));
    }

    fn place(&mut self, index: Option<u64>) -> Result<&mut Option<Block>, StreamFault> {
        let index = index.and_then(|index| usize::try_from(index).ok());
        let Some(index) = index.filter(|index| *index < PIECES_MAX) else {
            return Err(StreamFault::broken(format!("a block's index is not 0 to {PIECES_MAX}")));
        };
        if self.blocks.len() <= index {
            self.blocks.resize_with(index + 1, || None);
        }
        Ok(&mut self.blocks[index])
    }
}

impl Block {
    fn into_part(self) -> Option<Part> {
        match self {
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => Some(Part::text(text)),
            Self::Tool { id, name, json, given } => {
                let arguments = match json.as_str() {
                    "" if given.is_object() => given.to_string(),
                    "" => "{}".to_owned(),
                    _ => json,
                };
                Some(Part::ToolCall { id, name, arguments })
            }
            Self::Thinking { text, signature } => {
                let block = json!({"type": "thinking", "thinking": text, "signature": signature});
                Some(Part::Reasoning { text, opaque: block.to_string().into_bytes() })
            }
            Self::Own { block, json } => Some(own_part(block, &json)),
        }
    }
}

fn own_part(mut block: Value, json: &str) -> Part {
    if let (Some(fields), Ok(input)) =
        (block.as_object_mut(), serde_json::from_str::<Map<String, Value>>(json))
    {
        fields.insert("input".to_owned(), Value::Object(input));
    }
    Part::Reasoning { text: String::new(), opaque: block.to_string().into_bytes() }
}
