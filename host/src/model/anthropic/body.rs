//! A request as Messages JSON.

use super::super::catalogue::{ModelFacts, ThinkingStyle};
use super::super::encode::{self, Refused, base64_of, describe, effort, extra};
use super::super::request::{Breakpoint, Message, Part, Request, Role, ToolChoice};
use crate::types::{Blob, Content};
use serde_json::{Map, Value, json};

/// Cache breakpoints in one request at most (the format's bound).
const BREAKPOINTS_MAX: usize = 4;
/// The least reasoning budget that the format takes, in tokens.
const BUDGET_TOKENS_MIN: u32 = 1024;

/// The request's JSON for one model. Fails where the model cannot do what is asked.
pub fn body(model: &str, facts: &ModelFacts, request: &Request) -> Result<Value, Refused> {
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("max_tokens".into(), json!(encode::output_tokens_max(request, facts)));
    let skipped = request.cache_breakpoints.len().saturating_sub(BREAKPOINTS_MAX);
    let marks = &request.cache_breakpoints[skipped..];
    if !request.system.is_empty() {
        let mut block = json!({"type": "text", "text": request.system});
        if marks.contains(&Breakpoint::System) {
            mark(&mut block);
        }
        body.insert("system".into(), json!([block]));
    }
    body.insert("messages".into(), Value::Array(messages(request, marks)?));
    tools(request, facts, marks, &mut body)?;
    thinking(request, facts, &mut body)?;
    if let Some(schema) = &request.response_schema {
        let format = json!({"type": "json_schema", "schema": schema});
        config(&mut body).insert("format".into(), format);
    }
    if !request.stop_sequences.is_empty() {
        body.insert("stop_sequences".into(), json!(request.stop_sequences));
    }
    let thinks = body.get("thinking").is_some_and(|thinking| thinking["type"] != "disabled");
    if let Some(temperature) = request.temperature
        && facts.quirks.sampling
        && !thinks
    {
        body.insert("temperature".into(), encode::temperature(temperature)?);
    }
    body.insert("stream".into(), json!(true));
    extra(request, &mut body)?;
    Ok(Value::Object(body))
}

/// The conversation: roles alternate, results come first in their message, nothing is empty.
fn messages(request: &Request, marks: &[Breakpoint]) -> Result<Vec<Value>, Refused> {
    let mut joined: Vec<(Role, Vec<Value>)> = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        let mut blocks = blocks(message)?;
        if marks.contains(&Breakpoint::Message(index)) {
            // Reasoning cannot carry the mark.
            let can = |block: &&mut Value| {
                !matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
            };
            if let Some(last) = blocks.iter_mut().rfind(can) {
                mark(last);
            }
        }
        match joined.last_mut() {
            Some((role, whole)) if *role == message.role => whole.append(&mut blocks),
            _ => joined.push((message.role, blocks)),
        }
    }
    joined.retain(|(_, blocks)| !blocks.is_empty());
    if joined.is_empty() {
        return Err(Refused::new("it has no message with anything in it"));
    }
    let written = joined.into_iter().map(|(role, mut blocks)| {
        blocks.sort_by_key(|block| block["type"] != "tool_result" && role == Role::User);
        let role = match role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        json!({"role": role, "content": blocks})
    });
    Ok(written.collect())
}

fn blocks(message: &Message) -> Result<Vec<Value>, Refused> {
    let mut blocks = Vec::new();
    for part in &message.parts {
        match part {
            Part::Content(content) => blocks.extend(content_block(content)?),
            Part::Reasoning { opaque, .. } => blocks.extend(own_block(opaque)),
            Part::ToolCall { id, name, arguments } => {
                let input = encode::arguments(arguments);
                blocks.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
            }
            Part::ToolResult { call_id, content, is_error } => {
                blocks.push(result_block(call_id, content, *is_error)?);
            }
        }
    }
    Ok(blocks)
}

/// A block of this format's own, to go back as it came; other providers' reasoning stays out.
fn own_block(opaque: &[u8]) -> Option<Value> {
    let block: Value = serde_json::from_slice(opaque).ok()?;
    block["type"].is_string().then_some(block)
}

