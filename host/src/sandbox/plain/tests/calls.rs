//! Handles: calls inside of arguments, against a component with a resource.

use super::echo::{call, engine};
use crate::sandbox::plain::{Exports, LimitName, Limits, Outcome, PlainError};
use serde_json::{Value, json};
use wasmtime::component::Component;

/// A counter as a resource whose representation is its number.
const STORE: &str = r#"
(component
    (type $bucket' (resource (rep i32)))
    (core func $new (canon resource.new $bucket'))
    (core func $rep (canon resource.rep $bucket'))
    (core module $m
        (import "" "new" (func $new (param i32) (result i32)))
        (import "" "rep" (func $rep (param i32) (result i32)))
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 64))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func (export "new") (param i32) (result i32) (call $new (local.get 0)))
        (func (export "open") (param i32) (result i32)
            (i32.store8 (i32.const 0) (i32.eqz (local.get 0)))
            (i32.store (i32.const 4) (i32.const 7))
            (if (local.get 0) (then (i32.store (i32.const 4) (call $new (local.get 0)))))
            (i32.const 0))
        (func (export "get") (param i32) (result i32) (local.get 0))
        (func (export "same") (param i32) (result i32) (local.get 0))
        (func (export "sum") (param $at i32) (param $n i32) (result i32) (local $sum i32)
            (block $done (loop $more
                (br_if $done (i32.eqz (local.get $n)))
                (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
                (local.set $at (i32.add (local.get $at) (i32.const 4)))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br $more)))
            (local.get $sum)))
    (core instance $i (instantiate $m
        (with "" (instance (export "new" (func $new)) (export "rep" (func $rep))))))
    (func $make (param "start" u32) (result (own $bucket'))
        (canon lift (core func $i "new")))
    (func $open (param "start" u32) (result (result (own $bucket') (error u32)))
        (canon lift (core func $i "open") (memory $i "memory")))
    (func $get (param "self" (borrow $bucket')) (result u32)
        (canon lift (core func $i "get")))
    (func $same (param "it" (own $bucket')) (result (own $bucket'))
        (canon lift (core func $i "same")))
    (func $sum (param "all" (list (borrow $bucket'))) (result u32)
        (canon lift (core func $i "sum") (memory $i "memory") (realloc (func $i "realloc"))))
    (component $c
        (import "bucket" (type $b (sub resource)))
        (import "make" (func $make (param "start" u32) (result (own $b))))
        (import "open" (func $open (param "start" u32) (result (result (own $b) (error u32)))))
        (import "get" (func $get (param "self" (borrow $b)) (result u32)))
        (import "same" (func $same (param "it" (own $b)) (result (own $b))))
        (import "sum" (func $sum (param "all" (list (borrow $b))) (result u32)))
        (export $e "bucket" (type $b))
        (export "[constructor]bucket" (func $make)
            (func (param "start" u32) (result (own $e))))
        (export "[static]bucket.open" (func $open)
            (func (param "start" u32) (result (result (own $e) (error u32)))))
        (export "[method]bucket.get" (func $get)
            (func (param "self" (borrow $e)) (result u32)))
        (export "same" (func $same) (func (param "it" (own $e)) (result (own $e))))
        (export "sum" (func $sum) (func (param "all" (list (borrow $e))) (result u32))))
    (instance $store (instantiate $c
        (with "bucket" (type $bucket')) (with "make" (func $make)) (with "open" (func $open))
        (with "get" (func $get)) (with "same" (func $same)) (with "sum" (func $sum))))
    (export "demo:db/store@1.0.0" (instance $store)))
"#;

fn store() -> Component {
    Component::new(&engine(), STORE).unwrap()
}

fn make(start: u32) -> Value {
    json!({"$call": "demo:db/store.bucket.new", "arguments": {"start": start}})
}

fn refused(name: &str, arguments: Value) -> PlainError {
    let component = store();
    let exports = Exports::of(&component);
    let export = exports.resolve(name).unwrap();
    exports
        .plan(export, &arguments, &Limits::default())
        .unwrap_err()
}

#[test]
fn exports_are_listed_with_names_and_signatures() {
    let component = store();
    let exports = Exports::of(&component);
    let list: Vec<(&str, &str)> = exports
        .list()
        .iter()
        .map(|e| (e.name.as_str(), e.signature.as_str()))
        .collect();
    let expected = [
        (
            "demo:db/store.bucket.new",
            "bucket.new: func(start: u32) -> bucket",
        ),
        (
            "demo:db/store.bucket.open",
            "bucket.open: func(start: u32) -> result<bucket, u32>",
        ),
        (
            "demo:db/store.bucket.get",
            "bucket.get: func(self: borrow<bucket>) -> u32",
        ),
        ("demo:db/store.same", "same: func(it: bucket) -> bucket"),
        (
            "demo:db/store.sum",
            "sum: func(all: list<borrow<bucket>>) -> u32",
        ),
    ];
    assert_eq!(list, expected);
    assert!(
        exports
            .list()
            .iter()
            .all(|export| export.not_callable.is_none())
    );
    let by_version = exports.resolve("demo:db/store@1.0.0.bucket.get").unwrap();
    assert_eq!(by_version.name, "demo:db/store.bucket.get");
    let schema = exports.arguments_schema(by_version);
    let makers = &schema["properties"]["self"]["properties"]["$call"]["examples"];
    let expected = ["bucket.new", "bucket.open", "same"].map(|f| format!("demo:db/store.{f}"));
    assert_eq!(*makers, json!(expected));
}

#[test]
fn a_method_is_called_on_a_handle_made_in_the_same_call() {
    let arguments = json!({"self": make(42)});
    let outcome = call(&store(), "demo:db/store.bucket.get", &arguments);
    assert_eq!(outcome, Ok(Outcome::Returned(json!(42))));
}

#[test]
fn handles_are_made_by_fallible_functions_and_inside_of_calls() {
    let open = json!({"$call": "demo:db/store.bucket.open", "arguments": {"start": 5}});
    let same = json!({"$call": "demo:db/store.same", "arguments": {"it": make(6)}});
    let arguments = json!({"all": [make(1), open, same, make(30)]});
    let outcome = call(&store(), "demo:db/store.sum", &arguments);
    assert_eq!(outcome, Ok(Outcome::Returned(json!(42))));
}

#[test]
fn a_failed_inner_call_stops_the_call_with_its_error() {
    let open = json!({"$call": "demo:db/store.bucket.open", "arguments": {"start": 0}});
    let error = call(
        &store(),
        "demo:db/store.sum",
        &json!({"all": [make(1), open]}),
    )
    .unwrap_err();
    let expected = "$.all[1]: `demo:db/store.bucket.open` returned an error: 7";
    assert_eq!(error.to_string(), expected);
    // As the outer call, the same error is the tool's own.
    let outcome = call(&store(), "demo:db/store.bucket.open", &json!({"start": 0}));
    assert_eq!(outcome, Ok(Outcome::Failed(json!(7))));
}

#[test]
fn a_handle_in_a_result_is_only_shown() {
    let outcome = call(&store(), "demo:db/store.bucket.new", &json!({"start": 1}));
    assert_eq!(
        outcome,
        Ok(Outcome::Returned(json!({"$resource": "bucket#0"})))
    );
}

#[test]
fn a_call_inside_must_make_the_handle_that_is_expected() {
    let get = "demo:db/store.bucket.get";
    let error = refused(get, json!({"self": {"$call": "demo:db/store.sum"}}));
    let expected = "$.self.$call: `demo:db/store.sum` does not make a `bucket`";
    assert_eq!(error.to_string(), expected);
    let error = refused(get, json!({"self": {"$call": "demo:db/store.bucket.nwe"}}));
    assert!(
        error
            .to_string()
            .contains("did you mean `demo:db/store.bucket.new`?"),
        "{error}"
    );
    let error = refused(get, json!({"self": {"$call": "demo:db/store.bucket.new"}}));
    assert_eq!(
        error.to_string(),
        "$.self.arguments: missing field `start`: u32"
    );
    let error = refused(get, json!({"self": 5}));
    assert!(
        error
            .to_string()
            .starts_with("$.self: expected a `bucket` as {\"$call\""),
        "{error}"
    );
}

#[test]
fn calls_inside_are_bounded_in_number_and_depth() {
    let many: Vec<Value> = (0..33).map(make).collect();
    let error = refused("demo:db/store.sum", json!({"all": many}));
    assert!(
        matches!(
            error,
            PlainError::Limit {
                limit: LimitName::Calls,
                max: 32,
                ..
            }
        ),
        "{error}"
    );
    let mut deep = make(1);
    for _ in 0..8 {
        deep = json!({"$call": "demo:db/store.same", "arguments": {"it": deep}});
    }
    let error = refused("demo:db/store.bucket.get", json!({"self": deep}));
    assert!(matches!(
        error,
        PlainError::Limit {
            limit: LimitName::CallDepth,
            max: 8,
            ..
        }
    ));
}

#[test]
fn what_has_no_form_in_json_is_listed_with_its_reason() {
    let text = r#"(component
        (import "demo:io/streams" (instance $s (export "input" (type (sub resource)))))
        (alias export $s "input" (type $input))
        (core module $m (func (export "f") (param i32)))
        (core instance $i (instantiate $m))
        (func (export "wait") (param "it" (future u32)) (canon lift (core func $i "f")))
        (func (export "read") (param "it" (own $input)) (canon lift (core func $i "f")))
        (func (export "count") (param "n" s32) (canon lift (core func $i "f"))))"#;
    let component = Component::new(&engine(), text).unwrap();
    let exports = Exports::of(&component);
    let reason = |name: &str| exports.resolve(name).unwrap().not_callable.as_deref();
    assert_eq!(
        reason("wait"),
        Some("its type holds a future, which has no form in JSON")
    );
    assert_eq!(
        reason("read"),
        Some("it needs a `input`, which no export makes")
    );
    assert_eq!(reason("count"), None);
    let wait = exports.resolve("wait").unwrap();
    let error = exports
        .plan(wait, &json!({}), &Limits::default())
        .unwrap_err();
    assert!(matches!(error, PlainError::NotCallable { .. }));
}

#[test]
fn a_type_that_unfolds_exponentially_is_listed_as_too_large() {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for i in 0..16 {
        let next = i + 1;
        text.push_str(&format!("(type $t{next} (tuple $t{i} $t{i}))"));
    }
    text.push_str(
        r#"(core module $m (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "f") (param i32)))
        (core instance $i (instantiate $m))
        (func (export "f") (param "bomb" $t16)
            (canon lift (core func $i "f") (memory $i "memory") (realloc (func $i "realloc")))))"#,
    );
    let component = Component::new(&engine(), text).unwrap();
    let exports = Exports::of(&component);
    let export = exports.resolve("f").unwrap();
    assert!(
        export
            .not_callable
            .as_ref()
            .unwrap()
            .contains("too many parts")
    );
    assert_eq!(export.signature, "f: func(…)");
}
