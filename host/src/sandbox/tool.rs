//! Between the contract's types and the host's own. What a guest says of itself is checked here.

use serde_json::Value;

use crate::sandbox::host::bindings::aos::tool::types as wit;
use crate::sandbox::limits::{LimitName, Limits};
use crate::sandbox::plain::Exports;
use crate::sandbox::run::Ended;
use crate::sandbox::sections;
use crate::types::{
    Behaviour, Blob, Content, Definition, Denial, LimitHit, MissingIn, Output, ToolError,
};

/// Tools of one plugin.
const TOOLS_MAX: usize = 1_000;
/// One schema or description, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// All schemas and descriptions of one plugin, in bytes: parsed they are many times as large.
const CATALOGUE_BYTES_MAX: usize = 8 << 20;
/// `[a-z][a-z0-9_]{0,47}`, by the contract.
const NAME_BYTES_MAX: usize = 48;

/// Checks a catalogue: names by their rule and unique, schemas JSON objects.
///
/// # Errors
/// One sentence that names the tool and the rule.
pub(super) fn definitions(found: Vec<wit::Definition>) -> Result<Vec<Definition>, String> {
    if found.len() > TOOLS_MAX {
        return Err(format!("it has {} tools; at most {TOOLS_MAX}", found.len()));
    }
    let bytes: usize = found.iter().map(definition_bytes).sum();
    if bytes > CATALOGUE_BYTES_MAX {
        return Err(format!("its catalogue has {bytes} bytes; at most {CATALOGUE_BYTES_MAX}"));
    }
    let mut definitions: Vec<Definition> = Vec::with_capacity(found.len());
    for tool in found {
        if !is_name(&tool.name) {
            let name: String = tool.name.chars().take(60).collect();
            return Err(format!(
                "its tool name {name:?} must be a-z, 0-9 and _, begin with a letter, and have at \
                 most {NAME_BYTES_MAX}"
            ));
        }
        if definitions.iter().any(|known| known.name == tool.name) {
            return Err(format!("it defines the tool `{}` twice", tool.name));
        }
        definitions.push(definition(tool)?);
    }
    Ok(definitions)
}

/// The definitions in the section that `aos-host build` wrote, checked as a guest's own are; none
/// where there is no such section.
///
/// # Errors
/// One sentence, when they are not what the build writes.
pub(super) fn definitions_in(binary: &[u8]) -> Result<Option<Vec<Definition>>, String> {
    let Some(text) = sections::find(binary, sections::DEFINITIONS) else { return Ok(None) };
    let wrong = |error: String| format!("its section `{}`: {error}", sections::DEFINITIONS);
    if text.len() > CATALOGUE_BYTES_MAX {
        return Err(wrong(format!("it is over {CATALOGUE_BYTES_MAX} bytes")));
    }
    let written: Vec<Written> =
        serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
    definitions(written.into_iter().map(wit::Definition::from).collect()).map(Some).map_err(wrong)
}

/// A [`Definition`] as the section has it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    title: Option<String>,
    description: String,
    input_schema: Value,
    output_schema: Option<Value>,
    behaviour: WrittenBehaviour,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBehaviour {
    read_only: bool,
    destructive: bool,
    idempotent: bool,
    open_world: bool,
}

impl From<Written> for wit::Definition {
    fn from(written: Written) -> Self {
        let WrittenBehaviour { read_only, destructive, idempotent, open_world } = written.behaviour;
        Self {
            name: written.name,
            title: written.title,
            description: written.description,
            input_schema: written.input_schema.to_string(),
            output_schema: written.output_schema.map(|schema| schema.to_string()),
            behaviour: wit::Behaviour { read_only, destructive, idempotent, open_world },
        }
    }
}

fn definition_bytes(tool: &wit::Definition) -> usize {
    let title = tool.title.as_ref().map_or(0, String::len);
    let output = tool.output_schema.as_ref().map_or(0, String::len);
    title + tool.description.len() + tool.input_schema.len() + output
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn definition(tool: wit::Definition) -> Result<Definition, String> {
    let name = tool.name;
    if tool.description.len() > TEXT_BYTES_MAX {
        return Err(format!("the description of `{name}` is over {TEXT_BYTES_MAX} bytes"));
    }
    let schema = |which: &str, text: &str| -> Result<Value, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("the {which} schema of `{name}` is over {TEXT_BYTES_MAX} bytes"));
        }
        serde_json::from_str(text)
            .map_err(|error| format!("the {which} schema of `{name}` is not JSON: {error}"))
    };
    let input_schema = schema("input", &tool.input_schema)?;
    if input_schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(format!("the input schema of `{name}` is no object schema"));
    }
    let output_schema =
        tool.output_schema.as_deref().map(|text| schema("output", text)).transpose()?;
    let wit::Behaviour { read_only, destructive, idempotent, open_world } = tool.behaviour;
    Ok(Definition {
        title: tool.title,
        description: tool.description,
        input_schema,
        output_schema,
        behaviour: Behaviour { read_only, destructive, idempotent, open_world },
        name,
    })
}

