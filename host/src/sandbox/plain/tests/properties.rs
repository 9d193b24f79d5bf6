//! What holds for every type and every value.

use super::generate::{shape, shape_and_value};
use super::{argument_validator, decode, encode};
use crate::sandbox::plain::encode::Encoder;
use crate::sandbox::plain::path::Path;
use crate::sandbox::plain::{LimitName, Limits, PlainError, schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_value_survives_the_way_to_json_text_and_back((shape, value) in shape_and_value()) {
        let limits = Limits::default();
        let json = encode(&shape, value.clone(), &limits).unwrap();
        let text = serde_json::to_string(&json).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        let back = decode(&shape, &read, &limits).unwrap();
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(encode(&shape, back, &limits).unwrap(), json);
    }

    #[test]
    fn what_is_encoded_fits_both_schemas((shape, value) in shape_and_value()) {
        let json = encode(&shape, value, &Limits::default()).unwrap();
        let schema = schema::output(Some(&shape));
        prop_assert!(jsonschema::meta::is_valid(&schema));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        prop_assert!(validator.is_valid(&json), "{schema} {json}");
        prop_assert!(argument_validator(&shape).is_valid(&json), "{schema} {json}");
    }

    #[test]
    fn decoding_accepts_what_the_schema_allows(
        (shape, value) in shape_and_value(),
        change in change(),
    ) {
        let json = encode(&shape, value, &Limits::default()).unwrap();
        let json = apply(&change, json);
        let allowed = argument_validator(&shape).is_valid(&json);
        match decode(&shape, &json, &Limits::default()) {
            Ok(_) => prop_assert!(allowed, "{shape:?} {json}"),
            // What a schema cannot say: the range of a decimal string or of an f32, and base64.
            Err(PlainError::Argument { problem, .. })
                if problem.contains("out of range") || problem.contains("base64") => {}
            Err(error) => prop_assert!(!allowed, "{shape:?} {json} {error}"),
        }
    }

    #[test]
    fn any_json_is_refused_with_a_path_or_accepted(shape in shape(), json in any_json()) {
        if let Err(error) = decode(&shape, &json, &Limits::default()) {
            prop_assert!(error.to_string().starts_with('$'), "{error}");
        }
    }

    #[test]
    fn the_counted_size_is_the_size_of_the_text((shape, value) in shape_and_value()) {
        let limits = Limits::default();
        let mut encoder = Encoder::new(&limits);
        let json = encoder.value(&shape, value.clone(), &Path::root()).unwrap();
        let size = serde_json::to_string(&json).unwrap().len();
        prop_assert_eq!(encoder.bytes(), size);
        let exact = Limits { output_bytes_max: size, ..limits };
        prop_assert!(encode(&shape, value.clone(), &exact).is_ok());
        let short = Limits { output_bytes_max: size - 1, ..limits };
        let refused = encode(&shape, value, &short);
        let by_size =
            matches!(refused, Err(PlainError::Limit { limit: LimitName::OutputBytes, .. }));
        prop_assert!(by_size);
    }
}

/// A change to some place in a document: steps down to it, and what it becomes.
fn change() -> impl Strategy<Value = (Vec<usize>, Value)> {
    (proptest::collection::vec(0..4_usize, 0..5), any_json())
}

/// Replaces the place that the steps lead to, or adds a member where they end at an object.
fn apply((steps, new): &(Vec<usize>, Value), json: Value) -> Value {
    let Some((step, rest)) = steps.split_first() else {
        return new.clone();
    };
    let deeper = (rest.to_vec(), new.clone());
    match json {
        Value::Array(mut items) if !items.is_empty() => {
            let at = step % items.len();
            items[at] = apply(&deeper, items[at].take());
            Value::Array(items)
        }
        Value::Object(mut members) if *step < members.len() => {
            let at = members.values_mut().nth(*step).unwrap();
            *at = apply(&deeper, at.take());
            Value::Object(members)
        }
        Value::Object(mut members) => {
            members.insert("value".to_owned(), new.clone());
            Value::Object(members)
        }
        Value::Array(_) => json!([new]),
        _ => new.clone(),
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = vec![
        "some", "ok", "err", "base64", "utf8", "value", "a", "NaN", "aGk=", "12", "-1",
    ];
    let name = proptest::sample::select(names).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300..300_i32).prop_map(Value::from),
        (-300..300_i32).prop_map(|n| Value::from(f64::from(n))),
        any::<f64>().prop_map(Value::from),
        name.clone().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..3)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}
