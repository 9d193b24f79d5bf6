//! Shapes as JSON Schema, draft 2020-12. What a schema of arguments allows is what decoding accepts
//! and what encoding produces fits the schema of results: tests hold the three together.

use super::exports::Exports;
use super::shape::{Integer, Resource, Shape};
use serde_json::{Map, Number, Value, json};

/// The dialect that every schema here names.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Exports named as examples of how to make a handle.
const EXAMPLES_MAX: usize = 8;

/// What the schema describes: arguments allow more forms than results have.
#[derive(Clone, Copy)]
enum Direction<'a> {
    Arguments(&'a Exports),
    Result,
}

/// The schema of a function's arguments.
pub(super) fn arguments(exports: &Exports, parameters: &[(String, Shape)]) -> Value {
    with_dialect(record(parameters, Direction::Arguments(exports)))
}

/// The schema of a result; `None` is a function or a side of a `result` without a value.
pub(super) fn output(shape: Option<&Shape>) -> Value {
    with_dialect(payload(shape, Direction::Result))
}

fn with_dialect(schema: Value) -> Value {
    let mut with = Map::new();
    with.insert("$schema".to_owned(), DIALECT.into());
    if let Value::Object(members) = schema {
        with.extend(members);
    }
    Value::Object(with)
}

fn schema(shape: &Shape, direction: Direction<'_>) -> Value {
    match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Integer(kind) => integer(*kind, direction),
        Shape::F32 | Shape::F64 => {
            json!({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
        }
        Shape::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
        Shape::String => json!({"type": "string"}),
        Shape::List(item) if item.is_byte() => bytes(direction),
        Shape::List(item) => json!({"type": "array", "items": schema(item, direction)}),
        Shape::FixedList(item, length) => json!({
            "type": "array", "items": schema(item, direction),
            "minItems": length, "maxItems": length,
        }),
        Shape::Map(key, value) => map(key, value, direction),
        Shape::Record(fields) => record(fields, direction),
        Shape::Tuple(items) => tuple(items.iter(), direction),
        Shape::Variant(cases) => variant(cases, direction),
        Shape::Enum(names) => json!({"type": "string", "enum": names}),
        Shape::Flags(names) => {
            json!({"type": "array", "items": {"enum": names}, "uniqueItems": true})
        }
        Shape::Option(some) => option(some, direction),
        Shape::Result { ok, err } => json!({"anyOf": [
            single("ok", payload(ok.as_deref(), direction)),
            single("err", payload(err.as_deref(), direction)),
        ]}),
        Shape::Own(resource) | Shape::Borrow(resource) => handle(resource, direction),
        Shape::Channel(name) => json!({"not": {}, "description": format!("a {name}")}),
    }
}

/// An object with exactly one member.
fn single(name: &str, schema: Value) -> Value {
    json!({
        "type": "object", "properties": {name: schema},
        "required": [name], "additionalProperties": false,
    })
}

fn payload(shape: Option<&Shape>, direction: Direction<'_>) -> Value {
    shape.map_or_else(|| json!({"type": "null"}), |shape| schema(shape, direction))
}

fn integer(kind: Integer, direction: Direction<'_>) -> Value {
    let (min, max) = kind.range();
    // Every bound is a number of JSON, as no type is wider than 64 bits.
    let [min, max] = [min, max].map(Number::from_i128);
    let mut schema = json!({"type": "integer", "minimum": min, "maximum": max});
    if kind.is_wide() && matches!(direction, Direction::Arguments(_)) {
        schema["type"] = json!(["integer", "string"]);
        schema["pattern"] = "^-?[0-9]{1,20}$".into();
    }
    schema
}

fn bytes(direction: Direction<'_>) -> Value {
    let base64 = single(
        "base64",
        json!({"type": "string", "contentEncoding": "base64"}),
    );
    match direction {
        Direction::Result => base64,
        Direction::Arguments(_) => json!({"anyOf": [
            base64,
            single("utf8", json!({"type": "string"})),
            {"type": "array", "items": integer(Integer::U8, direction)},
        ]}),
    }
}

fn map(key: &Shape, value: &Shape, direction: Direction<'_>) -> Value {
    match key {
        Shape::String => {
            json!({"type": "object", "additionalProperties": schema(value, direction)})
        }
        _ => json!({"type": "array", "items": tuple([key, value].into_iter(), direction)}),
    }
}

fn tuple<'a>(items: impl ExactSizeIterator<Item = &'a Shape>, direction: Direction<'_>) -> Value {
    let length = items.len();
    let items: Vec<Value> = items.map(|item| schema(item, direction)).collect();
    json!({"type": "array", "prefixItems": items, "minItems": length, "maxItems": length})
}

fn record(fields: &[(String, Shape)], direction: Direction<'_>) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, shape)| (name.clone(), schema(shape, direction)))
        .collect();
    let may_be_absent =
        |shape: &Shape| matches!(direction, Direction::Arguments(_)) && shape.is_option();
    let required = fields
        .iter()
        .filter(|(_, shape)| !may_be_absent(shape))
        .map(|(name, _)| name);
    json!({
        "type": "object", "properties": properties,
        "required": required.collect::<Vec<_>>(), "additionalProperties": false,
    })
}

fn variant(cases: &[(String, Option<Shape>)], direction: Direction<'_>) -> Value {
    let bare: Vec<&String> = cases
        .iter()
        .filter(|(_, p)| p.is_none())
        .map(|(n, _)| n)
        .collect();
    let mut forms = Vec::new();
    if !bare.is_empty() {
        forms.push(json!({"type": "string", "enum": bare}));
    }
    for (name, payload) in cases {
        forms.extend(
            payload
                .as_ref()
                .map(|payload| single(name, schema(payload, direction))),
        );
    }
    any_of(forms)
}

fn option(some: &Shape, direction: Direction<'_>) -> Value {
    let mut inner = schema(some, direction);
    if some.is_option() {
        return any_of(vec![single("some", inner), json!({"type": "null"})]);
    }
    // The short form, where the schema is one plain type.
    match inner.get("type").and_then(Value::as_str).map(str::to_owned) {
        Some(kind) if inner.get("enum").is_none() => {
            inner["type"] = json!([kind, "null"]);
            inner
        }
        _ => any_of(vec![inner, json!({"type": "null"})]),
    }
}

fn any_of(mut forms: Vec<Value>) -> Value {
    match forms.len() {
        1 => forms.remove(0),
        _ => json!({"anyOf": forms}),
    }
}

fn handle(resource: &Resource, direction: Direction<'_>) -> Value {
    let name = &resource.name;
    let Direction::Arguments(exports) = direction else {
        let mut schema = single("$resource", json!({"type": "string"}));
        schema["description"] = format!("a `{name}`, which ended with the call").into();
        return schema;
    };
    let makes = |e: &&super::PlainExport| e.makes().is_some_and(|made| made.id == resource.id);
    let makers: Vec<&String> = exports
        .list()
        .iter()
        .filter(makes)
        .map(|e| &e.name)
        .take(EXAMPLES_MAX)
        .collect();
    json!({
        "type": "object",
        "description": format!("a `{name}`: the call that makes it, in the same instance"),
        "properties": {
            "$call": {"type": "string", "examples": makers},
            "arguments": {"type": ["object", "null"]},
        },
        "required": ["$call"], "additionalProperties": false,
    })
}
