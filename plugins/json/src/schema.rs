//! JSON Schema, draft 2020-12, with the older spellings of drafts 4 to 7 (`definitions`,
//! `dependencies`, `items` as a list, `id`).
//!
//! A validator of its own, because the complete ones are two megabytes as WebAssembly; tests
//! compare its verdicts with such a one. `format` and `content…` are annotations, as the draft
//! says. References lead to this schema only; `$dynamicRef` is read as `$ref`.

mod check;
mod value;

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

pub(crate) use check::{Stopped, Violation};

/// The compiled expressions' memory, each.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Schemas that hold more are machines' work or an attack.
const PATTERNS_MAX: usize = 1000;

/// Keywords whose value is a schema.
const ONE: [&str; 12] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "additionalProperties",
    "additionalItems",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "items",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value is an object of schemas.
const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];
const NUMBERS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const COUNTS: [&str; 8] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];

/// A schema that is well formed, with its expressions compiled and its names known.
pub(crate) struct Schema<'a> {
    root: &'a Value,
    patterns: HashMap<&'a str, Regex>,
    /// Subschemas by `$id` and by `#anchor`.
    named: HashMap<String, &'a Value>,
}

impl<'a> Schema<'a> {
    /// Checks the schema itself. The error names the place and what was expected there.
    pub(crate) fn new(root: &'a Value) -> Result<Self, String> {
        let mut schema = Self { root, patterns: HashMap::new(), named: HashMap::new() };
        schema.collect(root, "")?;
        schema.resolve_all(root, "")?;
        Ok(schema)
    }

    fn collect(&mut self, at: &'a Value, path: &str) -> Result<(), String> {
        let schema = match at {
            Value::Bool(_) => return Ok(()),
            Value::Object(schema) => schema,
            other => return Err(format!("{path}: {other} is not an object, true or false")),
        };
        keywords(schema).map_err(|message| format!("{path}{message}"))?;
        for key in ["$id", "id", "$anchor", "$dynamicAnchor"] {
            if let Some(name) = schema.get(key).and_then(Value::as_str) {
                let hash = if key.ends_with("nchor") { "#" } else { "" };
                self.named.entry(format!("{hash}{name}")).or_insert(at);
            }
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            self.pattern(pattern, &format!("{path}/pattern"))?;
        }
        if let Some(Value::Object(patterns)) = schema.get("patternProperties") {
            for pattern in patterns.keys() {
                self.pattern(pattern, &format!("{path}/patternProperties"))?;
            }
        }
        each_subschema(schema, path, &mut |child, path| self.collect(child, path))
    }

    fn pattern(&mut self, pattern: &'a str, path: &str) -> Result<(), String> {
        if self.patterns.len() >= PATTERNS_MAX {
            return Err(format!("{path}: more than {PATTERNS_MAX} patterns"));
        }
        let compiled = regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
        let compiled = compiled.map_err(|error| format!("{path}: {error}"))?;
        self.patterns.insert(pattern, compiled);
        Ok(())
    }

    fn resolve_all(&self, at: &'a Value, path: &str) -> Result<(), String> {
        let Value::Object(schema) = at else { return Ok(()) };
        for key in ["$ref", "$dynamicRef"] {
            if let Some(reference) = schema.get(key).and_then(Value::as_str)
                && self.resolve(reference).is_none()
            {
                return Err(format!("{path}/{key}: {reference} is not in this schema"));
            }
        }
        each_subschema(schema, path, &mut |child, path| self.resolve_all(child, path))
    }

    /// What a reference leads to: `#`, `#/pointer`, `#anchor`, an `$id`, or an `$id#/pointer`.
    fn resolve(&self, reference: &str) -> Option<&'a Value> {
        if let Some(schema) = self.named.get(reference) {
            return Some(schema);
        }
        let (id, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = if id.is_empty() { self.root } else { *self.named.get(id)? };
        base.pointer(&percent_decoded(fragment)?)
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn each_subschema<'a>(
    schema: &'a Map<String, Value>,
    path: &str,
    visit: &mut dyn FnMut(&'a Value, &str) -> Result<(), String>,
) -> Result<(), String> {
    for key in ONE {
        if let Some(child) = schema.get(key).filter(|child| !child.is_array()) {
            visit(child, &format!("{path}/{key}"))?;
        }
    }
    for key in LISTS {
        let children = schema.get(key).and_then(Value::as_array);
        for (index, child) in children.into_iter().flatten().enumerate() {
            visit(child, &format!("{path}/{key}/{index}"))?;
        }
    }
    for key in MAPS {
        let children = schema.get(key).and_then(Value::as_object);
        // A list under `dependencies` names properties; it is no schema.
        for (name, child) in children.into_iter().flatten().filter(|(_, child)| !child.is_array()) {
            visit(child, &format!("{path}/{key}/{}", check::escaped(name)))?;
        }
    }
    Ok(())
}

/// Whether each keyword has a value of its kind.
fn keywords(schema: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in schema {
        let (fits, expected) = match key.as_str() {
            "type" => (is_type(value), "the name of a type, or a list of them"),
            "enum" => (value.is_array(), "a list"),
            "required" => (is_names(value), "a list of strings"),
            "pattern" | "$ref" | "$dynamicRef" | "$anchor" | "$dynamicAnchor" | "$id" => {
                (value.is_string(), "a string")
            }
            "uniqueItems" => (value.is_boolean(), "true or false"),
            "multipleOf" => (value.as_f64().is_some_and(|of| of > 0.0), "a number above 0"),
            key if COUNTS.contains(&key) => (value::count(value).is_some(), "a whole number"),
            // Draft 4 had true and false for the exclusive ones.
            key if NUMBERS.contains(&key) => (value.is_number() || value.is_boolean(), "a number"),
            "dependentRequired" => (
                value.as_object().is_some_and(|map| map.values().all(is_names)),
                "an object of lists of strings",
            ),
            "items" => (true, ""),
            key if LISTS.contains(&key) => {
                (value.as_array().is_some_and(|list| !list.is_empty()), "a list of schemas")
            }
            key if MAPS.contains(&key) => (value.is_object(), "an object of schemas"),
            _ => (true, ""),
        };
        if !fits {
            return Err(format!("/{}: expected {expected}, not {value}", check::escaped(key)));
        }
    }
    Ok(())
}

fn is_type(value: &Value) -> bool {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    known(value) || value.as_array().is_some_and(|names| names.iter().all(known))
}

fn is_names(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(Value::is_string))
}

#[cfg(test)]
mod tests;
