//! JSON to values without parts: numbers, text and bytes.

use super::{argument, mismatch};
use crate::sandbox::plain::PlainError;
use crate::sandbox::plain::path::Path;
use crate::sandbox::plain::shape::{Integer, Shape};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};
use wasmtime::component::Val;

/// Longest piece of the caller's own text in a message, in characters.
const QUOTE_CHARS_MAX: usize = 60;
/// Longest decimal string of a 64-bit integer with its sign, as the schema says it.
const DECIMAL_BYTES_MAX: usize = 21;

/// What stands in the JSON, for a message: `number 5`, `string "abc"`.
pub(in crate::sandbox::plain) fn found(json: &Value) -> String {
    match json {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("boolean {value}"),
        Value::Number(value) => format!("number {value}"),
        Value::String(text) => format!("string {:?}", cut_text(text)),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The start of a text that may be long and hostile.
pub(in crate::sandbox::plain) fn cut_text(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

pub(super) fn string<'j>(
    shape: &Shape,
    json: &'j Value,
    path: &Path<'_>,
) -> Result<&'j str, PlainError> {
    let expected = match shape {
        Shape::Char => "a string of one character",
        Shape::Enum(_) => "the name of a case",
        _ => "string",
    };
    json.as_str().ok_or_else(|| mismatch(expected, json, path))
}

/// A string or a character.
pub(super) fn text(shape: &Shape, json: &Value, path: &Path<'_>) -> Result<Val, PlainError> {
    let text = string(shape, json, path)?;
    if !matches!(shape, Shape::Char) {
        return Ok(Val::String(text.to_owned()));
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Ok(Val::Char(only)),
        _ => Err(mismatch("a string of one character", json, path)),
    }
}

/// A boolean or a number.
pub(super) fn number(shape: &Shape, json: &Value, path: &Path<'_>) -> Result<Val, PlainError> {
    match shape {
        Shape::Bool => json
            .as_bool()
            .map(Val::Bool)
            .ok_or_else(|| mismatch("boolean", json, path)),
        Shape::Integer(kind) => integer(*kind, json, path),
        Shape::F32 => f32(json, path),
        _ => float("f64", json, path).map(Val::Float64),
    }
}

fn integer(kind: Integer, json: &Value, path: &Path<'_>) -> Result<Val, PlainError> {
    let value = match json {
        Value::Number(number) => whole(number),
        Value::String(text) if kind.is_wide() => decimal(text),
        _ => None,
    };
    let Some(value) = value else {
        let or_string = if kind.is_wide() {
            " or decimal string"
        } else {
            ""
        };
        let expected = format!("integer{or_string} ({})", kind.name());
        return Err(mismatch(&expected, json, path));
    };
    fit(kind, value).ok_or_else(|| {
        let (min, max) = kind.range();
        let problem = format!(
            "{value} is out of range for {}: {min} to {max}",
            kind.name()
        );
        argument(path, problem)
    })
}

/// The value of a number without a fraction: `5.0` is an integer in JSON Schema too.
fn whole(number: &Number) -> Option<i128> {
    if let Some(value) = number.as_i128() {
        return Some(value);
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates beyond i128, out of any range"
    )]
    Some(value as i128)
}

fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = (1..DECIMAL_BYTES_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

fn fit(kind: Integer, value: i128) -> Option<Val> {
    match kind {
        Integer::S8 => value.try_into().ok().map(Val::S8),
        Integer::U8 => value.try_into().ok().map(Val::U8),
        Integer::S16 => value.try_into().ok().map(Val::S16),
        Integer::U16 => value.try_into().ok().map(Val::U16),
        Integer::S32 => value.try_into().ok().map(Val::S32),
        Integer::U32 => value.try_into().ok().map(Val::U32),
        Integer::S64 => value.try_into().ok().map(Val::S64),
        Integer::U64 => value.try_into().ok().map(Val::U64),
    }
}

fn float(name: &str, json: &Value, path: &Path<'_>) -> Result<f64, PlainError> {
    let value = match json {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    let expected = || format!("number, \"NaN\", \"Infinity\" or \"-Infinity\" ({name})");
    value.ok_or_else(|| mismatch(&expected(), json, path))
}

fn f32(json: &Value, path: &Path<'_>) -> Result<Val, PlainError> {
    let wide = float("f32", json, path)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounds; an overflow is refused below"
    )]
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        let max = f32::MAX;
        return Err(argument(
            path,
            format!("{wide} is out of range for f32: -{max:e} to {max:e}"),
        ));
    }
    Ok(Val::Float32(narrow))
}

/// Bytes as `{"base64": …}` or `{"utf8": …}`; `None` where they are more than `room`.
pub(super) fn bytes(
    json: &Value,
    path: &Path<'_>,
    room: usize,
) -> Result<Option<Vec<u8>>, PlainError> {
    let expected = "bytes as {\"base64\": …}, {\"utf8\": …} or an array of numbers";
    let member = json.as_object().filter(|members| members.len() == 1);
    let member = member.and_then(|members| members.iter().next());
    let Some((form, json)) = member.filter(|(form, _)| *form == "base64" || *form == "utf8") else {
        return Err(mismatch(expected, json, path));
    };
    let path = path.field(form);
    let text = string(&Shape::String, json, &path)?;
    if form == "utf8" {
        return Ok((text.len() <= room).then(|| text.as_bytes().to_vec()));
    }
    if base64::decoded_len_estimate(text.len()).saturating_sub(2) > room {
        return Ok(None);
    }
    let decoded = STANDARD.decode(text);
    decoded
        .map(Some)
        .map_err(|error| argument(&path, format!("not base64: {error}")))
}