/// The functions of a plain component as tools.
pub(super) fn plain_definitions(exports: &Exports) -> Vec<Definition> {
    let callable = exports.list().iter().filter(|export| export.not_callable.is_none());
    let tool = |export: &crate::sandbox::plain::PlainExport| Definition {
        name: export.name.clone(),
        title: None,
        description: export.signature.clone(),
        input_schema: exports.arguments_schema(export),
        output_schema: Some(export.result_schema()),
        // It says nothing of itself, so the worst is taken.
        behaviour: Behaviour::default(),
    };
    callable.map(tool).collect()
}

/// Turns an answer into the host's types, within the limit on output.
pub(super) fn answer(
    answer: Result<wit::Output, wit::Error>,
    limits: &Limits,
) -> Result<Result<Output, ToolError>, Ended> {
    match answer {
        Ok(output) => self::output(output, limits).map(Ok),
        Err(error) => Ok(Err(tool_error(error, limits))),
    }
}

fn output(output: wit::Output, limits: &Limits) -> Result<Output, Ended> {
    let bytes: usize = output.content.iter().map(content_bytes).sum::<usize>()
        + output.structured.as_ref().map_or(0, String::len);
    if bytes as u64 > limits.output_bytes {
        return Err(Ended::Limit(limits.hit(LimitName::Output)));
    }
    // serde_json stops at 128 levels, so a bomb of brackets ends here too.
    let structured =
        output.structured.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| {
            Ended::BadAnswer(format!("its structured output is not JSON: {error}"))
        })?;
    let blob = |blob: wit::Blob| Blob { media_type: blob.media_type, data: blob.data };
    let content = output.content.into_iter().map(|content| match content {
        wit::Content::Text(text) => Content::Text(text),
        wit::Content::Image(image) => Content::Image(blob(image)),
        wit::Content::Audio(audio) => Content::Audio(blob(audio)),
        wit::Content::Document(document) => Content::Document(document.name, blob(document.body)),
    });
    Ok(Output { content: content.collect(), structured })
}

fn content_bytes(content: &wit::Content) -> usize {
    match content {
        wit::Content::Text(text) => text.len(),
        wit::Content::Image(blob) | wit::Content::Audio(blob) => blob.data.len(),
        wit::Content::Document(document) => document.name.len() + document.body.data.len(),
    }
}

fn tool_error(error: wit::Error, limits: &Limits) -> ToolError {
    // An error is read by people and models: a long one is cut, not refused.
    let cut = |mut text: String| {
        let most = usize::try_from(limits.output_bytes).unwrap_or(usize::MAX).min(TEXT_BYTES_MAX);
        if text.len() > most {
            let at = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(at);
            text.push('…');
        }
        text
    };
    match error {
        wit::Error::UnknownTool(text) => ToolError::UnknownTool(cut(text)),
        wit::Error::InvalidArguments(text) => ToolError::InvalidArguments(cut(text)),
        wit::Error::Denied(denial) => ToolError::Denied(Denial {
            capability: cut(denial.capability),
            target: cut(denial.target),
            missing_in: match denial.missing_in {
                wit::MissingIn::Plugin => MissingIn::Plugin,
                wit::MissingIn::Operator => MissingIn::Operator,
                wit::MissingIn::Caller => MissingIn::Caller,
            },
            remedy: cut(denial.remedy),
        }),
        wit::Error::Rejected(text) => ToolError::Rejected(cut(text)),
        wit::Error::LimitExceeded(limit) => ToolError::Limit(LimitHit {
            name: cut(limit.name).into(),
            value: limit.value,
            unit: cut(limit.unit).into(),
            remedy: cut(limit.remedy).into(),
        }),
        wit::Error::Interrupted(text) => ToolError::Interrupted(cut(text)),
        wit::Error::Unavailable(text) => ToolError::Unavailable(cut(text)),
        wit::Error::Failed(text) => ToolError::Failed(cut(text)),
        wit::Error::Other((kind, text)) => ToolError::Other(cut(kind), cut(text)),
    }
}
