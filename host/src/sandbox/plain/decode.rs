//! JSON to values, guided by shapes. It checks everything before anything runs: calls inside of the
//! arguments become steps of the plan, and their handles are holes in the values until then.

use super::exports::{Exports, PlainExport};
use super::names::{nearest, proposal};
use super::path::Path;
use super::plan::{HOLE, Plan, Step};
use super::shape::{Resource, Shape};
use super::signature::type_name;
use super::{LimitName, Limits, PlainError};
use serde_json::{Map, Value};
use wasmtime::component::Val;

mod scalars;

pub(super) use scalars::{cut_text, found};

/// Decodes the arguments of a call to `export`, and of the calls inside.
pub(super) fn plan<'a>(
    exports: &'a Exports,
    export: &'a PlainExport,
    arguments: &Value,
    limits: &Limits,
) -> Result<Plan<'a>, PlainError> {
    let mut decoder = Decoder::new(exports, limits);
    let root = Path::root();
    let step = decoder.step(export, &root, arguments, &root)?;
    decoder.steps.push(step);
    Ok(Plan {
        steps: decoder.steps,
        limits: *limits,
    })
}

/// The state of one decoding.
pub(super) struct Decoder<'a, 'l> {
    exports: &'a Exports,
    limits: &'l Limits,
    /// Values made so far.
    values: usize,
    /// Calls around the place where the work stands.
    call_depth: usize,
    /// Finished steps, in the order in which they must run.
    steps: Vec<Step<'a>>,
    /// The steps whose handles the values of the step in work wait for.
    holes: Vec<usize>,
}

impl<'a, 'l> Decoder<'a, 'l> {
    pub(super) fn new(exports: &'a Exports, limits: &'l Limits) -> Self {
        Self {
            exports,
            limits,
            values: 0,
            call_depth: 0,
            steps: vec![],
            holes: vec![],
        }
    }

