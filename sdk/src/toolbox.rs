//! Calling tools, from an agent or from a tool made of tools.
//!
//! Tools are named as models see them, `plugin__tool`. Every call is validated and gated by the
//! host; a caller reaches nothing through a tool that it lacks itself.

use std::time::Duration;

use serde::Serialize;

use crate::{Definition, Output, ToolError};

#[cfg(target_family = "wasm")]
use crate::component::agent::toolbox as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::link as host;

/// One call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an invocation calls nothing before `call` or `call_all`"]
pub struct Invocation {
    /// The id of the model's tool call that this answers.
    pub call_id: Option<String>,
    /// `plugin__tool`.
    pub name: String,
    /// JSON text of an object.
    pub arguments: String,
    /// In milliseconds; the host's own limit holds as well.
    pub timeout_ms: Option<u64>,
}

impl Invocation {
    /// A call with the JSON text of an object.
    pub fn new(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { call_id: None, name: name.into(), arguments: arguments.into(), timeout_ms: None }
    }

    /// The same call, as the answer to a model's tool call of this id.
    pub fn answering(mut self, call_id: impl Into<String>) -> Self {
        self.call_id = Some(call_id.into());
        self
    }

    /// The same call, ended after this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = Some(crate::call::milliseconds(timeout));
        self
    }

    /// Makes the call.
    ///
    /// # Errors
    /// Whatever the tool or the host returns.
    pub fn call(self) -> Result<Output, ToolError> {
        host::call(self)
    }
}

/// The tools that the caller may call now.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    host::definitions()
}

/// Calls one tool with arguments that become a JSON object.
///
/// # Errors
/// `InvalidArguments` where they are not JSON, else whatever the tool or the host returns.
pub fn call(name: &str, arguments: &impl Serialize) -> Result<Output, ToolError> {
    let arguments = serde_json::to_string(arguments)
        .map_err(|error| ToolError::InvalidArguments(error.to_string()))?;
    Invocation::new(name, arguments).call()
}

/// Makes all calls at once, as far as quotas allow. The results come in the order asked, and one
/// that fails does not stop the others.
#[must_use]
pub fn call_all(invocations: Vec<Invocation>) -> Vec<Result<Output, ToolError>> {
    host::call_all(invocations)
}
