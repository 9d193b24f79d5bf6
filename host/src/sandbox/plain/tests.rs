//! The module against random types and against real components.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod calls;
mod echo;
mod generate;
mod messages;
mod properties;

use super::decode::Decoder;
use super::encode::Encoder;
use super::exports::Exports;
use super::path::Path;
use super::shape::Shape;
use super::{Limits, PlainError, schema};
use serde_json::Value;
use wasmtime::component::Val;

/// Decodes one value of a type that holds no handles.
fn decode(shape: &Shape, json: &Value, limits: &Limits) -> Result<Val, PlainError> {
    let exports = Exports::default();
    Decoder::new(&exports, limits).value(shape, json, &Path::root())
}

/// Encodes one value.
fn encode(shape: &Shape, value: Val, limits: &Limits) -> Result<Value, PlainError> {
    Encoder::new(limits).value(shape, value, &Path::root())
}

/// Whether a value of this type would be taken as an argument, by the schema.
fn argument_validator(shape: &Shape) -> jsonschema::Validator {
    let fields = [("a".to_owned(), shape.clone())];
    let schema = schema::arguments(&Exports::default(), &fields);
    jsonschema::draft202012::new(&schema["properties"]["a"]).unwrap()
}
