//! Arguments from a command line, `--arg key=value`, typed by a JSON Schema. It knows nothing of WIT
//! types, as the tools of plugins are called with it too. It types; whether the arguments fit the
//! schema is for validation to say.

use super::names::{nearest, proposal};
use serde_json::{Map, Value};

/// Levels of `$ref`, `anyOf` and the like that are followed; a schema may refer to itself.
const SCHEMA_DEPTH_MAX: usize = 16;
/// All kinds of JSON values, as bits.
const ANY: u8 = 0b111_1111;
/// The names of the kinds in JSON Schema, each with its bit.
const KINDS: [(&str, u8); 7] = [
    ("null", 1),
    ("boolean", 1 << 1),
    ("integer", 1 << 2),
    ("number", 1 << 2 | 1 << 3),
    ("string", 1 << 4),
    ("array", 1 << 5),
    ("object", 1 << 6),
];
const STRING: u8 = 1 << 4;
const ARRAY: u8 = 1 << 5;

/// The value that `text` means where `schema` stands.
///
/// Where only a string fits, the text is the string, verbatim. Where none fits, the text is JSON.
/// Where both might (`string` or `null`, or a schema that does not say), it is JSON if it reads as
/// JSON of a fitting type, and else the string.
pub fn argument_from_text(schema: &Value, text: &str) -> Result<Value, String> {
    Schema {
        root: schema,
        at: schema,
    }
    .parse(text)
}

/// The arguments object that `key=value` pairs mean, each typed by the property of its name in
/// `schema`. A key given more than once is an array, one element a time; a key of an array type
/// given once may be its only element, or the whole array as JSON.
pub fn arguments_from_pairs<'p>(
    schema: &Value,
    pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
) -> Result<Map<String, Value>, String> {
    let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
    for (key, text) in pairs {
        match texts.iter_mut().find(|(known, _)| *known == key) {
            Some((_, of)) => of.push(text),
            None => texts.push((key, vec![text])),
        }
    }
    let root = Schema {
        root: schema,
        at: schema,
    };
    let mut arguments = Map::new();
    for (key, texts) in texts {
        let property = root.property(key)?;
        let value = property
            .parse_all(&texts)
            .map_err(|problem| format!("`{key}`: {problem}"))?;
        arguments.insert(key.to_owned(), value);
    }
    Ok(arguments)
}

/// A place in a schema, with the document that its references mean.
#[derive(Clone, Copy)]
struct Schema<'s> {
    root: &'s Value,
    at: &'s Value,
}

/// A schema that says nothing.
static ANYTHING: Value = Value::Bool(true);

impl<'s> Schema<'s> {
    fn with(self, at: &'s Value) -> Self {
        Self { at, ..self }
    }

    /// Follows a local reference, `#/$defs/name`.
    fn resolved(self) -> Self {
        let mut schema = self;
        for _ in 0..SCHEMA_DEPTH_MAX {
            let reference = schema.at.get("$ref").and_then(Value::as_str);
            let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
            match pointer.and_then(|pointer| self.root.pointer(pointer)) {
                Some(at) => schema = self.with(at),
                None => return schema,
            }
        }
        self.with(&ANYTHING)
    }

