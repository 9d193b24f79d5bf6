//! Values to JSON, guided by shapes. The value comes from a guest, so the size of the text is
//! counted while the JSON is built, not after.

use super::path::Path;
use super::shape::Shape;
use super::{LimitName, Limits, PlainError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use std::io;
use wasmtime::component::Val;

/// What a finished call returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The function's value: `null` where it has none, the `ok` side where it returns a `result`.
    Returned(Value),
    /// The `err` side of a function that returns a `result`: the tool's own error.
    Failed(Value),
}

/// What a function returned.
pub(super) fn outcome(
    shape: Option<&Shape>,
    results: Vec<Val>,
    limits: &Limits,
) -> Result<Outcome, PlainError> {
    let value = results.into_iter().next();
    let mut encoder = Encoder::new(limits);
    let root = Path::root();
    let (Some(shape), Some(value)) = (shape, value) else {
        return match shape {
            None => Ok(Outcome::Returned(Value::Null)),
            Some(_) => Err(mismatch(&root, "value")),
        };
    };
    match (shape, value) {
        (Shape::Result { ok, .. }, Val::Result(Ok(value))) => encoder
            .side(ok.as_deref(), value, &root)
            .map(Outcome::Returned),
        (Shape::Result { err, .. }, Val::Result(Err(value))) => encoder
            .side(err.as_deref(), value, &root)
            .map(Outcome::Failed),
        (shape, value) => encoder.value(shape, value, &root).map(Outcome::Returned),
    }
}

/// The state of one encoding.
pub(super) struct Encoder<'l> {
    limits: &'l Limits,
    /// Bytes of compact JSON so far.
    bytes: usize,
    /// Handles shown so far: their number in `bucket#0`.
    handles: usize,
}

