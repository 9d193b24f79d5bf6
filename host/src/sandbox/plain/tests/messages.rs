//! What the errors say, and that every limit holds.

use super::{decode, encode};
use crate::sandbox::plain::shape::{Integer, Shape};
use crate::sandbox::plain::{LimitName, Limits, PlainError};
use serde_json::{Value, json};
use wasmtime::component::Val;

fn refused(shape: &Shape, json: Value) -> String {
    decode(shape, &json, &Limits::default())
        .unwrap_err()
        .to_string()
}

fn record(fields: &[(&str, Shape)]) -> Shape {
    Shape::Record(
        fields
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), shape.clone()))
            .collect(),
    )
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn an_error_names_path_expectation_and_what_was_found() {
    let item = record(&[("name", Shape::String)]);
    let shape = record(&[("items", Shape::List(Box::new(item)))]);
    let json = json!({"items": [{"name": "a"}, {"name": 5}]});
    assert_eq!(
        refused(&shape, json),
        "$.items[1].name: expected string, got number 5"
    );
    let message = refused(&shape, json!({"items": [{}]}));
    assert_eq!(message, "$.items[0]: missing field `name`: string");
    let message = refused(&shape, json!({"items": [{"nam": "a"}]}));
    assert_eq!(
        message,
        "$.items[0]: unknown field `nam`; did you mean `name`?"
    );
    let message = refused(&shape, json!({"zzz": 1}));
    assert_eq!(message, "$: unknown field `zzz`; known: items");
}

#[test]
fn an_integer_out_of_range_is_told_the_range() {
    let message = refused(&Shape::Integer(Integer::U8), json!(256));
    assert_eq!(message, "$: 256 is out of range for u8: 0 to 255");
    let message = refused(&Shape::Integer(Integer::U64), json!("18446744073709551616"));
    assert!(
        message.contains("out of range for u64: 0 to 18446744073709551615"),
        "{message}"
    );
    let message = refused(&Shape::Integer(Integer::S64), json!(1e300));
    assert!(message.contains("out of range for s64"), "{message}");
    let message = refused(&Shape::Integer(Integer::U32), json!("5"));
    assert_eq!(message, "$: expected integer (u32), got string \"5\"");
    let message = refused(&Shape::Integer(Integer::U32), json!(5.5));
    assert_eq!(message, "$: expected integer (u32), got number 5.5");
    assert!(refused(&Shape::F32, json!(1e39)).contains("out of range for f32"));
}

#[test]
fn wide_integers_are_exact_as_number_and_as_string() {
    let shape = Shape::Integer(Integer::U64);
    for json in [json!(9_007_199_254_740_993_u64), json!("9007199254740993")] {
        let value = decode(&shape, &json, &Limits::default()).unwrap();
        assert_eq!(value, Val::U64(9_007_199_254_740_993));
    }
}

#[test]
fn cases_and_flags_come_with_the_nearest() {
    let shape = Shape::Enum(strings(&["red", "green"]));
    assert_eq!(
        refused(&shape, json!("gren")),
        "$: unknown case `gren`; did you mean `green`?"
    );
    let shape = Shape::Flags(strings(&["read", "write"]));
    assert_eq!(
        refused(&shape, json!(["x"])),
        "$[0]: unknown flag `x`; known: read, write"
    );
    assert_eq!(
        refused(&shape, json!(["read", "read"])),
        "$[1]: flag `read` is given twice"
    );
    let cases = vec![
        ("dot".to_owned(), None),
        ("circle".to_owned(), Some(Shape::F64)),
    ];
    let shape = Shape::Variant(cases);
    let message = refused(&shape, json!("circle"));
    assert_eq!(message, "$: case `circle` has a payload: {\"circle\": f64}");
    let message = refused(&shape, json!({"dot": 1}));
    assert_eq!(message, "$: case `dot` has no payload: write \"dot\"");
}

