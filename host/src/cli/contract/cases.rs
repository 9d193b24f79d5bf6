//! Calls made of a schema: what fits it in all its corners, and what it has to refuse. Pure: the
//! same schema gives the same calls.

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// What a call has to end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An output, or any typed error.
    Answer,
    /// `invalid-arguments`.
    Refusal,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is particular about it.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
    /// What it has to end with.
    pub expected: Expected,
}

/// Calls of one tool.
const CASES_MAX: usize = 200;
/// Properties of one tool that are looked at.
const PROPERTIES_MAX: usize = 24;
/// Characters of a huge string, where the schema bounds it no closer: larger than what any buffer
/// of a careless program has.
const HUGE_CHARS: usize = 100_000;
/// Items of a long list.
const MANY_ITEMS: usize = 1_000;
/// Levels of a deep value: below what JSON parsers stop at (128).
const DEEP_LEVELS: usize = 100;
/// References that lead to references.
const REFERENCES_MAX: usize = 16;
/// Beyond ASCII: two bytes, three, four, one that is combined, one that turns the direction, a
/// line's end and a control character.
const NON_ASCII: &str = "Zoë 日本 🦀 e\u{301} \u{202e}x\n\u{1}";

/// The calls.
pub fn cases(schema: &Value) -> Vec<Case> {
    let Ok(validator) =
        jsonschema::options().with_draft(Draft::Draft202012).offline().build(schema)
    else {
        return Vec::new();
    };
    let maker = Maker { root: schema, validator };
    let mut cases = maker.fitting();
    cases.extend(maker.refused());
    cases.truncate(CASES_MAX);
    cases
}

struct Maker<'a> {
    root: &'a Value,
    validator: Validator,
}

impl<'a> Maker<'a> {
    fn required(&self) -> Vec<&'a str> {
        let names = self.root["required"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).collect()
    }

    fn properties(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.root["properties"].as_object().into_iter().flatten().take(PROPERTIES_MAX)
    }

    /// An object of plain values: of the required arguments, or of all.
    fn object(&self, all: bool) -> Map<String, Value> {
        let required = self.required();
        self.properties()
            .filter(|(name, _)| all || required.contains(&name.as_str()))
            .map(|(name, schema)| (name.clone(), self.plain(schema, 0)))
            .collect()
    }

    /// Calls that fit. What this cannot make fit (a pattern, a format) is left out.
    fn fitting(&self) -> Vec<Case> {
        let case = |name: String, arguments: Map<String, Value>| Case {
            name,
            arguments: Value::Object(arguments),
            expected: Expected::Answer,
        };
        let mut cases = vec![
            case("the required arguments".into(), self.object(false)),
            case("all arguments".into(), self.object(true)),
        ];
        for (name, schema) in self.properties() {
            for (word, value) in self.corners(schema) {
                let mut arguments = self.object(false);
                arguments.insert(name.clone(), value);
                cases.push(case(format!("`{name}` {word}"), arguments));
            }
        }
        if self.root["additionalProperties"] != Value::Bool(false) {
            let mut arguments = self.object(false);
            arguments.insert("aos_unexpected".into(), json!(1));
            cases.push(case("an argument that it does not know".into(), arguments));
        }
        cases.retain(|case| self.validator.is_valid(&case.arguments));
        cases
    }

    /// Calls that do not fit, by what the schema says in so many words.
    fn refused(&self) -> Vec<Case> {
        let case =
            |name: String, arguments: Value| Case { name, arguments, expected: Expected::Refusal };
        let whole = self.object(true);
        let mut cases = vec![case("a list instead of an object".into(), json!([]))];
        for name in self.required() {
            let mut arguments = whole.clone();
            arguments.remove(name);
            cases.push(case(format!("`{name}` is missing"), Value::Object(arguments)));
        }
        for (name, schema) in self.properties() {
            let Some(wrong) = self.wrong(schema) else { continue };
            let mut arguments = whole.clone();
            arguments.insert(name.clone(), wrong);
            cases.push(case(format!("`{name}` of the wrong type"), Value::Object(arguments)));
        }
        if self.root["additionalProperties"] == Value::Bool(false) {
            let mut arguments = whole;
            arguments.insert("aos_unexpected".into(), json!(1));
            let name = "an argument that it does not know";
            cases.push(case(name.into(), Value::Object(arguments)));
        }
        cases
    }

    /// A value of a type that the schema does not name; none when it names none, or is made of
    /// others.
    fn wrong(&self, schema: &Value) -> Option<Value> {
        let types = types(self.resolved(schema));
        let candidates = [
            ("object", json!({ "aos_unexpected": [] })),
            ("array", json!([[[]]])),
            ("boolean", json!(true)),
            ("string", json!("\u{1}aos")),
        ];
        let unnamed = |(name, _): &(&str, Value)| !types.contains(name);
        candidates.into_iter().find(unnamed).filter(|_| !types.is_empty()).map(|(_, value)| value)
    }

    fn resolved<'b>(&self, schema: &'b Value) -> &'b Value
    where
        'a: 'b,
    {
        let mut schema: &'b Value = schema;
        for _ in 0..REFERENCES_MAX {
            let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) else {
                break;
            };
            let Some(target) = self.root.pointer(path) else { break };
            schema = target;
        }
        schema
    }

    /// A value that fits, and is nothing particular.
    fn plain(&self, schema: &Value, depth: usize) -> Value {
        let schema = self.resolved(schema);
        for known in [&schema["const"], &schema["default"], &schema["enum"][0]] {
            if !known.is_null() {
                return known.clone();
            }
        }
        if let Some(example) = schema["examples"].get(0) {
            return example.clone();
        }
        for several in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = schema[several].get(0).filter(|_| depth < DEEP_LEVELS) {
                return self.plain(first, depth + 1);
            }
        }
        match types(schema).first().copied() {
            Some("string") => json!("a".repeat(least(schema, "minLength").max(1))),
            Some("integer") => json!(whole(schema)),
            Some("number") => schema["minimum"].as_f64().map_or(json!(1.5), |least| json!(least)),
            Some("boolean") => json!(true),
            Some("array") => {
                let count = least(schema, "minItems").clamp(1, MANY_ITEMS);
                let item = match depth < 8 {
                    true => self.plain(&schema["items"], depth + 1),
                    false => Value::Null,
                };
                Value::Array(vec![item; count])
            }
            Some("object") if depth < 8 => {
                let required: Vec<_> =
                    schema["required"].as_array().into_iter().flatten().collect();
                let inner = schema["properties"].as_object().into_iter().flatten();
                inner
                    .filter(|(name, _)| required.iter().any(|one| one.as_str() == Some(name)))
                    .map(|(name, schema)| (name.clone(), self.plain(schema, depth + 1)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Some("null") => Value::Null,
            Some(_) | None => json!({}),
        }
    }

    /// Values at the edges of what fits.
    fn corners(&self, schema: &Value) -> Vec<(&'static str, Value)> {
        let schema = self.resolved(schema);
        let types = types(schema);
        let mut corners = Vec::new();
        if types.contains(&"string") {
            let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok());
            let huge = "x".repeat(most.unwrap_or(HUGE_CHARS).min(HUGE_CHARS));
            corners.extend([
                ("is empty", json!("")),
                ("is huge", json!(huge)),
                ("is not ASCII", json!(NON_ASCII)),
            ]);
        }
        if types.contains(&"integer") {
            // What a double holds exactly: larger ones change on their way through JavaScript.
            let most = (1_i64 << 53) - 1;
            let bound = |key: &str, other: i64| schema[key].as_i64().unwrap_or(other);
            corners.extend([
                ("is 0", json!(0)),
                ("is the least", json!(bound("minimum", -most))),
                ("is the most", json!(bound("maximum", most))),
            ]);
        }
        if types.contains(&"number") {
            corners.extend([
                ("is negative", json!(-1.5)),
                ("is huge", json!(1e308)),
                ("is tiny", json!(5e-324)),
            ]);
        }
        if types.contains(&"array") {
            let most = schema["maxItems"].as_u64().and_then(|most| usize::try_from(most).ok());
            let item = self.plain(&schema["items"], 1);
            let many = vec![item; most.unwrap_or(MANY_ITEMS).min(MANY_ITEMS)];
            corners.extend([("is empty", json!([])), ("is long", Value::Array(many))]);
        }
        if types.is_empty() || types.contains(&"object") {
            corners.push(("is deep", deep()));
        }
        if types.contains(&"null") {
            corners.push(("is null", Value::Null));
        }
        corners
    }
}

