//! A value against a schema: every violation, and what of the value was evaluated.

mod containers;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::{Schema, value};

/// Schemas that refer to themselves without end, and documents made to nest, stop here.
const DEPTH_MAX: usize = 200;
/// One step a schema and a value; alternatives inside alternatives multiply.
const STEPS_MAX: usize = 2_000_000;
/// A message quotes the value; a large one is cut off.
const QUOTE_CHARACTERS_MAX: usize = 100;

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Violation {
    /// Where in the document: a JSON Pointer, empty for all of it.
    pub(crate) path: String,
    /// Where in the schema, through references.
    pub(crate) schema_path: String,
    pub(crate) message: String,
}

/// Why there is no verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    TooDeep(usize),
    TooLong(usize),
}

/// Items and properties that some keyword has looked at, for `unevaluated…`.
#[derive(Default)]
struct Seen {
    names: BTreeSet<String>,
    items: BTreeSet<usize>,
}

impl Seen {
    fn add(&mut self, mut other: Self) {
        self.names.append(&mut other.names);
        self.items.append(&mut other.items);
    }
}

impl Schema<'_> {
    /// Every violation, in the order of the schema.
    pub(crate) fn check(&self, document: &Value) -> Result<Vec<Violation>, Stopped> {
        let mut check = Check { schema: self, steps: 0, depth: 0, found: Vec::new() };
        check.schema(self.root, document, &mut Place::default())?;
        Ok(check.found)
    }
}

/// Where the check is, in the document and in the schema.
#[derive(Default)]
struct Place {
    document: String,
    schema: String,
}

struct Check<'a> {
    schema: &'a Schema<'a>,
    steps: usize,
    depth: usize,
    found: Vec<Violation>,
}

type Checked<T = ()> = Result<T, Stopped>;