impl<'l> Encoder<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            bytes: 0,
            handles: 0,
        }
    }

    /// Bytes of compact JSON that were counted.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// One value.
    pub(super) fn value(
        &mut self,
        shape: &Shape,
        value: Val,
        path: &Path<'_>,
    ) -> Result<Value, PlainError> {
        if path.depth > self.limits.depth_max {
            let (limit, max) = (LimitName::Depth, self.limits.depth_max);
            return Err(PlainError::Limit {
                path: path.to_string(),
                limit,
                max,
            });
        }
        match (shape, value) {
            (Shape::List(item), Val::List(items)) if item.is_byte() => self.blob(items, path),
            (Shape::List(item), Val::List(items))
            | (Shape::FixedList(item, _), Val::FixedLengthList(items)) => {
                self.array(std::iter::repeat(&**item).zip(items), path)
            }
            (Shape::Tuple(shapes), Val::Tuple(items)) if shapes.len() == items.len() => {
                self.array(shapes.iter().zip(items), path)
            }
            (Shape::Map(key, shape), Val::Map(entries)) => self.map(key, shape, entries, path),
            (Shape::Record(fields), Val::Record(values)) if fields.len() == values.len() => {
                self.record(fields, values, path)
            }
            (Shape::Variant(cases), Val::Variant(name, payload)) => {
                let case = cases.iter().find(|(case, _)| *case == name);
                let shape = case.and_then(|(_, shape)| shape.as_ref());
                match (shape, payload) {
                    (Some(shape), Some(value)) => {
                        self.single(&name, Some(shape), Some(value), path)
                    }
                    (None, None) if case.is_some() => self.leaf(Value::String(name), path),
                    _ => Err(mismatch(path, "variant")),
                }
            }
            (Shape::Enum(_), Val::Enum(name)) => self.leaf(Value::String(name), path),
            (Shape::Flags(_), Val::Flags(names)) => self.array(
                names
                    .into_iter()
                    .map(|name| (&Shape::String, Val::String(name))),
                path,
            ),
            (Shape::Option(_), Val::Option(None)) => self.leaf(Value::Null, path),
            (Shape::Option(some), Val::Option(Some(value))) => match some.is_option() {
                true => self.single("some", Some(some), Some(value), path),
                false => self.value(some, *value, path),
            },
            (Shape::Result { ok, .. }, Val::Result(Ok(value))) => {
                self.single("ok", ok.as_deref(), value, path)
            }
            (Shape::Result { err, .. }, Val::Result(Err(value))) => {
                self.single("err", err.as_deref(), value, path)
            }
            (Shape::Own(resource) | Shape::Borrow(resource), Val::Resource(_)) => {
                let shown = Val::String(format!("{}#{}", resource.name, self.handles));
                self.handles += 1;
                self.single(
                    "$resource",
                    Some(&Shape::String),
                    Some(Box::new(shown)),
                    path,
                )
            }
            (shape, value) => match scalar(shape, value) {
                Some(leaf) => self.leaf(leaf, path),
                None => Err(mismatch(path, expected(shape))),
            },
        }
    }

    /// The payload of a side of a `result`, or `null` where the side has none.
    fn side(
        &mut self,
        shape: Option<&Shape>,
        value: Option<Box<Val>>,
        path: &Path<'_>,
    ) -> Result<Value, PlainError> {
        match (shape, value) {
            (Some(shape), Some(value)) => self.value(shape, *value, path),
            (None, None) => self.leaf(Value::Null, path),
            _ => Err(mismatch(path, "result")),
        }
    }

    /// An object with one member.
    fn single(
        &mut self,
        name: &str,
        shape: Option<&Shape>,
        value: Option<Box<Val>>,
        path: &Path<'_>,
    ) -> Result<Value, PlainError> {
        self.brackets(path)?;
        self.key(name, path)?;
        let value = self.side(shape, value, &path.field(name))?;
        Ok(Value::Object(Map::from_iter([(name.to_owned(), value)])))
    }

    fn blob(&mut self, items: Vec<Val>, path: &Path<'_>) -> Result<Value, PlainError> {
        let byte = |value| match value {
            Val::U8(byte) => Some(byte),
            _ => None,
        };
        let length = items.len().div_ceil(3).saturating_mul(4);
        self.charge(length.saturating_add(r#"{"base64":""}"#.len()), path)?;
        let bytes: Option<Vec<u8>> = items.into_iter().map(byte).collect();
        let text = STANDARD.encode(bytes.ok_or_else(|| mismatch(path, "list<u8>"))?);
        Ok(Value::Object(Map::from_iter([(
            "base64".to_owned(),
            Value::String(text),
        )])))
    }

    fn array<'s>(
        &mut self,
        items: impl Iterator<Item = (&'s Shape, Val)>,
        path: &Path<'_>,
    ) -> Result<Value, PlainError> {
        self.brackets(path)?;
        let mut array = Vec::new();
        for (index, (shape, value)) in items.enumerate() {
            self.comma(index, path)?;
            array.push(self.value(shape, value, &path.index(index))?);
        }
        Ok(Value::Array(array))
    }

    fn map(
        &mut self,
        key: &Shape,
        shape: &Shape,
        entries: Vec<(Val, Val)>,
        path: &Path<'_>,
    ) -> Result<Value, PlainError> {
        self.brackets(path)?;
        let mut object = Map::new();
        let mut pairs = Vec::new();
        let by_name = matches!(key, Shape::String);
        for (index, (name, value)) in entries.into_iter().enumerate() {
            self.comma(index, path)?;
            let at = path.index(index);
            match (by_name, name) {
                (true, Val::String(name)) => {
                    self.key(&name, path)?;
                    let value = self.value(shape, value, &path.field(&name))?;
                    // A key that stands twice has its last value: the component model's rule.
                    object.insert(name, value);
                }
                (true, _) => return Err(mismatch(&at, "string")),
                (false, name) => {
                    let pair = [(key, name), (shape, value)];
                    pairs.push(self.array(pair.into_iter(), &at)?);
                }
            }
        }
        Ok(if by_name {
            Value::Object(object)
        } else {
            Value::Array(pairs)
        })
    }

    fn record(
        &mut self,
        fields: &[(String, Shape)],
        values: Vec<(String, Val)>,
        path: &Path<'_>,
    ) -> Result<Value, PlainError> {
        self.brackets(path)?;
        let mut object = Map::new();
        for (index, ((name, shape), (_, value))) in fields.iter().zip(values).enumerate() {
            self.comma(index, path)?;
            self.key(name, path)?;
            object.insert(name.clone(), self.value(shape, value, &path.field(name))?);
        }
        Ok(Value::Object(object))
    }

    fn leaf(&mut self, leaf: Value, path: &Path<'_>) -> Result<Value, PlainError> {
        self.charge(text_length(&leaf), path)?;
        Ok(leaf)
    }

    fn key(&mut self, name: &str, path: &Path<'_>) -> Result<(), PlainError> {
        self.charge(text_length(name).saturating_add(1), path)
    }

    fn brackets(&mut self, path: &Path<'_>) -> Result<(), PlainError> {
        self.charge(2, path)
    }

    fn comma(&mut self, index: usize, path: &Path<'_>) -> Result<(), PlainError> {
        self.charge(usize::from(index > 0), path)
    }

    fn charge(&mut self, bytes: usize, path: &Path<'_>) -> Result<(), PlainError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let (limit, max) = (LimitName::OutputBytes, self.limits.output_bytes_max);
        match self.bytes > max {
            true => Err(PlainError::Limit {
                path: path.to_string(),
                limit,
                max,
            }),
            false => Ok(()),
        }
    }
}

/// A value without parts, if it has the type that its shape says.
fn scalar(shape: &Shape, value: Val) -> Option<Value> {
    Some(match (shape, value) {
        (Shape::Bool, Val::Bool(value)) => value.into(),
        (Shape::Integer(_), Val::S8(value)) => value.into(),
        (Shape::Integer(_), Val::U8(value)) => value.into(),
        (Shape::Integer(_), Val::S16(value)) => value.into(),
        (Shape::Integer(_), Val::U16(value)) => value.into(),
        (Shape::Integer(_), Val::S32(value)) => value.into(),
        (Shape::Integer(_), Val::U32(value)) => value.into(),
        (Shape::Integer(_), Val::S64(value)) => value.into(),
        (Shape::Integer(_), Val::U64(value)) => value.into(),
        (Shape::F32, Val::Float32(value)) => float(shortest(value)),
        (Shape::F64, Val::Float64(value)) => float(value),
        (Shape::Char, Val::Char(value)) => value.to_string().into(),
        (Shape::String, Val::String(value)) => value.into(),
        _ => return None,
    })
}

fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => number.into(),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// The double whose text is the shortest that reads back as this float: 0.1 rather than
/// 0.10000000149011612.
fn shortest(value: f32) -> f64 {
    let wide: f64 = value.to_string().parse().unwrap_or(f64::from(value));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the check that rounding gives it back"
    )]
    let same = (wide as f32).to_bits() == value.to_bits();
    if same { wide } else { f64::from(value) }
}

/// The length of a leaf or a key as JSON text.
fn text_length(leaf: &(impl serde::Serialize + ?Sized)) -> usize {
    let mut count = Count(0);
    // Counting cannot fail, and neither can the serialization of a leaf.
    match serde_json::to_writer(&mut count, leaf) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// A writer that only counts.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "bool",
        Shape::Integer(kind) => kind.name(),
        Shape::F32 => "f32",
        Shape::F64 => "f64",
        Shape::Char => "char",
        Shape::String => "string",
        Shape::List(_) | Shape::FixedList(..) => "list",
        Shape::Map(..) => "map",
        Shape::Record(_) => "record",
        Shape::Tuple(_) => "tuple",
        Shape::Variant(_) => "variant",
        Shape::Enum(_) => "enum",
        Shape::Option(_) => "option",
        Shape::Result { .. } => "result",
        Shape::Flags(_) => "flags",
        Shape::Own(_) | Shape::Borrow(_) => "handle",
        Shape::Channel(name) => name,
    }
}

fn mismatch(path: &Path<'_>, expected: &'static str) -> PlainError {
    PlainError::Mismatch {
        path: path.to_string(),
        expected,
    }
}
