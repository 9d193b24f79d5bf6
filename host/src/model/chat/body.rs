//! A request as Chat Completions JSON.

use super::super::catalogue::{ModelFacts, SchemaStyle, ThinkingStyle};
use super::super::encode::{self, Refused, base64_of, describe, effort, extra};
use super::super::request::{Breakpoint, Message, Part, Request, Role, ToolChoice};
use crate::types::{Blob, Content};
use serde_json::{Map, Value, json};

/// Cache breakpoints in one request at most, as at Anthropic, whose models they are for.
const BREAKPOINTS_MAX: usize = 4;
/// The fields that hold a provider's reasoning, to go back as they came.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_details"];

/// The request's JSON for one model. Fails where the model cannot do what is asked.
pub fn body(model: &str, facts: &ModelFacts, request: &Request) -> Result<Value, Refused> {
    let quirks = &facts.quirks;
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("messages".into(), Value::Array(messages(facts, request)?));
    let most = encode::output_tokens_max(request, facts);
    body.insert(quirks.max_tokens_field.clone(), json!(most));
    tools(request, facts, &mut body)?;
    thinking(request, facts, &mut body);
    if let Some(schema) = &request.response_schema {
        body.insert("response_format".into(), response_format(schema, quirks.schema));
    }
    if !request.stop_sequences.is_empty() {
        body.insert("stop".into(), json!(request.stop_sequences));
    }
    if let Some(temperature) = request.temperature
        && quirks.sampling
    {
        body.insert("temperature".into(), encode::temperature(temperature)?);
    }
    body.insert("stream".into(), json!(true));
    if quirks.stream_usage {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    extra(request, &mut body)?;
    Ok(Value::Object(body))
}

fn messages(facts: &ModelFacts, request: &Request) -> Result<Vec<Value>, Refused> {
    let mut system = request.system.clone();
    if let (Some(schema), SchemaStyle::JsonObject) = (&request.response_schema, facts.quirks.schema)
    {
        let apart = if system.is_empty() { "" } else { "\n\n" };
        system.push_str(apart);
        system.push_str("Reply with one JSON object and nothing else. It satisfies this schema: ");
        system.push_str(&schema.to_string());
    }
    let skipped = request.cache_breakpoints.len().saturating_sub(BREAKPOINTS_MAX);
    let marks = match facts.quirks.cache_control {
        true => &request.cache_breakpoints[skipped..],
        false => &[],
    };
    let mut written = Vec::new();
    if !system.is_empty() {
        let mut message = json!({"role": facts.quirks.system_role, "content": system});
        // Tools stand before the system prompt, so its mark holds for both.
        if marks.contains(&Breakpoint::System) || marks.contains(&Breakpoint::Tools) {
            mark(&mut message);
        }
        written.push(message);
    }
    for (index, message) in request.messages.iter().enumerate() {
        let before = written.len();
        match message.role {
            Role::User => user(message, &mut written)?,
            Role::Assistant => {
                written.extend(assistant(message, facts.quirks.reasoning_back)?);
            }
        }
        if marks.contains(&Breakpoint::Message(index)) && written.len() > before {
            written.last_mut().into_iter().for_each(mark);
        }
    }
    if written.iter().all(|message| message["role"] == json!(facts.quirks.system_role)) {
        return Err(Refused::new("it has no message with anything in it"));
    }
    Ok(written)
}

/// Results of tools are messages of their own, and stand right behind the calls.
fn user(message: &Message, written: &mut Vec<Value>) -> Result<(), Refused> {
    let mut pieces = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolResult { call_id, content, is_error } => {
                let texts: Vec<String> = content.iter().map(describe).collect();
                let failed = if *is_error { "error: " } else { "" };
                let content = format!("{failed}{}", texts.join("\n"));
                written.push(json!({"role": "tool", "tool_call_id": call_id, "content": content}));
            }
            Part::Content(content) => pieces.extend(content_piece(content)?),
            Part::Reasoning { .. } | Part::ToolCall { .. } => {
                return Err(Refused::new("a user's message holds what only a model says"));
            }
        }
    }
    let content = match pieces.as_slice() {
        [] => return Ok(()),
        // Many servers take plain text only.
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => Value::Array(pieces),
    };
    written.push(json!({"role": "user", "content": content}));
    Ok(())
}

fn assistant(message: &Message, reasoning_back: bool) -> Result<Option<Value>, Refused> {
    let (mut text, mut calls, mut own) = (String::new(), Vec::new(), Map::new());
    for part in &message.parts {
        match part {
            Part::Content(content) => text.push_str(&describe(content)),
            Part::Reasoning { opaque, .. } if reasoning_back => own.extend(own_fields(opaque)),
            Part::Reasoning { .. } => {}
            Part::ToolCall { id, name, arguments } => {
                let arguments = encode::arguments(arguments).to_string();
                let function = json!({"name": name, "arguments": arguments});
                calls.push(json!({"id": id, "type": "function", "function": function}));
            }
            Part::ToolResult { .. } => {
                return Err(Refused::new("a model's message holds a tool's result"));
            }
        }
    }
    if text.is_empty() && calls.is_empty() {
        return Ok(None);
    }
    let content = if text.is_empty() { Value::Null } else { json!(text) };
    let mut written = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        written["tool_calls"] = Value::Array(calls);
    }
    let fields = written.as_object_mut().expect("invariant: written as an object above");
    fields.extend(own);
    Ok(Some(written))
}