    /// One call: its arguments stand at `arguments_path`, the call itself at `path`.
    fn step(
        &mut self,
        export: &'a PlainExport,
        path: &Path<'_>,
        arguments: &Value,
        arguments_path: &Path<'_>,
    ) -> Result<Step<'a>, PlainError> {
        if let Some(reason) = export.not_callable.clone() {
            return Err(PlainError::NotCallable {
                export: export.name.clone(),
                reason,
            });
        }
        let outer_holes = std::mem::take(&mut self.holes);
        let none = Value::Object(Map::new());
        let arguments = if arguments.is_null() {
            &none
        } else {
            arguments
        };
        let fields = self.fields(&export.parameters, arguments, arguments_path)?;
        let holes = std::mem::replace(&mut self.holes, outer_holes);
        let arguments = fields.into_iter().map(|(_, value)| value).collect();
        Ok(Step {
            export,
            path: path.to_string(),
            arguments,
            holes,
        })
    }

    /// One value.
    pub(super) fn value(
        &mut self,
        shape: &Shape,
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Val, PlainError> {
        self.charge(1, path)?;
        if path.depth > self.limits.depth_max {
            return Err(limit(path, LimitName::Depth, self.limits.depth_max));
        }
        match shape {
            Shape::Bool | Shape::Integer(_) | Shape::F32 | Shape::F64 => {
                scalars::number(shape, json, path)
            }
            Shape::Char | Shape::String => scalars::text(shape, json, path),
            Shape::List(item) if item.is_byte() => self.bytes(item, json, path),
            Shape::List(item) => self
                .items(item, array(shape, json, path)?, path)
                .map(Val::List),
            Shape::FixedList(item, length) => {
                let items = array_of(*length, shape, json, path)?;
                self.items(item, items, path).map(Val::FixedLengthList)
            }
            Shape::Tuple(shapes) => {
                let items = array_of(shapes.len(), shape, json, path)?;
                self.zip(shapes.iter().zip(items), path).map(Val::Tuple)
            }
            Shape::Map(key, value) => self.map(key, value, json, path),
            Shape::Record(fields) => self.fields(fields, json, path).map(Val::Record),
            Shape::Variant(cases) => self.variant(cases, json, path),
            Shape::Enum(names) => {
                let name = scalars::string(shape, json, path)?;
                known(names.iter(), name, "case", path)?;
                Ok(Val::Enum(name.to_owned()))
            }
            Shape::Option(some) => self.option(some, json, path),
            Shape::Result { ok, err } => self.result(shape, [ok, err], json, path),
            Shape::Flags(names) => self.flags(shape, names, json, path),
            Shape::Own(resource) | Shape::Borrow(resource) => self.handle(resource, json, path),
            Shape::Channel(name) => Err(argument(path, format!("a {name} has no form in JSON"))),
        }
    }

    fn charge(&mut self, values: usize, path: &Path<'_>) -> Result<(), PlainError> {
        self.values = self.values.saturating_add(values);
        match self.values > self.limits.values_max {
            true => Err(limit(path, LimitName::Values, self.limits.values_max)),
            false => Ok(()),
        }
    }

    fn items(
        &mut self,
        item: &Shape,
        of: &[Value],
        path: &Path<'_>,
    ) -> Result<Vec<Val>, PlainError> {
        self.zip(std::iter::repeat(item).zip(of), path)
    }

    fn zip<'s>(
        &mut self,
        pairs: impl Iterator<Item = (&'s Shape, &'s Value)>,
        path: &Path<'_>,
    ) -> Result<Vec<Val>, PlainError> {
        pairs
            .enumerate()
            .map(|(i, (shape, json))| self.value(shape, json, &path.index(i)))
            .collect()
    }

    fn bytes(&mut self, byte: &Shape, json: &Value, path: &Path<'_>) -> Result<Val, PlainError> {
        if let Value::Array(items) = json {
            return self.items(byte, items, path).map(Val::List);
        }
        // A decoded byte takes the room of a whole value, so it is counted before it is made.
        let room = self.limits.values_max.saturating_sub(self.values);
        let over = || limit(path, LimitName::Values, self.limits.values_max);
        let bytes = scalars::bytes(json, path, room)?.ok_or_else(over)?;
        self.charge(bytes.len(), path)?;
        Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
    }

    /// The fields of a record, or the arguments of a call, in declared order.
    fn fields(
        &mut self,
        fields: &[(String, Shape)],
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Vec<(String, Val)>, PlainError> {
        let Value::Object(members) = json else {
            return Err(mismatch("an object", json, path));
        };
        for name in members.keys() {
            known(fields.iter().map(|(known, _)| known), name, "field", path)?;
        }
        let mut values = Vec::with_capacity(fields.len());
        for (name, shape) in fields {
            let value = match members.get(name) {
                Some(json) => self.value(shape, json, &path.field(name))?,
                None if shape.is_option() => self.value(shape, &Value::Null, &path.field(name))?,
                None => {
                    let problem = format!("missing field `{name}`: {}", type_name(shape));
                    return Err(argument(path, problem));
                }
            };
            values.push((name.clone(), value));
        }
        Ok(values)
    }

    fn map(
        &mut self,
        key: &Shape,
        value: &Shape,
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Val, PlainError> {
        let mut entries = Vec::new();
        match (key, json) {
            (Shape::String, Value::Object(members)) => {
                for (name, json) in members {
                    self.charge(1, path)?;
                    let value = self.value(value, json, &path.field(name))?;
                    entries.push((Val::String(name.clone()), value));
                }
            }
            (Shape::String, other) => return Err(mismatch("an object", other, path)),
            (_, Value::Array(items)) => {
                for (index, json) in items.iter().enumerate() {
                    let path = path.index(index);
                    let Some([k, v]) = json.as_array().map(Vec::as_slice) else {
                        return Err(mismatch("an array [key, value]", json, &path));
                    };
                    let key = self.value(key, k, &path.index(0))?;
                    entries.push((key, self.value(value, v, &path.index(1))?));
                }
            }
            (_, other) => return Err(mismatch("an array of [key, value]", other, path)),
        }
        Ok(Val::Map(entries))
    }

    fn variant(
        &mut self,
        cases: &[(String, Option<Shape>)],
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Val, PlainError> {
        let (name, payload) = match json {
            Value::String(name) => (name, None),
            Value::Object(members) if members.len() == 1 => {
                let (name, payload) = members.iter().next().expect("invariant: one member");
                (name, Some(payload))
            }
            other => {
                return Err(mismatch(
                    "a case: \"name\" or {\"name\": payload}",
                    other,
                    path,
                ));
            }
        };
        let position = known(cases.iter().map(|(known, _)| known), name, "case", path)?;
        let value = match (&cases[position].1, payload) {
            (None, None) => None,
            (Some(shape), Some(json)) => Some(self.value(shape, json, &path.field(name))?),
            (Some(shape), None) => {
                let expected = type_name(shape);
                let problem = format!("case `{name}` has a payload: {{\"{name}\": {expected}}}");
                return Err(argument(path, problem));
            }
            (None, Some(_)) => {
                let problem = format!("case `{name}` has no payload: write \"{name}\"");
                return Err(argument(path, problem));
            }
        };
        Ok(Val::Variant(name.clone(), value.map(Box::new)))
    }

    fn option(&mut self, some: &Shape, json: &Value, path: &Path<'_>) -> Result<Val, PlainError> {
        if json.is_null() {
            return Ok(Val::Option(None));
        }
        let value = match (some.is_option(), json) {
            (false, json) => self.value(some, json, path)?,
            (true, Value::Object(members))
                if members.len() == 1 && members.contains_key("some") =>
            {
                self.value(some, &members["some"], &path.field("some"))?
            }
            (true, other) => return Err(mismatch("null or {\"some\": value}", other, path)),
        };
        Ok(Val::Option(Some(Box::new(value))))
    }

    fn result(
        &mut self,
        shape: &Shape,
        [ok, err]: [&Option<Box<Shape>>; 2],
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Val, PlainError> {
        let member = json.as_object().filter(|members| members.len() == 1);
        let member = member.and_then(|members| members.iter().next());
        let (name, side, json) = match member {
            Some((name, json)) if name == "ok" => (name, ok, json),
            Some((name, json)) if name == "err" => (name, err, json),
            _ => {
                let expected = format!("{{\"ok\": …}} or {{\"err\": …}} ({})", type_name(shape));
                return Err(mismatch(&expected, json, path));
            }
        };
        let path = path.field(name);
        let value = match side {
            Some(shape) => Some(Box::new(self.value(shape, json, &path)?)),
            None if json.is_null() => None,
            None => return Err(mismatch("null", json, &path)),
        };
        Ok(Val::Result(if name == "ok" {
            Ok(value)
        } else {
            Err(value)
        }))
    }

    fn flags(
        &mut self,
        shape: &Shape,
        names: &[String],
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Val, PlainError> {
        let mut set = vec![false; names.len()];
        for (index, json) in array(shape, json, path)?.iter().enumerate() {
            let path = path.index(index);
            let name = scalars::string(&Shape::String, json, &path)?;
            let position = known(names.iter(), name, "flag", &path)?;
            if std::mem::replace(&mut set[position], true) {
                return Err(argument(&path, format!("flag `{name}` is given twice")));
            }
        }
        let set = names.iter().zip(set).filter(|(_, set)| *set);
        Ok(Val::Flags(set.map(|(name, _)| name.clone()).collect()))
    }

    /// A handle: the call that makes it becomes a step before this one.
    fn handle(
        &mut self,
        resource: &Resource,
        json: &Value,
        path: &Path<'_>,
    ) -> Result<Val, PlainError> {
        let expected = format!("a `{}` as {{\"$call\": \"export\", …}}", resource.name);
        let Some(members) = json
            .as_object()
            .filter(|members| members.contains_key("$call"))
        else {
            return Err(mismatch(&expected, json, path));
        };
        for name in members.keys() {
            known(
                ["$call".to_owned(), "arguments".to_owned()].iter(),
                name,
                "field",
                path,
            )?;
        }
        let at = path.field("$call");
        let name = scalars::string(&Shape::String, &members["$call"], &at)?;
        let exports = self.exports;
        let export = exports
            .resolve(name)
            .map_err(|e| argument(&at, e.to_string()))?;
        if export.makes().is_none_or(|made| made.id != resource.id) {
            let problem = format!("`{}` does not make a `{}`", export.name, resource.name);
            return Err(argument(&at, problem));
        }
        if self.call_depth >= self.limits.call_depth_max {
            return Err(limit(
                path,
                LimitName::CallDepth,
                self.limits.call_depth_max,
            ));
        }
        self.call_depth += 1;
        let none = Value::Null;
        let arguments = members.get("arguments").unwrap_or(&none);
        let step = self.step(export, path, arguments, &path.field("arguments"))?;
        self.call_depth -= 1;
        if self.steps.len() >= self.limits.calls_max {
            return Err(limit(path, LimitName::Calls, self.limits.calls_max));
        }
        self.holes.push(self.steps.len());
        self.steps.push(step);
        Ok(HOLE)
    }
}

fn array<'j>(shape: &Shape, json: &'j Value, path: &Path<'_>) -> Result<&'j [Value], PlainError> {
    match json {
        Value::Array(items) => Ok(items),
        other => Err(mismatch(
            &format!("an array ({})", type_name(shape)),
            other,
            path,
        )),
    }
}

fn array_of<'j>(
    length: usize,
    shape: &Shape,
    json: &'j Value,
    path: &Path<'_>,
) -> Result<&'j [Value], PlainError> {
    let items = array(shape, json, path)?;
    match items.len() == length {
        true => Ok(items),
        false => {
            let expected = format!("an array of {length} ({})", type_name(shape));
            Err(argument(
                path,
                format!("expected {expected}, got {}", items.len()),
            ))
        }
    }
}

/// The position of a name among the known ones, or an error that names the nearest.
fn known<'n>(
    names: impl Iterator<Item = &'n String> + Clone,
    name: &str,
    kind: &str,
    path: &Path<'_>,
) -> Result<usize, PlainError> {
    names
        .clone()
        .position(|known| known == name)
        .ok_or_else(|| {
            let near = nearest(name, names.clone().map(String::as_str)).map(str::to_owned);
            let hint = match near {
                Some(_) => proposal(&near),
                None => format!("; known: {}", list(names)),
            };
            argument(path, format!("unknown {kind} `{}`{hint}", cut_text(name)))
        })
}

/// The first names, for a message.
fn list<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let mut text: Vec<&str> = names.take(9).map(String::as_str).collect();
    match text.len() {
        0 => return "none".to_owned(),
        9 => text[8] = "…",
        _ => {}
    }
    cut_text(&text.join(", "))
}

fn argument(path: &Path<'_>, problem: String) -> PlainError {
    PlainError::Argument {
        path: path.to_string(),
        problem,
    }
}

fn mismatch(expected: &str, json: &Value, path: &Path<'_>) -> PlainError {
    argument(path, format!("expected {expected}, got {}", found(json)))
}

fn limit(path: &Path<'_>, limit: LimitName, max: usize) -> PlainError {
    PlainError::Limit {
        path: path.to_string(),
        limit,
        max,
    }
}