    /// The schema of a property, or why there is none.
    fn property(self, key: &str) -> Result<Self, String> {
        let schema = self.resolved();
        let properties = schema.at.get("properties").and_then(Value::as_object);
        if let Some(at) = properties.and_then(|properties| properties.get(key)) {
            return Ok(self.with(at));
        }
        match schema.at.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                let known = properties
                    .into_iter()
                    .flat_map(Map::keys)
                    .map(String::as_str);
                let hint = match nearest(key, known.clone()) {
                    Some(near) => proposal(&Some(near.to_owned())),
                    None if known.clone().next().is_none() => "; it takes none".to_owned(),
                    None => format!("; known: {}", known.collect::<Vec<_>>().join(", ")),
                };
                Err(format!("no argument is named `{key}`{hint}"))
            }
            Some(at) => Ok(self.with(at)),
            None => Ok(self.with(&ANYTHING)),
        }
    }

    /// The schema of an element of an array.
    fn item(self, index: usize) -> Self {
        let schema = self.array_form(0).unwrap_or(self);
        let prefix = schema
            .at
            .get("prefixItems")
            .and_then(|items| items.get(index));
        match prefix.or_else(|| schema.at.get("items")) {
            Some(at) => self.with(at),
            None => self.with(&ANYTHING),
        }
    }

    /// The alternative that is about arrays.
    fn array_form(self, depth: usize) -> Option<Self> {
        let schema = self.resolved();
        if schema.at.get("items").is_some() || schema.at.get("prefixItems").is_some() {
            return Some(schema);
        }
        if depth >= SCHEMA_DEPTH_MAX {
            return None;
        }
        schema
            .alternatives()
            .find_map(|alternative| alternative.array_form(depth + 1))
    }

    fn alternatives(self) -> impl Iterator<Item = Self> {
        let lists = ["anyOf", "oneOf"]
            .into_iter()
            .filter_map(move |key| self.at.get(key));
        lists
            .filter_map(Value::as_array)
            .flatten()
            .map(move |at| self.with(at))
    }

    /// The kinds of values that may fit, as bits.
    fn kinds(self, depth: usize) -> u8 {
        let schema = self.resolved();
        if depth >= SCHEMA_DEPTH_MAX {
            return ANY;
        }
        let mut kinds = match schema.at.get("type") {
            Some(Value::String(name)) => kind_named(name),
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(Value::as_str)
                .map(kind_named)
                .fold(0, |a, b| a | b),
            _ => ANY,
        };
        if let Some(values) = schema.at.get("enum").and_then(Value::as_array) {
            kinds &= values.iter().map(kind_of).fold(0, |a, b| a | b);
        }
        if let Some(value) = schema.at.get("const") {
            kinds &= kind_of(value);
        }
        let alternatives = schema.alternatives().map(|schema| schema.kinds(depth + 1));
        if let Some(any) = alternatives.reduce(|a, b| a | b) {
            kinds &= any;
        }
        let all = schema
            .at
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        all.fold(kinds, |kinds, at| kinds & self.with(at).kinds(depth + 1))
    }

    fn parse(self, text: &str) -> Result<Value, String> {
        let kinds = self.kinds(0);
        if kinds == STRING {
            return Ok(text.into());
        }
        let parsed = serde_json::from_str::<Value>(text);
        match parsed {
            Ok(value) if kinds & kind_of(&value) != 0 => Ok(value),
            _ if kinds & STRING != 0 => Ok(text.into()),
            Ok(value) => {
                let found = super::decode::found(&value);
                Err(format!("expected {}, got {found}", describe(kinds)))
            }
            Err(error) => {
                let text = super::decode::cut_text(text);
                Err(format!(
                    "expected {}, got `{text}`, which is not JSON: {error}",
                    describe(kinds)
                ))
            }
        }
    }

    /// All texts given for one key.
    fn parse_all(self, texts: &[&str]) -> Result<Value, String> {
        let takes_arrays = self.kinds(0) & ARRAY != 0;
        if let [only] = texts {
            let whole = self.parse(only);
            let as_element = || {
                self.item(0)
                    .parse(only)
                    .map(|value| Value::Array(vec![value]))
            };
            // Text that starts like an array was meant as one: its error is the one to show.
            return match whole {
                Err(_) if takes_arrays && !only.trim_start().starts_with('[') => as_element(),
                whole => whole,
            };
        }
        if !takes_arrays {
            return Err(format!("given {} times, but it is not a list", texts.len()));
        }
        let items = texts
            .iter()
            .enumerate()
            .map(|(index, text)| self.item(index).parse(text));
        items.collect::<Result<_, _>>().map(Value::Array)
    }
}

fn kind_named(name: &str) -> u8 {
    KINDS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(ANY, |(_, bits)| *bits)
}

fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 1 << 1,
        Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => 1 << 2,
        Value::Number(_) => 1 << 3,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => 1 << 6,
    }
}