/// This format's reasoning, to go back as it came; other providers' stays out.
fn own_fields(opaque: &[u8]) -> Map<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(opaque) else { return Map::new() };
    fields.into_iter().filter(|(key, _)| REASONING_FIELDS.contains(&key.as_str())).collect()
}

fn content_piece(content: &Content) -> Result<Option<Value>, Refused> {
    let data_url = |blob: &Blob| format!("data:{};base64,{}", blob.media_type, base64_of(blob));
    Ok(match content {
        Content::Text(text) if text.is_empty() => None,
        Content::Text(text) => Some(json!({"type": "text", "text": text})),
        Content::Image(blob) => {
            Some(json!({"type": "image_url", "image_url": {"url": data_url(blob)}}))
        }
        Content::Audio(blob) => {
            let format = match blob.media_type.as_str() {
                "audio/wav" | "audio/x-wav" => "wav",
                "audio/mpeg" | "audio/mp3" => "mp3",
                other => {
                    return Err(Refused::new(format!(
                        "a sound of type {other} cannot be sent to it: audio/wav and audio/mpeg can"
                    )));
                }
            };
            let sound = json!({"data": base64_of(blob), "format": format});
            Some(json!({"type": "input_audio", "input_audio": sound}))
        }
        Content::Document(name, blob) if blob.media_type == "application/pdf" => {
            let file = json!({"filename": name, "file_data": data_url(blob)});
            Some(json!({"type": "file", "file": file}))
        }
        Content::Document(..) => Some(json!({"type": "text", "text": describe(content)})),
    })
}

fn tools(
    request: &Request,
    facts: &ModelFacts,
    body: &mut Map<String, Value>,
) -> Result<(), Refused> {
    if request.tools.is_empty() {
        return Ok(());
    }
    encode::forced(request, facts)?;
    let written = request.tools.iter().map(|tool| {
        let function = json!({
            "name": tool.name, "description": tool.description, "parameters": tool.input_schema,
        });
        json!({"type": "function", "function": function})
    });
    body.insert("tools".into(), Value::Array(written.collect()));
    let choice = match &request.tool_choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Any => json!("required"),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    };
    body.insert("tool_choice".into(), choice);
    if let Some(parallel) = request.parallel_tool_calls
        && facts.quirks.parallel_tool_calls
    {
        body.insert("parallel_tool_calls".into(), json!(parallel));
    }
    Ok(())
}

fn thinking(request: &Request, facts: &ModelFacts, body: &mut Map<String, Value>) {
    let Some(budget) = request.reasoning_tokens_max else { return };
    let on = budget > 0;
    match facts.quirks.thinking {
        ThinkingStyle::Effort => {
            let effort = effort(budget, &facts.quirks.effort_off);
            body.insert("reasoning_effort".into(), json!(effort));
        }
        ThinkingStyle::Tokens if on => {
            body.insert("reasoning".into(), json!({"max_tokens": budget}));
        }
        ThinkingStyle::Tokens => {
            body.insert("reasoning".into(), json!({"enabled": false}));
        }
        ThinkingStyle::Budget => {
            body.insert("enable_thinking".into(), json!(on));
            if on {
                body.insert("thinking_budget".into(), json!(budget));
            }
        }
        ThinkingStyle::Toggle => {
            let word = if on { "enabled" } else { "disabled" };
            body.insert("thinking".into(), json!({"type": word}));
        }
        ThinkingStyle::Unsaid | ThinkingStyle::Adaptive | ThinkingStyle::Always => {}
    }
}

fn response_format(schema: &Value, style: SchemaStyle) -> Value {
    match style {
        SchemaStyle::JsonObject => json!({"type": "json_object"}),
        SchemaStyle::JsonSchema => {
            let strict = is_strict(schema, 0);
            let named = json!({"name": "reply", "strict": strict, "schema": schema});
            json!({"type": "json_schema", "json_schema": named})
        }
    }
}

/// Whether a schema keeps OpenAI's rules for `strict`: every object closed, all its properties
/// required. One that does not is sent as advice instead of being refused.
fn is_strict(schema: &Value, depth: usize) -> bool {
    const DEPTH_MAX: usize = 32;
    if depth > DEPTH_MAX {
        return false;
    }
    match schema {
        Value::Object(fields) => {
            let closed = match fields.get("properties").and_then(Value::as_object) {
                Some(properties) => {
                    let required = fields.get("required").and_then(Value::as_array);
                    fields.get("additionalProperties") == Some(&json!(false))
                        && required.is_some_and(|names| {
                            properties.keys().all(|name| names.contains(&json!(name)))
                        })
                }
                None => fields.get("type") != Some(&json!("object")),
            };
            closed && fields.values().all(|inner| is_strict(inner, depth + 1))
        }
        Value::Array(items) => items.iter().all(|inner| is_strict(inner, depth + 1)),
        _ => true,
    }
}

/// Marks a message's last piece of text, which must be written as a piece to carry it.
fn mark(message: &mut Value) {
    let control = json!({"type": "ephemeral"});
    match &mut message["content"] {
        Value::String(text) => {
            let text = std::mem::take(text);
            message["content"] = json!([{"type": "text", "text": text, "cache_control": control}]);
        }
        Value::Array(pieces) => {
            if let Some(last) = pieces.last_mut() {
                last["cache_control"] = control;
            }
        }
        _ => {}
    }
}
