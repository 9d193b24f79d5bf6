//! One tool, and a plugin: several of them, called by name.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Output, ToolError};

/// What a call may do to the world. The host schedules, asks for approval and recovers by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Changes nothing outside the plugin.
    pub read_only: bool,
    /// May remove or overwrite something.
    pub destructive: bool,
    /// A second equal call changes nothing more.
    pub idempotent: bool,
    /// Reaches things that the host does not know.
    pub open_world: bool,
}

/// One entry of the plugin's catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `[a-z][a-z0-9_]{0,47}`.
    pub name: String,
    /// For people, where the name is not enough.
    pub title: Option<String>,
    /// For the caller, which is often a model.
    pub description: String,
    /// JSON Schema 2020-12 of the arguments.
    pub input_schema: String,
    /// JSON Schema 2020-12 of the structured result, where there always is one.
    pub output_schema: Option<String>,
    /// What a call may do to the world.
    pub behaviour: Behaviour,
}

/// Written by `#[tool]`, one for each function.
pub trait Tool {
    /// What callers call it.
    const NAME: &'static str;
    /// For people, where the name is not enough.
    const TITLE: Option<&'static str>;
    /// The function's doc comment.
    const DESCRIPTION: &'static str;
    /// What stands in the attribute's brackets.
    const BEHAVIOUR: Behaviour;

    /// JSON Schema of the argument struct.
    fn input_schema() -> String;

    /// JSON Schema of the structured result, where the result's type tells it.
    fn output_schema() -> Option<String>;

    /// Parses the arguments, runs the function, converts its result.
    ///
    /// # Errors
    /// `InvalidArguments` where the JSON does not fit, else what the function returns.
    fn call(arguments: &str) -> Result<Output, ToolError>;

    /// The entry in the catalogue.
    #[must_use]
    fn definition() -> Definition {
        Definition {
            name: Self::NAME.to_owned(),
            title: Self::TITLE.map(str::to_owned),
            description: Self::DESCRIPTION.to_owned(),
            input_schema: Self::input_schema(),
            output_schema: Self::output_schema(),
            behaviour: Self::BEHAVIOUR,
        }
    }
}

/// The arguments of a tool that takes none.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NoArguments {}

struct Entry {
    name: &'static str,
    definition: fn() -> Definition,
    call: fn(&str) -> Result<Output, ToolError>,
}

/// Tools by name. Made by `plugin!`.
#[derive(Default)]
pub struct Plugin {
    tools: Vec<Entry>,
}

impl Plugin {
    /// A plugin without tools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same plugin with one tool more.
    #[must_use]
    pub fn with<T: Tool>(mut self) -> Self {
        self.tools.push(Entry { name: T::NAME, definition: T::definition, call: T::call });
        self
    }

    /// The catalogue, in the order of `plugin!`.
    #[must_use]
    pub fn definitions(&self) -> Vec<Definition> {
        self.tools.iter().map(|tool| (tool.definition)()).collect()
    }

    /// Calls one tool with the text of a JSON object.
    ///
    /// # Errors
    /// `UnknownTool`, or whatever the tool returns.
    pub fn call(&self, name: &str, arguments: &str) -> Result<Output, ToolError> {
        match self.tools.iter().find(|tool| tool.name == name) {
            Some(tool) => (tool.call)(arguments),
            None => Err(ToolError::UnknownTool(name.to_owned())),
        }
    }
}