fn describe(kinds: u8) -> String {
    let has = |(name, bits): &&(&str, u8)| {
        // `number` says `integer` too.
        kinds & bits == *bits && !(*name == "integer" && kinds & (1 << 3) != 0)
    };
    let names: Vec<&str> = KINDS.iter().filter(has).map(|(name, _)| *name).collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(schema: Value, text: &str) -> Result<Value, String> {
        argument_from_text(&schema, text)
    }

    #[test]
    fn a_string_is_taken_verbatim() {
        for text in ["5", "null", "\"quoted\"", "{not json", ""] {
            assert_eq!(parse(json!({"type": "string"}), text), Ok(json!(text)));
            assert_eq!(parse(json!({"enum": ["a", "b"]}), text), Ok(json!(text)));
        }
    }

    #[test]
    fn other_types_are_json() {
        assert_eq!(parse(json!({"type": "integer"}), "5"), Ok(json!(5)));
        assert_eq!(parse(json!({"type": "number"}), "5.5"), Ok(json!(5.5)));
        assert_eq!(parse(json!({"type": "boolean"}), "true"), Ok(json!(true)));
        assert_eq!(
            parse(json!({"type": "object"}), r#"{"a":1}"#),
            Ok(json!({"a": 1}))
        );
    }

    #[test]
    fn an_error_says_what_was_expected() {
        let error = parse(json!({"type": "integer"}), "abc").expect_err("not a number");
        assert!(
            error.starts_with("expected integer, got `abc`, which is not JSON"),
            "{error}"
        );
        let error = parse(json!({"type": ["number", "null"]}), "\"5\"").expect_err("a string");
        assert_eq!(error, "expected null or number, got string \"5\"");
        assert!(parse(json!({"type": "integer"}), "5.5").is_err());
    }

    #[test]
    fn ambiguous_text_is_json_if_it_fits_and_else_a_string() {
        let optional = json!({"type": ["string", "null"]});
        assert_eq!(parse(optional.clone(), "null"), Ok(json!(null)));
        assert_eq!(parse(optional, "5"), Ok(json!("5")));
        assert_eq!(parse(json!({}), "5"), Ok(json!(5)));
        assert_eq!(parse(json!({}), "five"), Ok(json!("five")));
        let float = json!({"anyOf": [{"type": "number"}, {"enum": ["NaN"]}]});
        assert_eq!(parse(float.clone(), "1.5"), Ok(json!(1.5)));
        assert_eq!(parse(float, "NaN"), Ok(json!("NaN")));
    }

    #[test]
    fn references_are_followed_and_a_loop_ends() {
        let schema = json!({
            "properties": {"a": {"$ref": "#/$defs/text"}, "b": {"$ref": "#/$defs/loop"}},
            "$defs": {"text": {"type": "string"}, "loop": {"anyOf": [{"$ref": "#/$defs/loop"}]}},
        });
        let arguments = arguments_from_pairs(&schema, [("a", "5"), ("b", "5")]);
        assert_eq!(
            Value::Object(arguments.expect("typed")),
            json!({"a": "5", "b": 5})
        );
        let own = json!({"$ref": "#"});
        assert_eq!(parse(own, "x"), Ok(json!("x")));
    }

    #[test]
    fn repeated_keys_are_a_list() {
        let strings = json!({"type": "array", "items": {"type": "string"}});
        let schema = json!({
            "properties": {"path": strings, "pair": {"type": "array", "prefixItems": [
                {"type": "string"}, {"type": "integer"}]}, "n": {"type": "integer"}},
            "additionalProperties": false,
        });
        let typed = |pairs: &[(&'static str, &'static str)]| {
            arguments_from_pairs(&schema, pairs.iter().copied()).map(Value::Object)
        };
        assert_eq!(
            typed(&[("path", "1"), ("path", "b")]),
            Ok(json!({"path": ["1", "b"]}))
        );
        assert_eq!(typed(&[("path", "a")]), Ok(json!({"path": ["a"]})));
        assert_eq!(
            typed(&[("path", "[\"a\",\"b\"]")]),
            Ok(json!({"path": ["a", "b"]}))
        );
        assert_eq!(
            typed(&[("pair", "1"), ("pair", "2")]),
            Ok(json!({"pair": ["1", 2]}))
        );
        let error = typed(&[("n", "1"), ("n", "2")]).expect_err("not a list");
        assert_eq!(error, "`n`: given 2 times, but it is not a list");
        let error = typed(&[("pth", "a")]).expect_err("unknown");
        assert_eq!(error, "no argument is named `pth`; did you mean `path`?");
    }
}
