//! The border to the host: generated bindings, and the SDK's types to theirs. It has no logic.
//! Authors do not use it; `plugin!` does.

pub mod agent;

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from the WIT")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit/deps/aos-tool",
        world: "tool",
        pub_export_macro: true,
        export_macro_name: "export_tool",
        default_bindings_module: "aos_sdk::component::bindings",
    });
}

pub use bindings::aos::tool::types::{Definition, Error, Output};
pub use bindings::export_tool as export;
pub use bindings::exports::aos::tool::tools::Guest;

use bindings::aos::tool::types as wit;

use crate::{Behaviour, Blob, Content, Denial, Limit, MissingIn, Plugin, ToolError};

/// The catalogue, in the contract's types.
#[must_use]
pub fn definitions(plugin: &Plugin) -> Vec<Definition> {
    plugin.definitions().into_iter().map(definition).collect()
}

/// One call, in the contract's types.
///
/// # Errors
/// Whatever the tool returns.
pub fn call(plugin: &Plugin, name: &str, arguments: &str) -> Result<Output, Error> {
    plugin.call(name, arguments).map(output).map_err(error)
}

pub(crate) fn definition(definition: crate::Definition) -> Definition {
    let Behaviour { read_only, destructive, idempotent, open_world } = definition.behaviour;
    Definition {
        name: definition.name,
        title: definition.title,
        description: definition.description,
        input_schema: definition.input_schema,
        output_schema: definition.output_schema,
        behaviour: wit::Behaviour { read_only, destructive, idempotent, open_world },
    }
}

pub(crate) fn output(output: crate::Output) -> Output {
    Output {
        content: output.content.into_iter().map(content).collect(),
        structured: output.structured,
    }
}

pub(crate) fn content(content: Content) -> wit::Content {
    match content {
        Content::Text(text) => wit::Content::Text(text),
        Content::Image(body) => wit::Content::Image(blob(body)),
        Content::Audio(body) => wit::Content::Audio(blob(body)),
        Content::Document { name, body } => {
            wit::Content::Document(wit::Document { name, body: blob(body) })
        }
    }
}

fn blob(blob: Blob) -> wit::Blob {
    wit::Blob { media_type: blob.media_type, data: blob.data }
}

pub(crate) fn error(error: ToolError) -> Error {
    match error {
        ToolError::UnknownTool(name) => Error::UnknownTool(name),
        ToolError::InvalidArguments(message) => Error::InvalidArguments(message),
        ToolError::Denied(missing) => Error::Denied(denial(missing)),
        ToolError::Rejected(message) => Error::Rejected(message),
        ToolError::LimitExceeded(reached) => Error::LimitExceeded(limit(reached)),
        ToolError::Interrupted(message) => Error::Interrupted(message),
        ToolError::Unavailable(message) => Error::Unavailable(message),
        ToolError::Failed(message) => Error::Failed(message),
        ToolError::Other { kind, message } => Error::Other((kind, message)),
    }
}

fn denial(denial: Denial) -> wit::Denial {
    wit::Denial {
        capability: denial.capability,
        target: denial.target,
        missing_in: match denial.missing_in {
            MissingIn::Plugin => wit::MissingIn::Plugin,
            MissingIn::Operator => wit::MissingIn::Operator,
            MissingIn::Caller => wit::MissingIn::Caller,
        },
        remedy: denial.remedy,
    }
}

fn limit(limit: Limit) -> wit::Limit {
    wit::Limit {
        name: limit.name,
        value: limit.value,
        unit: limit.unit,
        opens_in_ms: limit.opens_in_ms,
        remedy: limit.remedy,
    }
}