/// The types that a schema names.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn least(schema: &Value, key: &str) -> usize {
    let least = schema[key].as_u64().and_then(|least| usize::try_from(least).ok());
    least.unwrap_or(0).min(HUGE_CHARS)
}

fn whole(schema: &Value) -> i64 {
    let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
    1.max(least.unwrap_or(1)).min(most.unwrap_or(i64::MAX))
}

fn deep() -> Value {
    (0..DEEP_LEVELS / 2).fold(json!(1), |inside, _| json!({ "a": [inside] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "city": { "type": "string", "minLength": 2 },
                "days": { "$ref": "#/$defs/days" },
                "kind": { "enum": ["rain", "wind"] },
                "any": {},
            },
            "required": ["city"],
            "additionalProperties": false,
            "$defs": { "days": { "type": "integer", "minimum": 1, "maximum": 9 } },
        })
    }

    #[test]
    fn what_is_to_be_answered_fits_and_what_is_to_be_refused_does_not() {
        let schema = schema();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let cases = cases(&schema);
        for case in &cases {
            let fits = validator.is_valid(&case.arguments);
            assert_eq!(fits, case.expected == Expected::Answer, "{}", case.name);
        }
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        for name in [
            "all arguments",
            "`city` is huge",
            "`city` is not ASCII",
            "`days` is the most",
            "`any` is deep",
            "`city` is missing",
            "`days` of the wrong type",
            "an argument that it does not know",
        ] {
            assert!(names.contains(&name), "no {name} in {names:?}");
        }
        // One that is too short does not fit, so it is no case.
        assert!(!names.contains(&"`city` is empty"));
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({
            "type": "object",
            "properties": {
                "tree": { "$ref": "#/$defs/tree" },
                "loop": { "$ref": "#/$defs/loop" },
            },
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": { "left": { "$ref": "#/$defs/tree" } },
                    "required": ["left"],
                },
                "loop": { "$ref": "#/$defs/loop" },
            },
        });
        assert!(!cases(&schema).is_empty());
    }
}
