//! The tools of one plugin, with a compiled validator for each schema.

mod misfit;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::kernel::{Fault, bounds};
use crate::sandbox::Ended;
use crate::sandbox::plain::nearest;
use crate::types::{Definition, Output, ToolError};

/// A plugin's tools.
#[derive(Debug)]
pub(super) struct Catalogue {
    tools: Vec<Tool>,
    definitions: Vec<Definition>,
}

/// One tool and the validators of its schemas.
#[derive(Debug)]
pub(super) struct Tool {
    definition: Definition,
    input: Validator,
    output: Option<Validator>,
}

impl Catalogue {
    /// Compiles the schemas.
    ///
    /// # Errors
    /// When one is no JSON Schema: the plugin's fault.
    pub(super) fn new(definitions: Vec<Definition>) -> Result<Self, Fault> {
        let mut patterns = 0;
        let mut tool = |definition: &Definition| {
            let wrong = |which: &str, error: String| {
                Fault::Ended(Ended::BadAnswer(format!(
                    "the {which} schema of `{}` is no JSON Schema: {error}",
                    definition.name
                )))
            };
            let mut compiled = |schema| validator(schema, &mut patterns);
            let input =
                compiled(&definition.input_schema).map_err(|error| wrong("input", error))?;
            let output = definition.output_schema.as_ref().map(compiled).transpose();
            let output = output.map_err(|error| wrong("output", error))?;
            Ok(Tool { definition: definition.clone(), input, output })
        };
        let tools = definitions.iter().map(&mut tool).collect::<Result<_, Fault>>()?;
        Ok(Self { tools, definitions })
    }

    pub(super) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The tool of that name, or the only one.
    pub(super) fn find(&self, name: Option<&str>) -> Result<&Tool, ToolError> {
        let names = || self.tools.iter().map(|tool| tool.definition.name.as_str());
        let Some(name) = name else {
            return match &self.tools[..] {
                [only] => Ok(only),
                [] => Err(ToolError::UnknownTool("it has no tools".into())),
                [..] => Err(ToolError::UnknownTool(format!(
                    "it has several tools: name one of {}",
                    names().collect::<Vec<_>>().join(", ")
                ))),
            };
        };
        let version_less = |known: &str| known.split('@').next() == Some(name);
        let found = self.tools.iter().find(|tool| tool.definition.name == name);
        let found = found.or_else(|| {
            let mut alike = self.tools.iter().filter(|tool| version_less(&tool.definition.name));
            alike.next().filter(|_| alike.next().is_none())
        });
        found.ok_or_else(|| {
            let proposal = match nearest(name, names()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!("; it has {}", names().collect::<Vec<_>>().join(", ")),
            };
            let name: String = name.chars().take(80).collect();
            ToolError::UnknownTool(format!("there is no tool `{name}`{proposal}"))
        })
    }
}

impl Tool {
    pub(super) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Whether the arguments fit the input schema; where they do not, and what would fit.
    ///
    /// # Errors
    /// The caller's fault where they do not fit, the plugin's where nobody can tell in time.
    pub(super) fn check_arguments(&self, arguments: &Value) -> Result<(), Fault> {
        let name = &self.definition.name;
        bounds::check(&self.definition.input_schema, arguments).map_err(|error| {
            Fault::Ended(Ended::BadAnswer(format!("the input schema of `{name}`: {error}")))
        })?;
        check(&self.input, &self.definition.input_schema, arguments)
            .map_err(|error| Fault::Tool(ToolError::InvalidArguments(error)))
    }

    /// Whether a structured output fits the schema that the tool gave for it.
    pub(super) fn check_output(&self, output: &Output) -> Result<(), String> {
        match (&self.output, &output.structured) {
            (Some(validator), Some(value)) => {
                let schema = self.definition.output_schema.as_ref().unwrap_or(&Value::Null);
                bounds::check(schema, value).map_err(|error| format!("its output: {error}"))?;
                check(validator, schema, value)
                    .map_err(|error| format!("its output breaks its own schema: {error}"))
            }
            (None, _) | (_, None) => Ok(()),
        }
    }
}

/// A schema from a stranger: no reference leads out of it, no pattern backtracks.
fn validator(schema: &Value, patterns: &mut usize) -> Result<Validator, String> {
    *patterns += bounds::patterns(schema)?;
    if *patterns > bounds::PATTERNS_MAX {
        return Err(format!("the plugin has more than {} patterns", bounds::PATTERNS_MAX));
    }
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(bounds::PATTERN_BYTES_MAX))
        .offline()
        .build(schema)
        .map_err(|error| cut(error.to_string()))
}

fn check(validator: &Validator, schema: &Value, value: &Value) -> Result<(), String> {
    // The common case is quick; only what is wrong is looked for.
    if validator.is_valid(value) {
        return Ok(());
    }
    match misfit::sentence(schema, validator.iter_errors(value)) {
        None => Ok(()),
        Some(sentence) => Err(cut(sentence)),
    }
}

/// A message quotes the value: one sentence, not a megabyte.
fn cut(text: String) -> String {
    const CHARS_MAX: usize = 400;
    if text.chars().count() <= CHARS_MAX {
        return text;
    }
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Behaviour;

    fn catalogue(names: &[&str]) -> Catalogue {
        let schema = json!({
            "type": "object",
            "properties": { "items": { "type": "array", "items": { "type": "string" } } },
            "additionalProperties": false,
        });
        let definition = |name: &&str| Definition {
            name: (*name).to_owned(),
            title: None,
            description: String::new(),
            input_schema: schema.clone(),
            output_schema: Some(json!({ "type": "integer" })),
            behaviour: Behaviour::default(),
        };
        Catalogue::new(names.iter().map(definition).collect()).expect("compiles")
    }

    #[test]
    fn an_unknown_tool_names_the_nearest() {
        let catalogue = catalogue(&["read_file", "write_file"]);
        let error = catalogue.find(Some("raed_file")).expect_err("unknown").to_string();
        assert!(error.contains("did you mean `read_file`?"), "{error}");
        let error = catalogue.find(None).expect_err("several").to_string();
        assert!(error.contains("read_file, write_file"), "{error}");
    }

    #[test]
    fn arguments_that_break_the_schema_are_told_by_path() {
        let catalogue = catalogue(&["only"]);
        let tool = catalogue.find(None).expect("the only one");
        let error = tool.check_arguments(&json!({ "items": ["a", 5] })).expect_err("a number");
        assert!(error.to_string().contains("$.items[1]: 5 is not of type"), "{error}");
        assert!(tool.check_arguments(&json!({ "items": [] })).is_ok());
        assert!(tool.check_arguments(&json!({ "item": [] })).is_err());
    }

    #[test]
    fn an_output_that_breaks_its_schema_is_found() {
        let catalogue = catalogue(&["only"]);
        let tool = catalogue.find(None).expect("the only one");
        let output = |value| Output { content: Vec::new(), structured: Some(value) };
        assert!(tool.check_output(&output(json!(3))).is_ok());
        assert!(tool.check_output(&output(json!("3"))).is_err());
    }

    #[test]
    fn a_schema_that_is_none_is_the_plugins_fault() {
        let mut definition = catalogue(&["x"]).definitions()[0].clone();
        definition.input_schema = json!({ "type": "objekt" });
        assert!(matches!(Catalogue::new(vec![definition]), Err(Fault::Ended(_))));
    }
}
