//! The types of a component as an own tree, computed once: schema, decoding and encoding work on it
//! and so need no component, no engine and no store.
//!
//! A component can declare a type whose tree is exponentially larger than its declaration. The
//! builder therefore counts what it builds and gives up at a bound.

use wasmtime::component::{ResourceType, Type};

/// Deepest type that is built: the validator refuses types deeper than 100.
const DEPTH_MAX: usize = 100;
/// Parts (nodes and names) of all types of one export.
const EXPORT_PARTS_MAX: usize = 20_000;
/// Parts of all types of one component, which bounds the memory held for it to some 20 MB.
const COMPONENT_PARTS_MAX: usize = 200_000;
/// Bytes of names that count as one part.
const NAME_BYTES_A_PART: usize = 64;
/// Different resource types of one component; each use of one is compared with all.
const RESOURCES_MAX: usize = 1_024;

/// A type of the component model.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Bool,
    Integer(Integer),
    F32,
    F64,
    Char,
    String,
    List(Box<Shape>),
    FixedList(Box<Shape>, usize),
    Map(Box<Shape>, Box<Shape>),
    Record(Vec<(String, Shape)>),
    Tuple(Vec<Shape>),
    Variant(Vec<(String, Option<Shape>)>),
    Enum(Vec<String>),
    Option(Box<Shape>),
    Result {
        ok: Option<Box<Shape>>,
        err: Option<Box<Shape>>,
    },
    Flags(Vec<String>),
    Own(Resource),
    Borrow(Resource),
    /// A future, a stream or an error context: it has no form in JSON.
    Channel(&'static str),
}

/// A resource type of the component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resource {
    /// Which of the component's resource types it is.
    pub(super) id: usize,
    /// Its name, `bucket`.
    pub(super) name: String,
}

/// An integer type by its range, which fits `i128` for all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Integer {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Integer {
    /// The smallest and the largest value.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Self::S8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::S16 => (i16::MIN.into(), i16::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::S32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::S64 => (i64::MIN.into(), i64::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
        }
    }

    /// The type's name in WIT.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
        }
    }

    /// Whether values may lie beyond 2^53, where writers of JSON that use doubles round.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::S64 | Self::U64)
    }
}

impl Shape {
    /// Whether `null` is a value of this type, so that an option around it needs a wrapper.
    pub(super) fn is_option(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// Whether it is `u8`, so that a list of it is bytes.
    pub(super) fn is_byte(&self) -> bool {
        matches!(self, Self::Integer(Integer::U8))
    }

    /// The types directly inside.
    pub(super) fn children(&self) -> Vec<&Shape> {
        match self {
            Self::List(item) | Self::FixedList(item, _) | Self::Option(item) => vec![item],
            Self::Map(key, value) => vec![key, value],
            Self::Record(fields) => fields.iter().map(|(_, shape)| shape).collect(),
            Self::Tuple(items) => items.iter().collect(),
            Self::Variant(cases) => cases
                .iter()
                .filter_map(|(_, shape)| shape.as_ref())
                .collect(),
            Self::Result { ok, err } => [ok, err].into_iter().flatten().map(|b| &**b).collect(),
            Self::Bool | Self::Integer(_) | Self::F32 | Self::F64 | Self::Char | Self::String => {
                vec![]
            }
            Self::Enum(_) | Self::Flags(_) | Self::Own(_) | Self::Borrow(_) | Self::Channel(_) => {
                vec![]
            }
        }
    }

    /// The first future, stream or error context inside, by name.
    pub(super) fn channel(&self) -> Option<&'static str> {
        match self {
            Self::Channel(name) => Some(name),
            other => other.children().into_iter().find_map(Shape::channel),
        }
    }

    /// Whether a resource handle can stand inside.
    pub(super) fn holds_handles(&self) -> bool {
        matches!(self, Self::Own(_) | Self::Borrow(_))
            || self.children().into_iter().any(Shape::holds_handles)
    }

    /// Resources that every value of this type holds: neither optional nor in a list that may be
    /// empty.
    pub(super) fn needed(&self) -> Vec<&Resource> {
        match self {
            Self::Own(resource) | Self::Borrow(resource) => vec![resource],
            Self::Record(_) | Self::Tuple(_) => self
                .children()
                .into_iter()
                .flat_map(Shape::needed)
                .collect(),
            _ => vec![],
        }
    }