impl Check<'_> {
    fn report(&mut self, place: &Place, keyword: &str, message: String) {
        let schema_path = format!("{}/{keyword}", place.schema);
        self.found.push(Violation { path: place.document.clone(), schema_path, message });
    }

    fn step(&mut self, steps: usize) -> Checked {
        self.steps += steps;
        if self.steps > STEPS_MAX { Err(Stopped::TooLong(STEPS_MAX)) } else { Ok(()) }
    }

    fn schema(&mut self, schema: &Value, value: &Value, place: &mut Place) -> Checked<Seen> {
        self.step(1)?;
        if self.depth >= DEPTH_MAX {
            return Err(Stopped::TooDeep(DEPTH_MAX));
        }
        self.depth += 1;
        let seen = match schema {
            Value::Object(schema) => self.keywords(schema, value, place),
            Value::Bool(false) => {
                let message = format!("{} is not allowed here", quoted(value));
                self.report(place, "false", message);
                Ok(Seen::default())
            }
            _ => Ok(Seen::default()),
        };
        self.depth -= 1;
        seen
    }

    /// The check of a subschema under `keyword`, of the same value.
    fn under(
        &mut self,
        keyword: &str,
        schema: &Value,
        value: &Value,
        place: &mut Place,
    ) -> Checked<Seen> {
        let length = place.schema.len();
        place.schema.push('/');
        place.schema.push_str(keyword);
        let seen = self.schema(schema, value, place);
        place.schema.truncate(length);
        seen
    }

    /// Whether the subschema holds, without a report where it does not.
    fn holds(&mut self, schema: &Value, value: &Value) -> Checked<Option<Seen>> {
        let found = std::mem::take(&mut self.found);
        let seen = self.schema(schema, value, &mut Place::default());
        let held = std::mem::replace(&mut self.found, found).is_empty();
        Ok(Some(seen?).filter(|_| held))
    }

    fn keywords(
        &mut self,
        schema: &Map<String, Value>,
        value: &Value,
        place: &mut Place,
    ) -> Checked<Seen> {
        let mut seen = Seen::default();
        for key in ["$ref", "$dynamicRef"] {
            let reference = schema.get(key).and_then(Value::as_str);
            if let Some(target) = reference.and_then(|name| self.schema.resolve(name)) {
                seen.add(self.under(key, target, value, place)?);
            }
        }
        self.any_value(schema, value, place);
        match value {
            Value::Number(number) => self.number(schema, number, place),
            Value::String(text) => self.string(schema, text, place),
            _ => {}
        }
        seen.add(self.combined(schema, value, place)?);
        match value {
            Value::Array(items) => self.array(schema, items, place, &mut seen)?,
            Value::Object(members) => self.object(schema, members, value, place, &mut seen)?,
            _ => {}
        }
        Ok(seen)
    }

    fn any_value(&mut self, schema: &Map<String, Value>, value: &Value, place: &Place) {
        match schema.get("type") {
            Some(Value::String(name)) if !value::is_of_type(value, name) => {
                let message = format!("{} is not of type \"{name}\"", quoted(value));
                self.report(place, "type", message);
            }
            Some(Value::Array(names)) => {
                let mut known = names.iter().filter_map(Value::as_str);
                if !known.any(|name| value::is_of_type(value, name)) {
                    let names = Value::Array(names.clone());
                    let message = format!("{} is not of types {names}", quoted(value));
                    self.report(place, "type", message);
                }
            }
            _ => {}
        }
        if let Some(Value::Array(values)) = schema.get("enum")
            && !values.iter().any(|one| value::equal(one, value))
        {
            let values = quoted(&Value::Array(values.clone()));
            self.report(place, "enum", format!("{} is not one of {values}", quoted(value)));
        }
        if let Some(constant) = schema.get("const")
            && !value::equal(constant, value)
        {
            self.report(place, "const", format!("{} was expected", quoted(constant)));
        }
    }

    fn number(&mut self, schema: &Map<String, Value>, number: &Number, place: &Place) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_number);
        let exclusive = |key: &str| schema.get(key) == Some(&Value::Bool(true));
        let mut violations = Vec::new();
        if let Some(least) = bound("minimum") {
            let order = value::compare(number, least);
            if order.is_lt() || (order.is_eq() && exclusive("exclusiveMinimum")) {
                violations.push(("minimum", format!("less than the minimum of {least}")));
            }
        }
        if let Some(most) = bound("maximum") {
            let order = value::compare(number, most);
            if order.is_gt() || (order.is_eq() && exclusive("exclusiveMaximum")) {
                violations.push(("maximum", format!("greater than the maximum of {most}")));
            }
        }
        if let Some(least) = bound("exclusiveMinimum")
            && value::compare(number, least).is_le()
        {
            violations.push(("exclusiveMinimum", format!("not greater than {least}")));
        }
        if let Some(most) = bound("exclusiveMaximum")
            && value::compare(number, most).is_ge()
        {
            violations.push(("exclusiveMaximum", format!("not less than {most}")));
        }
        if let Some(of) = bound("multipleOf")
            && !value::is_multiple(number, of)
        {
            violations.push(("multipleOf", format!("not a multiple of {of}")));
        }
        for (keyword, reason) in violations {
            self.report(place, keyword, format!("{number} is {reason}"));
        }
    }

    fn string(&mut self, schema: &Map<String, Value>, text: &str, place: &Place) {
        let length = text.chars().count() as u64;
        self.size(schema, ["minLength", "maxLength"], length, "characters", place);
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && self.schema.patterns.get(pattern).is_some_and(|regex| !regex.is_match(text))
        {
            let text = quoted(&Value::String(text.to_owned()));
            self.report(place, "pattern", format!("{text} does not match \"{pattern}\""));
        }
    }

    fn size(
        &mut self,
        schema: &Map<String, Value>,
        [least, most]: [&str; 2],
        size: u64,
        unit: &str,
        place: &Place,
    ) {
        let bound = |key: &str| schema.get(key).and_then(value::count);
        if let Some(bound) = bound(least).filter(|bound| size < *bound) {
            self.report(place, least, format!("{size} {unit} are fewer than {bound}"));
        }
        if let Some(bound) = bound(most).filter(|bound| size > *bound) {
            self.report(place, most, format!("{size} {unit} are more than {bound}"));
        }
    }

    fn combined(
        &mut self,
        schema: &Map<String, Value>,
        value: &Value,
        place: &mut Place,
    ) -> Checked<Seen> {
        let mut seen = Seen::default();
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        for (index, one) in list("allOf").into_iter().flatten().enumerate() {
            seen.add(self.under(&format!("allOf/{index}"), one, value, place)?);
        }
        for (key, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
            let Some(schemas) = list(key) else { continue };
            let mut held = 0;
            for one in schemas {
                if let Some(other) = self.holds(one, value)? {
                    held += 1;
                    seen.add(other);
                }
            }
            if held == 0 || held > most {
                let which = if held == 0 { "none" } else { "more than one" };
                let message = format!("{} fits {which} of the schemas here", quoted(value));
                self.report(place, key, message);
            }
        }
        if let Some(not) = schema.get("not")
            && self.holds(not, value)?.is_some()
        {
            self.report(place, "not", format!("{} fits a schema it must not", quoted(value)));
        }
        if let Some(condition) = schema.get("if") {
            let held = self.holds(condition, value)?;
            let branch = if held.is_some() { "then" } else { "else" };
            seen.add(held.unwrap_or_default());
            if let Some(schema) = schema.get(branch) {
                seen.add(self.under(branch, schema, value, place)?);
            }
        }
        Ok(seen)
    }
}

/// A value in a message.
fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(QUOTE_CHARACTERS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A name in a JSON Pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
