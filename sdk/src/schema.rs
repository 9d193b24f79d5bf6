//! Types to JSON Schema 2020-12, as `aos:tool` wants it.

use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// The schema of an argument struct: an object that takes nothing it does not name.
///
/// Subschemas are written in place, since not every model's provider reads `$ref`.
#[must_use]
pub fn arguments<T: JsonSchema>() -> String {
    let mut schema = root::<T>(settings());
    if let Some(object) = schema.as_object_mut() {
        // Beside one of these keys, `additionalProperties` would refuse what the other allows.
        let composed =
            ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|key| object.contains_key(*key));
        if object.get("type") == Some(&json!("object")) && !composed {
            object.entry("properties").or_insert_with(|| json!({}));
            object.entry("additionalProperties").or_insert(Value::Bool(false));
        }
    }
    schema.to_string()
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        // The contract fixes the dialect, so each schema need not.
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    })
}

fn root<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        // The Rust name of a struct tells a caller nothing.
        object.remove("title");
    }
    schema
}

/// Asks whether `T` has a schema. `#[tool]` calls `output_schema` on a reference to it: method
/// look-up takes [`Described`] where `T: JsonSchema`, and [`Undescribed`] for all others.
pub struct Probe<T>(PhantomData<T>);

impl<T> Probe<T> {
    /// Asks about `T`.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Probe<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The answer for a result type that implements `JsonSchema`.
pub trait Described {
    /// The schema of the structured result, where every value of the type has one.
    fn output_schema(&self) -> Option<String>;
}

impl<T: JsonSchema> Described for Probe<T> {
    fn output_schema(&self) -> Option<String> {
        let schema = root::<T>(settings().for_serialize());
        match schema.get("type")?.as_str()? {
            // Text alone, or nothing: see `IntoOutput`.
            "string" | "null" => None,
            "object" => Some(schema.to_string()),
            _ => Some(wrapped(&schema).to_string()),
        }
    }
}

/// `{"result": …}`, as `IntoOutput` wraps what is not an object.
fn wrapped(schema: &Value) -> Value {
    json!({
        "type": "object",
        "properties": { "result": schema },
        "required": ["result"],
        "additionalProperties": false,
    })
}

/// The answer for all other result types.
pub trait Undescribed {
    /// None.
    fn output_schema(&self) -> Option<String>;
}

impl<T> Undescribed for &Probe<T> {
    fn output_schema(&self) -> Option<String> {
        None
    }
}