    /// The resource that a function with this result makes: `bucket` or `result<bucket, E>`.
    pub(super) fn made(&self) -> Option<&Resource> {
        match self {
            Self::Own(resource) => Some(resource),
            Self::Result { ok: Some(ok), .. } => match &**ok {
                Self::Own(resource) => Some(resource),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The types of an export, or of a component, have too many parts.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "its types have too many parts: {EXPORT_PARTS_MAX} are read of one export, \
         {COMPONENT_PARTS_MAX} of one component, {DEPTH_MAX} levels deep"
)]
pub(super) struct TooLarge;

/// Builds shapes of one component.
#[derive(Default)]
pub(super) struct Builder {
    resources: Vec<(ResourceType, String)>,
    export_parts: usize,
    component_parts: usize,
}

impl Builder {
    /// Gives a resource type its name, unless it has one: the first name counts.
    pub(super) fn name_resource(&mut self, ty: ResourceType, name: &str) {
        if self.resources.len() < RESOURCES_MAX && !self.resources.iter().any(|(t, _)| *t == ty) {
            self.resources.push((ty, name.to_owned()));
        }
    }

    /// Starts the count of one export.
    pub(super) fn start_export(&mut self) {
        self.export_parts = 0;
    }

    /// The shape of a type.
    pub(super) fn shape(&mut self, ty: &Type) -> Result<Shape, TooLarge> {
        self.build(ty, 0)
    }

    fn build(&mut self, ty: &Type, depth: usize) -> Result<Shape, TooLarge> {
        self.charge(1)?;
        if depth > DEPTH_MAX {
            return Err(TooLarge);
        }
        let deeper = depth + 1;
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::S8 => Shape::Integer(Integer::S8),
            Type::U8 => Shape::Integer(Integer::U8),
            Type::S16 => Shape::Integer(Integer::S16),
            Type::U16 => Shape::Integer(Integer::U16),
            Type::S32 => Shape::Integer(Integer::S32),
            Type::U32 => Shape::Integer(Integer::U32),
            Type::S64 => Shape::Integer(Integer::S64),
            Type::U64 => Shape::Integer(Integer::U64),
            Type::Float32 => Shape::F32,
            Type::Float64 => Shape::F64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => Shape::List(self.boxed(&list.ty(), deeper)?),
            Type::FixedLengthList(list) => {
                let length = usize::try_from(list.len()).map_err(|_| TooLarge)?;
                Shape::FixedList(self.boxed(&list.ty(), deeper)?, length)
            }
            Type::Map(map) => Shape::Map(
                self.boxed(&map.key(), deeper)?,
                self.boxed(&map.value(), deeper)?,
            ),
            Type::Option(option) => Shape::Option(self.boxed(&option.ty(), deeper)?),
            Type::Own(ty) => Shape::Own(self.resource(*ty)?),
            Type::Borrow(ty) => Shape::Borrow(self.resource(*ty)?),
            Type::Future(_) => Shape::Channel("future"),
            Type::Stream(_) => Shape::Channel("stream"),
            Type::ErrorContext => Shape::Channel("error-context"),
            Type::Record(_)
            | Type::Tuple(_)
            | Type::Variant(_)
            | Type::Enum(_)
            | Type::Result(_)
            | Type::Flags(_) => self.build_compound(ty, deeper)?,
        })
    }

    fn build_compound(&mut self, ty: &Type, deeper: usize) -> Result<Shape, TooLarge> {
        Ok(match ty {
            Type::Record(record) => {
                let mut fields = Vec::new();
                for field in record.fields() {
                    fields.push((self.name(field.name)?, self.build(&field.ty, deeper)?));
                }
                Shape::Record(fields)
            }
            Type::Tuple(tuple) => Shape::Tuple(
                tuple
                    .types()
                    .map(|ty| self.build(&ty, deeper))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Variant(variant) => {
                let mut cases = Vec::new();
                for case in variant.cases() {
                    let payload = case.ty.map(|ty| self.build(&ty, deeper)).transpose()?;
                    cases.push((self.name(case.name)?, payload));
                }
                Shape::Variant(cases)
            }
            Type::Enum(names) => Shape::Enum(
                names
                    .names()
                    .map(|name| self.name(name))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Flags(names) => Shape::Flags(
                names
                    .names()
                    .map(|name| self.name(name))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Result(result) => Shape::Result {
                ok: result.ok().map(|ty| self.boxed(&ty, deeper)).transpose()?,
                err: result.err().map(|ty| self.boxed(&ty, deeper)).transpose()?,
            },
            _ => unreachable!("invariant: `build` passes compound types only"),
        })
    }

    fn boxed(&mut self, ty: &Type, depth: usize) -> Result<Box<Shape>, TooLarge> {
        self.build(ty, depth).map(Box::new)
    }

    fn resource(&mut self, ty: ResourceType) -> Result<Resource, TooLarge> {
        let known = self.resources.iter().position(|(known, _)| *known == ty);
        let id = known.unwrap_or(self.resources.len());
        if known.is_none() {
            if id >= RESOURCES_MAX {
                return Err(TooLarge);
            }
            // Neither exported nor imported under a name.
            self.resources.push((ty, "resource".to_owned()));
        }
        let name = self.resources[id].1.clone();
        self.charge(name.len() / NAME_BYTES_A_PART)?;
        Ok(Resource { id, name })
    }

    fn name(&mut self, name: &str) -> Result<String, TooLarge> {
        self.charge(1 + name.len() / NAME_BYTES_A_PART)?;
        Ok(name.to_owned())
    }

    fn charge(&mut self, parts: usize) -> Result<(), TooLarge> {
        self.export_parts += parts;
        self.component_parts += parts;
        if self.export_parts > EXPORT_PARTS_MAX || self.component_parts > COMPONENT_PARTS_MAX {
            return Err(TooLarge);
        }
        Ok(())
    }
}
