//! Answers as text or JSON.

use std::io::{IsTerminal, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::exit::{Code, code_of};
use super::terminal::{one_line, shown, visible};
use crate::kernel::{Fault, Plugin};
use crate::sandbox::Ended;
use crate::sandbox::program::BadPlugin;
use crate::types::{Blob, Content, Definition, Denial, Output, ToolError, Usage};

/// A tool's answer for people: its texts, or its structured value where it has none.
pub fn output_text(output: &Output) -> String {
    let mut lines = Vec::new();
    for content in &output.content {
        lines.push(match content {
            Content::Text(text) => shown(text),
            Content::Image(blob) => blob_text("image", blob),
            Content::Audio(blob) => blob_text("audio", blob),
            Content::Document(name, blob) => match std::str::from_utf8(&blob.data) {
                Ok(text) => shown(text),
                Err(_) => blob_text(&visible(name), blob),
            },
        });
    }
    if output.content.is_empty()
        && let Some(value) = &output.structured
    {
        lines.push(match value {
            // A function without a result has nothing to show.
            Value::Null => return String::new(),
            Value::String(text) => shown(text),
            value => shown(&pretty(value)),
        });
    }
    lines.join("\n")
}

fn blob_text(what: &str, blob: &Blob) -> String {
    format!(
        "[{what}: {}, {} bytes; --output json prints them]",
        visible(&blob.media_type),
        blob.data.len()
    )
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// A call's whole result as one JSON value.
pub fn answer_json(
    called: &Result<Output, Fault>,
    denials: &[Denial],
    usage: Usage,
    chain: &str,
) -> String {
    let mut answer = match called {
        Ok(output) => json!({
            "ok": true,
            "content": output.content.iter().map(content_json).collect::<Vec<_>>(),
            "structured": output.structured,
        }),
        Err(fault) => json!({ "ok": false, "error": error_json(fault) }),
    };
    answer["denials"] = json!(denials);
    answer["usage"] = json!(usage);
    answer["chain"] = json!(chain);
    pretty(&answer)
}

/// A failure that came before any call, in the shape of [`answer_json`]: nothing was denied, used
/// or written down.
pub fn failure_json(code: Code, sentence: &str) -> String {
    pretty(&json!({
        "ok": false,
        "error": { "kind": code.word(), "message": sentence },
        "denials": [],
        "usage": Usage::default(),
        "chain": null,
    }))
}

fn content_json(content: &Content) -> Value {
    let blob = |kind: &str, blob: &Blob| {
        json!({
            "type": kind,
            "media_type": blob.media_type,
            "base64": BASE64_STANDARD.encode(&blob.data),
        })
    };
    match content {
        Content::Text(text) => json!({ "type": "text", "text": text }),
        Content::Image(image) => blob("image", image),
        Content::Audio(audio) => blob("audio", audio),
        Content::Document(name, body) => {
            let mut document = blob("document", body);
            document["name"] = json!(name);
            document
        }
    }
}

fn error_json(fault: &Fault) -> Value {
    let mut error = json!({
        "kind": code_of(fault).word(),
        "message": fault.to_string(),
    });
    match fault {
        Fault::Tool(ToolError::Denied(denial)) => error["denial"] = json!(denial),
        Fault::Tool(ToolError::Limit(limit))
        | Fault::Ended(Ended::Limit(limit))
        | Fault::Plugin(BadPlugin::Budget(limit)) => {
            error["limit"] = json!(limit);
        }
        Fault::Tool(_)
        | Fault::Ended(_)
        | Fault::Caller(_)
        | Fault::Plugin(_)
        | Fault::Journal(_)
        | Fault::Storage(_)
        | Fault::Host(_) => {}
    }
    error
}

/// Says on stderr how a call ended. A tool that was denied something and says so is not heard
/// twice: the host's own sentence has the flag.
pub fn tell_fault(fault: &Fault, denials: &[Denial]) {
    let retold = matches!(fault, Fault::Tool(ToolError::Denied(_))) && !denials.is_empty();
    if !retold {
        // Nobody is left to tell when stderr is closed.
        let _told = writeln!(std::io::stderr(), "error: {}", visible(&fault.to_string()));
    }
    tell_denials(denials);
}

/// Denials told one by one; more are a count.
const DENIALS_TOLD_MAX: usize = 5;

/// Says on stderr what was denied, with the flag that would allow it.
pub fn tell_denials(denials: &[Denial]) {
    let mut stderr = std::io::stderr().lock();
    for denial in denials.iter().take(DENIALS_TOLD_MAX) {
        // Nobody is left to tell when stderr is closed.
        let _told = writeln!(stderr, "{}", visible(&denial.to_string()));
    }
    if denials.len() > DENIALS_TOLD_MAX {
        let more = denials.len() - DENIALS_TOLD_MAX;
        let _told = writeln!(stderr, "and {more} more: `aos-host audit show last --denied`");
    }
}

/// A run that went well in spite of denials: one line, so that nobody wonders.
pub fn hint_denials(denials: &[Denial]) {
    if !denials.is_empty() && std::io::stderr().is_terminal() {
        let count = denials.len();
        let _told = writeln!(
            std::io::stderr(),
            "note: {count} access{} denied: `aos-host audit show last --denied`",
            if count == 1 { " was" } else { "es were" }
        );
    }
}

/// The tools of a plugin as one JSON array.
pub fn definitions_json(definitions: &[Definition]) -> String {
    pretty(&json!(definitions))
}

/// The tools of a plugin for people.
pub fn definitions_text(plugin: &Plugin, definitions: &[Definition]) -> String {
    let program = plugin.program();
    let mut text = match &program.manifest {
        Some(manifest) => format!(
            "{} {}: {}\n",
            manifest.name,
            one_line(&manifest.version),
            one_line(&manifest.description)
        ),
        None => format!("{}: a {}\n", one_line(&program.name), program.kind.name()),
    };
    for tool in definitions {
        text.push_str(&format!("\n{}\n", one_line(&tool.name)));
        for line in visible(&tool.description).lines() {
            text.push_str(&format!("    {line}\n"));
        }
        text.push_str(&arguments_text(&tool.input_schema));
    }
    if let Some(manifest) = &program.manifest
        && !manifest.grants.is_empty()
    {
        text.push_str("\nIt asks for:\n");
        for line in &manifest.grants {
            text.push_str(&format!("    {}  {}\n", one_line(&line.ask), one_line(&line.reason)));
        }
    }
    text
}

/// One line an argument: name, type, whether it may be left out, what it is.
pub fn arguments_text(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return String::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| {
        required.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)))
    };
    let mut text = String::new();
    for (name, property) in properties {
        let optional = if is_required(name) { "" } else { "?" };
        let kind = type_text(property);
        let description = property.get("description").and_then(Value::as_str).unwrap_or("");
        let description = visible(description).replace('\n', " ");
        text.push_str(&format!("      {}{optional}: {kind}", one_line(name)));
        if !description.is_empty() {
            text.push_str(&format!("  {description}"));
        }
        text.push('\n');
    }
    text
}

fn type_text(property: &Value) -> String {
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        return visible(&values.join(" | "));
    }
    match property.get("type") {
        Some(Value::String(kind)) => match (kind.as_str(), property.get("items")) {
            ("array", Some(items)) => format!("array of {}", type_text(items)),
            (kind, _) => visible(kind),
        },
        Some(Value::Array(kinds)) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            visible(&kinds.collect::<Vec<_>>().join(" | "))
        }
        _ => "any".into(),
    }
}
