//! Where a value does not fit its schema, in words that tell what would fit. Knows nothing of
//! tools.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use crate::sandbox::plain::nearest;

/// Misfits that are told; who mends these sees the next.
const TOLD_MAX: usize = 3;
/// Names or values that are listed as what would fit.
const LISTED_MAX: usize = 12;

/// The first misfits, each with its path. `schema` is the whole schema they come from.
pub(super) fn sentence<'a>(
    schema: &Value,
    errors: impl Iterator<Item = ValidationError<'a>>,
) -> Option<String> {
    let mut told: Vec<String> = Vec::new();
    let mut meant = None;
    for error in errors.take(TOLD_MAX) {
        // What is called by a wrong name is not missing as well.
        if let Kind::Required { property } = error.kind()
            && property.as_str() == meant.as_deref()
        {
            continue;
        }
        let (words, near) = words(schema, &error);
        meant = meant.or(near);
        told.push(format!("{}: {words}", json_path(error.instance_path().as_str())));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// What is wrong, and the name that was meant where a name is wrong.
fn words(schema: &Value, error: &ValidationError<'_>) -> (String, Option<String>) {
    let keyword = error.schema_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let around = keyword.rsplit_once('/').map_or("", |(around, _)| around);
            let known = schema.pointer(around).and_then(|object| object.get("properties"));
            let known: Vec<&str> = known
                .and_then(Value::as_object)
                .map_or_else(Vec::new, |known| known.keys().map(String::as_str).collect());
            strangers(unexpected, &known)
        }
        Kind::Required { property } => {
            (format!("`{}` is missing", property.as_str().unwrap_or("")), None)
        }
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            let choices = schema.pointer(keyword).and_then(Value::as_array);
            let choices = choices.and_then(|choices| choices_of(choices));
            match choices {
                Some(choices) => (none_of(error.instance(), &choices), None),
                None => (error.to_string(), None),
            }
        }
        Kind::Enum { options } => match options.as_array() {
            Some(options) => {
                let choices: Vec<_> = options.iter().map(ToString::to_string).collect();
                (none_of(error.instance(), &choices), None)
            }
            None => (error.to_string(), None),
        },
        _ => (error.to_string(), None),
    }
}

/// Names that are not known, with what they were meant to be.
fn strangers(unexpected: &[String], known: &[&str]) -> (String, Option<String>) {
    let Some(first) = unexpected.first() else { return ("an unknown name".to_owned(), None) };
    let name: String = first.chars().take(80).collect();
    let more = match unexpected.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    match nearest(first, known.iter().copied()) {
        Some(near) => {
            (format!("there is no `{name}`{more}; did you mean `{near}`?"), Some(near.to_owned()))
        }
        None if known.is_empty() => {
            (format!("there is no `{name}`{more}; nothing goes here"), None)
        }
        None => (format!("there is no `{name}`{more}; there is {}", list(known, "`")), None),
    }
}

/// What each of several schemas wants, in a word; none when one of them says more than that.
fn choices_of(schemas: &[Value]) -> Option<Vec<String>> {
    let mut choices = Vec::new();
    for schema in schemas {
        match (schema.get("const"), schema.get("enum"), schema.get("type")) {
            (Some(one), ..) => choices.push(one.to_string()),
            (None, Some(Value::Array(several)), _) => {
                choices.extend(several.iter().map(ToString::to_string));
            }
            (None, None, Some(Value::String(kind))) => choices.push(match kind.as_str() {
                "object" => object_shape(schema),
                "null" => "null".to_owned(),
                kind => format!("a {kind}"),
            }),
            (None, Some(_), _) | (None, None, _) => return None,
        }
    }
    (!choices.is_empty()).then_some(choices)
}

/// An object by the names that it must have.
fn object_shape(schema: &Value) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.map(|name| format!("\"{name}\": …")).collect();
    match names.is_empty() {
        true => "an object".to_owned(),
        false => format!("{{{}}}", names.join(", ")),
    }
}

fn none_of(value: &Value, choices: &[String]) -> String {
    let value: String = value.to_string().chars().take(80).collect();
    let near = nearest(&value, choices.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean {near}?"));
    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
    match choices[..] {
        [only] => format!("{value} does not fit: it is {only}"),
        _ => format!("{value} does not fit: it is one of {}{near}", list(&choices, "")),
    }
}

fn list(names: &[&str], quote: &str) -> String {
    let shown = names.iter().take(LISTED_MAX).map(|name| format!("{quote}{name}{quote}"));
    let mut list = shown.collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        list.push_str(", …");
    }
    list
}

/// A JSON Pointer as a JSON path: `/items/3/name` is `$.items[3].name`.
fn json_path(pointer: &str) -> String {
    let mut path = String::from("$");
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.chars().all(|c| c.is_ascii_digit()) && !part.is_empty() {
            path.push_str(&format!("[{part}]"));
        } else {
            path.push('.');
            path.push_str(&part);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: Value, value: Value) -> String {
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        sentence(&schema, validator.iter_errors(&value)).expect("it does not fit")
    }

    #[test]
    fn a_wrong_name_is_told_with_the_right_one() {
        let schema = json!({
            "type": "object",
            "properties": { "expression": { "type": "string" }, "digits": { "type": "integer" } },
            "required": ["expression"],
            "additionalProperties": false,
        });
        assert_eq!(
            told(schema.clone(), json!({ "expresion": "1" })),
            "$: there is no `expresion`; did you mean `expression`?"
        );
        assert_eq!(told(schema.clone(), json!({})), "$: `expression` is missing");
        let far = told(schema, json!({ "expression": "1", "zzz": 1 }));
        assert_eq!(far, "$: there is no `zzz`; there is `expression`, `digits`");
    }

    #[test]
    fn a_wrong_value_is_told_with_what_would_fit() {
        let style = json!({ "anyOf": [{ "const": "pascal" }, { "const": "camel" }] });
        let schema = json!({ "type": "object", "properties": { "style": style } });
        assert_eq!(
            told(schema, json!({ "style": "pascl" })),
            "$.style: \"pascl\" does not fit: it is one of \"pascal\", \"camel\"; did you mean \
             \"pascal\"?"
        );
        let number = json!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity"] }] });
        assert_eq!(
            told(json!({ "items": number }), json!([1, true])),
            "$[1]: true does not fit: it is one of a number, \"NaN\", \"Infinity\""
        );
        let either = json!({ "oneOf": [
            { "type": "object", "required": ["ok"] },
            { "type": "object", "required": ["error"] },
        ] });
        assert_eq!(
            told(either, json!(3)),
            "$: 3 does not fit: it is one of {\"ok\": …}, {\"error\": …}"
        );
    }
}