#[test]
fn nested_options_keep_their_levels() {
    let shape = Shape::Option(Box::new(Shape::Option(Box::new(Shape::Bool))));
    let level = |json: Value| decode(&shape, &json, &Limits::default()).unwrap();
    let some = |value: Val| Val::Option(Some(Box::new(value)));
    assert_eq!(level(json!(null)), Val::Option(None));
    assert_eq!(level(json!({"some": null})), some(Val::Option(None)));
    assert_eq!(level(json!({"some": true})), some(some(Val::Bool(true))));
    assert_eq!(
        refused(&shape, json!(true)),
        "$: expected null or {\"some\": value}, got boolean true"
    );
}

#[test]
fn bytes_are_taken_in_three_forms() {
    let shape = Shape::List(Box::new(Shape::Integer(Integer::U8)));
    for json in [
        json!([104, 105]),
        json!({"base64": "aGk="}),
        json!({"utf8": "hi"}),
    ] {
        let value = decode(&shape, &json, &Limits::default()).unwrap();
        assert_eq!(value, Val::List(vec![Val::U8(104), Val::U8(105)]));
        let back = encode(&shape, value, &Limits::default()).unwrap();
        assert_eq!(back, json!({"base64": "aGk="}));
    }
    assert!(refused(&shape, json!({"base64": "a"})).starts_with("$.base64: not base64"));
    assert!(refused(&shape, json!("aGk=")).starts_with("$: expected bytes as {\"base64\""));
}

#[test]
fn an_f32_is_shown_as_it_was_written() {
    let json = encode(&Shape::F32, Val::Float32(0.1), &Limits::default()).unwrap();
    assert_eq!(json.to_string(), "0.1");
}

#[test]
fn too_many_values_are_refused() {
    let limits = Limits {
        values_max: 100,
        ..Limits::default()
    };
    let byte = Shape::Integer(Integer::U8);
    let bytes = Shape::List(Box::new(byte));
    let bools = Shape::List(Box::new(Shape::Bool));
    for (shape, json) in [
        (&bools, json!(vec![true; 100])),
        (&bytes, json!(vec![1; 100])),
        (&bytes, json!({"utf8": "x".repeat(100)})),
        (&bytes, json!({"base64": "A".repeat(136)})),
    ] {
        let error = decode(shape, &json, &limits).unwrap_err();
        let limit = PlainError::Limit {
            path: String::new(),
            limit: LimitName::Values,
            max: 100,
        };
        assert_eq!(
            std::mem::discriminant(&error),
            std::mem::discriminant(&limit)
        );
        assert!(
            error
                .to_string()
                .ends_with("more than 100 values in the arguments"),
            "{error}"
        );
    }
    assert!(decode(&bytes, &json!({"base64": "A".repeat(132)}), &limits).is_ok());
}

#[test]
fn too_deep_values_are_refused_both_ways() {
    let limits = Limits {
        depth_max: 10,
        ..Limits::default()
    };
    let (mut shape, mut json) = (Shape::Bool, json!(true));
    for _ in 0..11 {
        shape = Shape::List(Box::new(shape));
        json = json!([json]);
    }
    let error = decode(&shape, &json, &limits).unwrap_err();
    assert!(matches!(
        error,
        PlainError::Limit {
            limit: LimitName::Depth,
            max: 10,
            ..
        }
    ));
    let value = decode(&shape, &json, &Limits::default()).unwrap();
    let error = encode(&shape, value, &limits).unwrap_err();
    assert!(matches!(
        error,
        PlainError::Limit {
            limit: LimitName::Depth,
            max: 10,
            ..
        }
    ));
}

#[test]
fn a_value_of_another_type_is_a_fault_and_not_a_panic() {
    for shape in [
        Shape::String,
        Shape::Option(Box::new(Shape::Char)),
        Shape::Enum(vec![]),
    ] {
        let error = encode(&shape, Val::Bool(true), &Limits::default()).unwrap_err();
        assert!(matches!(error, PlainError::Mismatch { .. }));
    }
}
