//! `aos:tool/toolbox`.

use super::bindings::aos::tool::toolbox as host;
use super::parts;
use crate::component::wit;
use crate::toolbox::Invocation;
use crate::{Behaviour, Definition, Output, ToolError};

pub(crate) fn definitions() -> Vec<Definition> {
    host::definitions().into_iter().map(definition).collect()
}

pub(crate) fn call(invocation: Invocation) -> Result<Output, ToolError> {
    result(host::call(&invocation_out(invocation)))
}

pub(crate) fn call_all(invocations: Vec<Invocation>) -> Vec<Result<Output, ToolError>> {
    let invocations: Vec<_> = invocations.into_iter().map(invocation_out).collect();
    host::call_all(&invocations).into_iter().map(result).collect()
}

fn result(result: Result<wit::Output, wit::Error>) -> Result<Output, ToolError> {
    result.map(parts::output).map_err(parts::tool_error)
}

fn invocation_out(invocation: Invocation) -> host::Invocation {
    let Invocation { call_id, name, arguments, timeout_ms } = invocation;
    host::Invocation { call_id, name, arguments, timeout_ms }
}

fn definition(definition: wit::Definition) -> Definition {
    let wit::Behaviour { read_only, destructive, idempotent, open_world } = definition.behaviour;
    Definition {
        name: definition.name,
        title: definition.title,
        description: definition.description,
        input_schema: definition.input_schema,
        output_schema: definition.output_schema,
        behaviour: Behaviour { read_only, destructive, idempotent, open_world },
    }
}
