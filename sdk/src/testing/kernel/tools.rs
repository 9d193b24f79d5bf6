//! Fake tools, and real plugins under fake grants.

use std::time::Duration;

use serde_json::Value;

use super::super::link::Called;
use crate::testing::Host;
use crate::toolbox::Invocation;
use crate::{Behaviour, Definition, Output, Plugin, ToolError};

type Fake = Box<dyn FnMut(Value) -> Result<Output, ToolError>>;

/// Between a plugin's name and its tool's, as models see tools.
const SEPARATOR: &str = "__";

enum Tool {
    Fake { name: String, time: Duration, answer: Fake },
    Plugin { name: String, plugin: Plugin, host: Host },
}

/// All tools that the first agent holds.
#[derive(Default)]
pub(super) struct Tools {
    tools: Vec<Tool>,
}

impl Tools {
    pub(super) fn add_fake(&mut self, name: &str, time: Duration, answer: Fake) {
        self.tools.push(Tool::Fake { name: name.to_owned(), time, answer });
    }

    pub(super) fn add_plugin(&mut self, name: &str, plugin: Plugin, host: Host) {
        self.tools.push(Tool::Plugin { name: name.to_owned(), plugin, host });
    }

    pub(super) fn definitions(&self) -> Vec<Definition> {
        self.tools
            .iter()
            .flat_map(|tool| match tool {
                Tool::Fake { name, .. } => vec![fake_definition(name)],
                Tool::Plugin { name, plugin, .. } => {
                    let named = |definition: Definition| Definition {
                        name: format!("{name}{SEPARATOR}{}", definition.name),
                        ..definition
                    };
                    plugin.definitions().into_iter().map(named).collect()
                }
            })
            .collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.definitions().into_iter().map(|definition| definition.name).collect()
    }

    /// What comes of the call, and how long it takes.
    pub(super) fn call(&mut self, invocation: &Invocation) -> (Called, Duration) {
        let arguments = match serde_json::from_str(&invocation.arguments) {
            Ok(Value::Object(arguments)) => Value::Object(arguments),
            Ok(_) | Err(_) => {
                let message = "the arguments are no JSON object".to_owned();
                return (Err(ToolError::InvalidArguments(message)), Duration::ZERO);
            }
        };
        let (called, time) = self.dispatch(&invocation.name, arguments);
        match invocation.timeout_ms.map(Duration::from_millis) {
            Some(timeout) if timeout < time => {
                let message = format!("the tool did not answer in {} ms", timeout.as_millis());
                (Err(ToolError::Unavailable(message)), timeout)
            }
            Some(_) | None => (called, time),
        }
    }

    fn dispatch(&mut self, wanted: &str, arguments: Value) -> (Called, Duration) {
        for tool in &mut self.tools {
            match tool {
                Tool::Fake { name, time, answer } if name == wanted => {
                    return (answer(arguments), *time);
                }
                Tool::Fake { .. } => {}
                Tool::Plugin { name, plugin, host } => {
                    let rest = wanted.strip_prefix(name.as_str());
                    if let Some(tool) = rest.and_then(|rest| rest.strip_prefix(SEPARATOR)) {
                        return (host.call(plugin, tool, arguments), Duration::ZERO);
                    }
                }
            }
        }
        (Err(ToolError::UnknownTool(wanted.to_owned())), Duration::ZERO)
    }
}

fn fake_definition(name: &str) -> Definition {
    Definition {
        name: name.to_owned(),
        title: None,
        description: format!("A fake of {name}."),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: None,
        behaviour: Behaviour {
            read_only: true,
            destructive: false,
            idempotent: true,
            open_world: false,
        },
    }
}
