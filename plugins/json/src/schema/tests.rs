//! Verdicts beside those of a complete validator, which is too large for the component.

use serde_json::{Value, json};

use super::*;

fn verdict(schema: &Value, document: &Value) -> bool {
    let compiled = Schema::new(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    compiled.check(document).expect("a verdict").is_empty()
}

fn schemas() -> Vec<Value> {
    serde_json::from_str(include_str!("../../tests/schemas.json")).expect("JSON")
}

fn documents() -> Vec<Value> {
    serde_json::from_str(include_str!("../../tests/documents.json")).expect("JSON")
}

#[test]
fn verdicts_are_those_of_a_complete_validator() {
    let mut valid = 0;
    let mut compared = 0;
    for schema in schemas() {
        let complete = jsonschema::validator_for(&schema).expect("a schema");
        for document in documents() {
            let expected = complete.is_valid(&document);
            assert_eq!(verdict(&schema, &document), expected, "{schema} {document}");
            valid += usize::from(expected);
            compared += 1;
        }
    }
    // Both verdicts must be common, or the comparison says nothing.
    assert!(compared > 2000 && valid > compared / 10 && valid < compared * 9 / 10);
}

#[test]
fn violations_name_both_places() {
    let schema = json!({
        "properties": { "a/b": { "items": { "$ref": "#/$defs/small" } } },
        "$defs": { "small": { "maximum": 3 } },
    });
    let compiled = Schema::new(&schema).expect("a schema");
    let found = compiled.check(&json!({ "a/b": [1, 9] })).expect("a verdict");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "/a~1b/1");
    assert_eq!(found[0].schema_path, "/properties/a~1b/items/$ref/maximum");
    assert_eq!(found[0].message, "9 is greater than the maximum of 3");
}

#[test]
fn a_schema_that_is_none_is_refused_with_its_place() {
    for (schema, expected) in [
        (json!(7), ": 7 is not an object, true or false"),
        (json!({ "type": "text" }), "/type: expected the name of a type, or a list of them"),
        (json!({ "properties": { "a": { "pattern": "(" } } }), "/properties/a/pattern: "),
        (json!({ "$ref": "#/nowhere" }), "/$ref: #/nowhere is not in this schema"),
        (json!({ "$ref": "https://example.org/x" }), "is not in this schema"),
        (json!({ "minLength": -1 }), "/minLength: expected a whole number"),
        (json!({ "anyOf": [] }), "/anyOf: expected a list of schemas"),
    ] {
        let error = Schema::new(&schema).err().unwrap_or_default();
        assert!(error.contains(expected), "{schema}: {error}");
    }
}

#[test]
fn a_schema_that_refers_to_itself_for_ever_stops() {
    let schema = json!({ "$ref": "#" });
    let compiled = Schema::new(&schema).expect("a schema");
    assert!(matches!(compiled.check(&json!(1)), Err(Stopped::TooDeep(_))));
    let branch = json!({ "$ref": "#/$defs/a" });
    let doubling = json!({ "$defs": { "a": { "anyOf": [branch, branch, { "type": "null" }] } },
        "$ref": "#/$defs/a" });
    let compiled = Schema::new(&doubling).expect("a schema");
    assert!(compiled.check(&json!(1)).is_err());
}
