//! Signatures for people, in WIT syntax. A compiled component does not keep the names of its
//! records and variants, so they are written out in place.

use super::shape::Shape;
use std::fmt::{self, Write};

/// Longest signature, in bytes; the rest is cut, and the schema still has it.
const BYTES_MAX: usize = 1_000;

/// `upper: func(text: string) -> string`, of which `upper: func` is the head.
pub(super) fn signature(
    head: &str,
    parameters: &[(String, Shape)],
    result: Option<&Shape>,
) -> String {
    let mut text = Bounded(String::new());
    let written = write_signature(&mut text, head, parameters, result);
    let mut text = text.0;
    if written.is_err() {
        text.push('…');
    }
    text
}

/// The type in WIT syntax.
pub(super) fn type_name(shape: &Shape) -> String {
    let mut text = Bounded(String::new());
    let written = write_type(&mut text, shape);
    let mut text = text.0;
    if written.is_err() {
        text.push('…');
    }
    text
}

/// A string that refuses to grow beyond the bound, so that a huge type is not even walked.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn write_signature(
    to: &mut Bounded,
    head: &str,
    parameters: &[(String, Shape)],
    result: Option<&Shape>,
) -> fmt::Result {
    write!(to, "{head}(")?;
    write_fields(to, parameters)?;
    to.write_char(')')?;
    match result {
        Some(result) => {
            to.write_str(" -> ")?;
            write_type(to, result)
        }
        None => Ok(()),
    }
}

fn write_type(to: &mut Bounded, shape: &Shape) -> fmt::Result {
    match shape {
        Shape::Bool => to.write_str("bool"),
        Shape::Integer(integer) => to.write_str(integer.name()),
        Shape::F32 => to.write_str("f32"),
        Shape::F64 => to.write_str("f64"),
        Shape::Char => to.write_str("char"),
        Shape::String => to.write_str("string"),
        Shape::List(item) => write_generic(to, "list", &[item]),
        Shape::FixedList(item, length) => {
            to.write_str("list<")?;
            write_type(to, item)?;
            write!(to, ", {length}>")
        }
        Shape::Map(key, value) => write_generic(to, "map", &[key, value]),
        Shape::Record(fields) => {
            to.write_str("record { ")?;
            write_fields(to, fields)?;
            to.write_str(" }")
        }
        Shape::Tuple(items) => write_generic(to, "tuple", &items.iter().collect::<Vec<_>>()),
        Shape::Variant(cases) => write_cases(to, cases),
        Shape::Enum(names) => write_names(to, "enum", names),
        Shape::Flags(names) => write_names(to, "flags", names),
        Shape::Option(some) => write_generic(to, "option", &[some]),
        Shape::Result { ok, err } => write_result(to, ok.as_deref(), err.as_deref()),
        Shape::Own(resource) => to.write_str(&resource.name),
        Shape::Borrow(resource) => write!(to, "borrow<{}>", resource.name),
        Shape::Channel(name) => to.write_str(name),
    }
}

fn write_generic(to: &mut Bounded, name: &str, parameters: &[&Shape]) -> fmt::Result {
    write!(to, "{name}<")?;
    for (index, parameter) in parameters.iter().enumerate() {
        separate(to, index)?;
        write_type(to, parameter)?;
    }
    to.write_char('>')
}

fn write_result(to: &mut Bounded, ok: Option<&Shape>, err: Option<&Shape>) -> fmt::Result {
    match (ok, err) {
        (None, None) => to.write_str("result"),
        (Some(ok), None) => write_generic(to, "result", &[ok]),
        (Some(ok), Some(err)) => write_generic(to, "result", &[ok, err]),
        (None, Some(err)) => {
            to.write_str("result<_, ")?;
            write_type(to, err)?;
            to.write_char('>')
        }
    }
}

fn write_fields(to: &mut Bounded, fields: &[(String, Shape)]) -> fmt::Result {
    for (index, (name, shape)) in fields.iter().enumerate() {
        separate(to, index)?;
        write!(to, "{name}: ")?;
        write_type(to, shape)?;
    }
    Ok(())
}

fn write_cases(to: &mut Bounded, cases: &[(String, Option<Shape>)]) -> fmt::Result {
    to.write_str("variant { ")?;
    for (index, (name, payload)) in cases.iter().enumerate() {
        separate(to, index)?;
        match payload {
            Some(payload) => write_generic_case(to, name, payload)?,
            None => to.write_str(name)?,
        }
    }
    to.write_str(" }")
}

fn write_generic_case(to: &mut Bounded, name: &str, payload: &Shape) -> fmt::Result {
    write!(to, "{name}(")?;
    write_type(to, payload)?;
    to.write_char(')')
}

fn write_names(to: &mut Bounded, keyword: &str, names: &[String]) -> fmt::Result {
    write!(to, "{keyword} {{ ")?;
    for (index, name) in names.iter().enumerate() {
        separate(to, index)?;
        to.write_str(name)?;
    }
    to.write_str(" }")
}

fn separate(to: &mut Bounded, index: usize) -> fmt::Result {
    to.write_str(if index == 0 { "" } else { ", " })
}
