//! Random types, and random values of a type.

use crate::sandbox::plain::shape::{Integer, Shape};
use proptest::prelude::*;
use wasmtime::component::Val;

/// Names that would be mistaken for the JSON forms of other types, if anything could.
const NAMES: [&str; 10] = [
    "some",
    "ok",
    "err",
    "base64",
    "utf8",
    "value",
    "max-size",
    "a",
    "null",
    "arguments",
];

/// A random type without handles, a few levels deep.
pub(super) fn shape() -> impl Strategy<Value = Shape> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let side = proptest::option::of(boxed.clone());
        prop_oneof![
            boxed.clone().prop_map(Shape::List),
            boxed.clone().prop_map(Shape::Option),
            (boxed.clone(), 1..4_usize).prop_map(|(item, length)| Shape::FixedList(item, length)),
            (map_key(), boxed).prop_map(|(key, value)| Shape::Map(Box::new(key), value)),
            (side.clone(), side).prop_map(|(ok, err)| Shape::Result { ok, err }),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            named(inner.clone()).prop_map(Shape::Record),
            named(proptest::option::of(inner)).prop_map(Shape::Variant),
        ]
    })
}

fn leaf() -> impl Strategy<Value = Shape> {
    let names = proptest::sample::subsequence(NAMES.to_vec(), 1..5)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
    prop_oneof![
        5 => scalar(),
        1 => names.clone().prop_map(Shape::Enum),
        1 => names.prop_map(Shape::Flags),
        1 => Just(Shape::List(Box::new(Shape::Integer(Integer::U8)))),
    ]
}

fn scalar() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Bool),
        Just(Shape::F32),
        Just(Shape::F64),
        Just(Shape::Char),
        Just(Shape::String),
        integer(),
    ]
}

fn integer() -> impl Strategy<Value = Shape> {
    use Integer::{S8, S16, S32, S64, U8, U16, U32, U64};
    proptest::sample::select(vec![S8, U8, S16, U16, S32, U32, S64, U64]).prop_map(Shape::Integer)
}

fn map_key() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::String),
        Just(Shape::Char),
        Just(Shape::Bool),
        integer()
    ]
}

fn named<T: std::fmt::Debug + Clone + 'static>(
    of: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = Vec<(String, T)>> {
    proptest::sample::subsequence(NAMES.to_vec(), 1..4).prop_flat_map(move |names| {
        let count = names.len();
        proptest::collection::vec(of.clone(), count).prop_map(move |of| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .zip(of)
                .collect::<Vec<_>>()
        })
    })
}

/// A random type with a random value of it.
pub(super) fn shape_and_value() -> impl Strategy<Value = (Shape, Val)> {
    shape().prop_flat_map(|shape| {
        let value = value(&shape);
        (Just(shape), value)
    })
}

/// A random value of a type.
pub(super) fn value(shape: &Shape) -> BoxedStrategy<Val> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Shape::Integer(kind) => integer_value(*kind),
        Shape::F32 => any::<f32>().prop_map(Val::Float32).boxed(),
        Shape::F64 => any::<f64>().prop_map(Val::Float64).boxed(),
        Shape::Char => any::<char>().prop_map(Val::Char).boxed(),
        Shape::String => any::<String>().prop_map(Val::String).boxed(),
        Shape::List(item) => proptest::collection::vec(value(item), 0..4)
            .prop_map(Val::List)
            .boxed(),
        Shape::FixedList(item, length) => proptest::collection::vec(value(item), *length)
            .prop_map(Val::FixedLengthList)
            .boxed(),
        Shape::Map(key, item) => map_value(key, item),
        Shape::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, shape)| (Just(name.clone()), value(shape)));
            fields.collect::<Vec<_>>().prop_map(Val::Record).boxed()
        }
        Shape::Tuple(items) => items
            .iter()
            .map(value)
            .collect::<Vec<_>>()
            .prop_map(Val::Tuple)
            .boxed(),
        Shape::Variant(cases) => {
            let cases = cases.clone();
            proptest::sample::select(cases)
                .prop_flat_map(|(name, shape)| {
                    payload(shape.as_ref()).prop_map(move |v| Val::Variant(name.clone(), v))
                })
                .boxed()
        }
        Shape::Enum(names) => proptest::sample::select(names.clone())
            .prop_map(Val::Enum)
            .boxed(),
        Shape::Flags(names) => {
            let count = 0..=names.len();
            proptest::sample::subsequence(names.clone(), count)
                .prop_map(Val::Flags)
                .boxed()
        }
        Shape::Option(some) => {
            let some = value(some).prop_map(Box::new);
            proptest::option::of(some).prop_map(Val::Option).boxed()
        }
        Shape::Result { ok, err } => prop_oneof![
            payload(ok.as_deref()).prop_map(|value| Val::Result(Ok(value))),
            payload(err.as_deref()).prop_map(|value| Val::Result(Err(value))),
        ]
        .boxed(),
        Shape::Own(_) | Shape::Borrow(_) | Shape::Channel(_) => unreachable!("not generated"),
    }
}

fn payload(shape: Option<&Shape>) -> BoxedStrategy<Option<Box<Val>>> {
    match shape {
        Some(shape) => value(shape).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

/// Maps with different string keys, as an object cannot hold one twice.
fn map_value(key: &Shape, item: &Shape) -> BoxedStrategy<Val> {
    if matches!(key, Shape::String) {
        let entries = proptest::collection::vec((any::<String>(), value(item)), 0..4);
        return entries
            .prop_map(|mut entries| {
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                entries.dedup_by(|(a, _), (b, _)| a == b);
                Val::Map(
                    entries
                        .into_iter()
                        .map(|(key, v)| (Val::String(key), v))
                        .collect(),
                )
            })
            .boxed();
    }
    proptest::collection::vec((value(key), value(item)), 0..4)
        .prop_map(Val::Map)
        .boxed()
}

fn integer_value(kind: Integer) -> BoxedStrategy<Val> {
    match kind {
        Integer::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        Integer::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        Integer::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        Integer::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        Integer::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        Integer::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        Integer::S64 => prop_oneof![any::<i64>(), Just(i64::MIN)]
            .prop_map(Val::S64)
            .boxed(),
        Integer::U64 => prop_oneof![any::<u64>(), Just(u64::MAX)]
            .prop_map(Val::U64)
            .boxed(),
    }
}