fn result_block(call_id: &str, content: &[Content], is_error: bool) -> Result<Value, Refused> {
    let mut inner = Vec::new();
    for piece in content {
        match piece {
            Content::Text(_) | Content::Image(_) => inner.extend(content_block(piece)?),
            Content::Audio(_) | Content::Document(..) => {
                inner.push(json!({"type": "text", "text": describe(piece)}));
            }
        }
    }
    Ok(json!({
        "type": "tool_result", "tool_use_id": call_id, "content": inner, "is_error": is_error,
    }))
}

fn content_block(content: &Content) -> Result<Option<Value>, Refused> {
    let source = |blob: &Blob| {
        let data = base64_of(blob);
        json!({"type": "base64", "media_type": blob.media_type, "data": data})
    };
    Ok(match content {
        // The format refuses empty text.
        Content::Text(text) if text.is_empty() => None,
        Content::Text(text) => Some(json!({"type": "text", "text": text})),
        Content::Image(blob) => Some(json!({"type": "image", "source": source(blob)})),
        Content::Document(name, blob) if blob.media_type == "application/pdf" => {
            Some(json!({"type": "document", "title": name, "source": source(blob)}))
        }
        Content::Document(name, blob) => {
            let Ok(text) = std::str::from_utf8(&blob.data) else {
                return Err(Refused::new(format!(
                    "a document of type {} cannot be sent to it: text or application/pdf can",
                    blob.media_type
                )));
            };
            let source = json!({"type": "text", "media_type": "text/plain", "data": text});
            Some(json!({"type": "document", "title": name, "source": source}))
        }
        Content::Audio(_) => return Err(Refused::new("sound cannot be sent to it")),
    })
}

fn tools(
    request: &Request,
    facts: &ModelFacts,
    marks: &[Breakpoint],
    body: &mut Map<String, Value>,
) -> Result<(), Refused> {
    if request.tools.is_empty() {
        return Ok(());
    }
    let written = request.tools.iter().map(|tool| {
        json!({
            "name": tool.name, "description": tool.description, "input_schema": tool.input_schema,
        })
    });
    let mut written: Vec<Value> = written.collect();
    if marks.contains(&Breakpoint::Tools) {
        written.last_mut().into_iter().for_each(mark);
    }
    body.insert("tools".into(), Value::Array(written));
    encode::forced(request, facts)?;
    let mut choice = match &request.tool_choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Any => json!({"type": "any"}),
        ToolChoice::Named(name) => json!({"type": "tool", "name": name}),
    };
    if request.tool_choice != ToolChoice::None
        && let Some(parallel) = request.parallel_tool_calls
    {
        choice["disable_parallel_tool_use"] = json!(!parallel);
    }
    body.insert("tool_choice".into(), choice);
    Ok(())
}

fn thinking(
    request: &Request,
    facts: &ModelFacts,
    body: &mut Map<String, Value>,
) -> Result<(), Refused> {
    let Some(budget) = request.reasoning_tokens_max else { return Ok(()) };
    let off = json!({"type": "disabled"});
    match facts.quirks.thinking {
        ThinkingStyle::Always if budget == 0 => {
            config(body).insert("effort".into(), json!("low"));
        }
        ThinkingStyle::Always | ThinkingStyle::Adaptive if budget > 0 => {
            body.insert("thinking".into(), json!({"type": "adaptive"}));
            config(body).insert("effort".into(), json!(effort(budget, "low")));
        }
        _ if budget == 0 => {
            body.insert("thinking".into(), off);
        }
        _ => {
            let most = encode::output_tokens_max(request, facts).saturating_sub(1);
            let budget = budget.max(BUDGET_TOKENS_MIN);
            if budget > most {
                return Err(Refused::new(format!(
                    "a reasoning budget of {budget} tokens does not fit into max_output_tokens \
                     of {}: raise it over the budget",
                    most + 1
                )));
            }
            body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": budget}));
        }
    }
    Ok(())
}

fn config(body: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let config = body.entry("output_config").or_insert_with(|| json!({}));
    config.as_object_mut().expect("invariant: only this module writes it, as an object")
}

fn mark(block: &mut Value) {
    block["cache_control"] = json!({"type": "ephemeral"});
}
