//! JSON values as JSON Schema sees them: 1 and 1.0 are the same number, and both are integers.

use serde_json::{Number, Value};

pub(super) fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_number().is_some_and(is_whole),
        _ => false,
    }
}

fn is_whole(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// A count as a keyword has it: `3` or `3.0`.
pub(super) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        Some(float as u64)
    })
}

pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare(one, other).is_eq(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| equal(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => one == other,
    }
}

pub(super) fn compare(one: &Number, other: &Number) -> std::cmp::Ordering {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => float(one).total_cmp(&float(other)),
    }
}

pub(super) fn is_multiple(number: &Number, of: &Number) -> bool {
    /// Of the quotient: 0.3 is a multiple of 0.1, though not in binary.
    const TOLERANCE: f64 = 1e-9;
    match (integer(number), integer(of)) {
        (Some(number), Some(of)) if of != 0 => number % of == 0,
        _ => {
            let quotient = float(number) / float(of);
            quotient.is_finite() && (quotient - quotient.round()).abs() < TOLERANCE
        }
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Zero has no sign here, unlike in `total_cmp`.
fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default() + 0.0
}
