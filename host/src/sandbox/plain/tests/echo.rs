//! Random types through real components: a component of each type, whose function returns what it
//! is given, is compiled and called.

use super::generate::{shape, value};
use super::{decode, encode};
use crate::sandbox::plain::shape::Shape;
use crate::sandbox::plain::{Exports, Limits, Outcome, PlainError};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store};

/// Parameters behind the first one, so many that all of them pass through memory: then a function
/// that returns its pointer returns its first parameter, whatever the type.
const PADDING: usize = 16;

/// An engine that knows every type of the component model.
pub(super) fn engine() -> Engine {
    let mut config = Config::new();
    config
        .wasm_component_model_map(true)
        .wasm_component_model_fixed_length_lists(true);
    Engine::new(&config).unwrap()
}

/// A core module with memory, an allocator and an identity.
const CORE: &str = r#"
    (core module $m
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 16))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and
                (i32.add (global.get $free) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (block $done (loop $more
                (br_if $done (i32.ge_u
                    (i32.mul (memory.size) (i32.const 65536)) (global.get $free)))
                (br_if $done (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
                (br $more)))
            (local.get $at))
        (func (export "echo") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m))
"#;

/// Writes the definitions of types and says how to refer to each.
#[derive(Default)]
struct Types {
    text: String,
    count: usize,
}

impl Types {
    /// A component that exports `demo:echo/types@0.1.0.echo` for this type.
    fn component(shape: &Shape) -> String {
        let mut types = Self::default();
        let name = types.reference(shape);
        let padding = (0..PADDING)
            .map(|i| format!("(param \"p{i}\" u32)"))
            .collect::<String>();
        let text = types.text;
        format!(
            r#"(component {CORE} {text}
                (func (export "echo") (param "a" {name}) {padding} (result {name})
                    (canon lift (core func $i "echo") (memory $i "memory")
                        (realloc (func $i "realloc")))))"#
        )
    }

    fn reference(&mut self, shape: &Shape) -> String {
        let definition = match shape {
            Shape::Bool => return "bool".to_owned(),
            Shape::Integer(kind) => return kind.name().to_owned(),
            Shape::F32 => return "f32".to_owned(),
            Shape::F64 => return "f64".to_owned(),
            Shape::Char => return "char".to_owned(),
            Shape::String => return "string".to_owned(),
            Shape::List(item) => format!("(list {})", self.reference(item)),
            Shape::FixedList(item, n) => format!("(list {} {n})", self.reference(item)),
            Shape::Map(key, item) => {
                format!("(map {} {})", self.reference(key), self.reference(item))
            }
            Shape::Record(fields) => {
                let field =
                    |(n, s): &(String, Shape)| format!("(field {n:?} {})", self.reference(s));
                format!("(record {})", fields.iter().map(field).collect::<String>())
            }
            Shape::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|item| self.reference(item)).collect();
                format!("(tuple {})", items.join(" "))
            }
            Shape::Variant(cases) => {
                let case = |(name, payload): &(String, Option<Shape>)| {
                    let payload = payload
                        .as_ref()
                        .map(|p| self.reference(p))
                        .unwrap_or_default();
                    format!("(case {name:?} {payload})")
                };
                format!("(variant {})", cases.iter().map(case).collect::<String>())
            }
            Shape::Enum(names) => format!("(enum {})", quoted(names)),
            Shape::Flags(names) => format!("(flags {})", quoted(names)),
            Shape::Option(some) => format!("(option {})", self.reference(some)),
            Shape::Result { ok, err } => {
                let ok = ok.as_ref().map(|ok| self.reference(ok)).unwrap_or_default();
                let err = err
                    .as_ref()
                    .map(|err| format!("(error {})", self.reference(err)));
                format!("(result {ok} {})", err.unwrap_or_default())
            }
            Shape::Own(_) | Shape::Borrow(_) | Shape::Channel(_) => unreachable!("not generated"),
        };
        let number = self.count;
        self.count += 1;
        // Exported functions may use records and the like only under an exported name.
        write!(self.text, "(type $d{number} {definition})").unwrap();
        write!(
            self.text,
            "(export $t{number} \"t{number}\" (type $d{number}))"
        )
        .unwrap();
        format!("$t{number}")
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?} ")).collect()
}

/// Plans a call and makes it, and all calls inside of its arguments.
pub(super) fn call(
    component: &Component,
    name: &str,
    arguments: &Value,
) -> Result<Outcome, PlainError> {
    let limits = Limits::default();
    let exports = Exports::of(component);
    let export = exports.resolve(name).unwrap();
    let schema = exports.arguments_schema(export);
    let valid = jsonschema::draft202012::is_valid(&schema, arguments);
    let mut run = exports.plan(export, arguments, &limits)?.start();
    assert!(
        valid,
        "the plan accepts what the schema refuses: {schema} {arguments}"
    );
    let mut store = Store::new(component.engine(), ());
    let linker = Linker::new(component.engine());
    let instance = linker.instantiate(&mut store, component).unwrap();
    while let Some(mut call) = run.next_call() {
        let func = instance.get_func(&mut store, call.export.index).unwrap();
        func.call(&mut store, &call.arguments, &mut call.results)
            .unwrap();
        if let Some(outcome) = run.answer(call.results)? {
            return Ok(outcome);
        }
    }
    unreachable!("a plan ends with an outcome")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_value_survives_a_call(
        (shape, value) in shape().prop_flat_map(|shape| {
            // More than one core value, so that the result passes through memory too.
            let shape = Shape::Tuple(vec![shape, Shape::String]);
            let value = value(&shape);
            (Just(shape), value)
        }),
    ) {
        let component = Component::new(&engine(), Types::component(&shape)).unwrap();
        let exports = Exports::of(&component);
        let export = exports.resolve("echo").unwrap();
        prop_assert_eq!(&export.parameters[0].1, &shape);
        prop_assert_eq!(export.result.as_ref(), Some(&shape));

        let json = encode(&shape, value, &Limits::default()).unwrap();
        let mut arguments = json!({"a": json});
        for i in 0..PADDING {
            arguments[format!("p{i}")] = json!(0);
        }
        let outcome = call(&component, "echo", &arguments).unwrap();
        prop_assert_eq!(&outcome, &Outcome::Returned(json.clone()));
        let schema = export.result_schema();
        prop_assert!(jsonschema::draft202012::is_valid(&schema, &json));
    }
}

#[test]
fn a_nan_comes_back_as_a_nan() {
    let json = encode(&Shape::F32, Val::Float32(f32::NAN), &Limits::default()).unwrap();
    assert_eq!(json, json!("NaN"));
    let back = decode(&Shape::F32, &json, &Limits::default()).unwrap();
    assert!(matches!(back, Val::Float32(value) if value.is_nan()));
}
