//! Arrays and objects: their sizes, their parts, and what no keyword has evaluated.

use serde_json::{Map, Value};

use super::{Check, Checked, Place, Seen, escaped, quoted};
use crate::schema::value;

impl Check<'_> {
    /// The check of a part of the value: an item, or a member.
    fn part(
        &mut self,
        keyword: &str,
        schema: &Value,
        (name, part): (&str, &Value),
        place: &mut Place,
    ) -> Checked {
        let length = place.document.len();
        place.document.push('/');
        place.document.push_str(&escaped(name));
        let checked = self.under(keyword, schema, part, place);
        place.document.truncate(length);
        checked.map(|_| ())
    }

    pub(super) fn array(
        &mut self,
        schema: &Map<String, Value>,
        items: &[Value],
        place: &mut Place,
        seen: &mut Seen,
    ) -> Checked {
        self.size(schema, ["minItems", "maxItems"], items.len() as u64, "items", place);
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.unique(items, place)?;
        }
        // Before 2020-12 a list stood under `items`, and the rest under `additionalItems`.
        let (prefix, rest) = match (schema.get("prefixItems"), schema.get("items")) {
            (None, Some(list @ Value::Array(_))) => (("items", Some(list)), "additionalItems"),
            (prefix, _) => (("prefixItems", prefix), "items"),
        };
        let listed = prefix.1.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (index, (one, item)) in listed.iter().zip(items).enumerate() {
            let keyword = format!("{}/{index}", prefix.0);
            self.part(&keyword, one, (&index.to_string(), item), place)?;
            seen.items.insert(index);
        }
        if let Some(one) = schema.get(rest).filter(|one| !one.is_array()) {
            for (index, item) in items.iter().enumerate().skip(listed.len()) {
                self.part(rest, one, (&index.to_string(), item), place)?;
                seen.items.insert(index);
            }
        }
        self.contains(schema, items, place, seen)?;
        if let Some(one) = schema.get("unevaluatedItems") {
            for (index, item) in items.iter().enumerate() {
                if seen.items.insert(index) {
                    self.part("unevaluatedItems", one, (&index.to_string(), item), place)?;
                }
            }
        }
        Ok(())
    }

    fn unique(&mut self, items: &[Value], place: &Place) -> Checked {
        for (index, item) in items.iter().enumerate() {
            self.step(index)?;
            if items[..index].iter().any(|other| value::equal(item, other)) {
                let message = format!("{} is there more than once", quoted(item));
                self.report(place, "uniqueItems", message);
                break;
            }
        }
        Ok(())
    }

    fn contains(
        &mut self,
        schema: &Map<String, Value>,
        items: &[Value],
        place: &Place,
        seen: &mut Seen,
    ) -> Checked {
        let Some(one) = schema.get("contains") else { return Ok(()) };
        let mut held = 0;
        for (index, item) in items.iter().enumerate() {
            if self.holds(one, item)?.is_some() {
                held += 1;
                seen.items.insert(index);
            }
        }
        let least = schema.get("minContains").and_then(value::count).unwrap_or(1);
        let most = schema.get("maxContains").and_then(value::count).unwrap_or(u64::MAX);
        if held < least || held > most {
            self.report(place, "contains", format!("{held} items fit, which is not as asked"));
        }
        Ok(())
    }

    pub(super) fn object(
        &mut self,
        schema: &Map<String, Value>,
        members: &Map<String, Value>,
        whole: &Value,
        place: &mut Place,
        seen: &mut Seen,
    ) -> Checked {
        let size = members.len() as u64;
        self.size(schema, ["minProperties", "maxProperties"], size, "properties", place);
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !name.as_str().is_some_and(|name| members.contains_key(name)) {
                self.report(place, "required", format!("{name} is a required property"));
            }
        }
        let mut matched = Seen::default();
        for (name, member) in members {
            self.member(schema, (name, member), place, &mut matched)?;
        }
        if let Some(one) = schema.get("additionalProperties") {
            for (name, member) in members {
                if matched.names.insert(name.clone()) {
                    self.extra("additionalProperties", one, (name, member), place)?;
                }
            }
        }
        seen.add(matched);
        self.dependencies(schema, members, whole, place, seen)?;
        if let Some(one) = schema.get("unevaluatedProperties") {
            for (name, member) in members {
                if seen.names.insert(name.clone()) {
                    self.extra("unevaluatedProperties", one, (name, member), place)?;
                }
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        schema: &Map<String, Value>,
        (name, member): (&str, &Value),
        place: &mut Place,
        matched: &mut Seen,
    ) -> Checked {
        if let Some(one) = schema.get("properties").and_then(|all| all.get(name)) {
            let keyword = format!("properties/{}", escaped(name));
            self.part(&keyword, one, (name, member), place)?;
            matched.names.insert(name.to_owned());
        }
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for (pattern, one) in patterns.into_iter().flatten() {
            let compiled = self.schema.patterns.get(pattern.as_str());
            if compiled.is_some_and(|regex| regex.is_match(name)) {
                let keyword = format!("patternProperties/{}", escaped(pattern));
                self.part(&keyword, one, (name, member), place)?;
                matched.names.insert(name.to_owned());
            }
        }
        if let Some(one) = schema.get("propertyNames") {
            self.under("propertyNames", one, &Value::String(name.to_owned()), place)?;
        }
        Ok(())
    }

    /// A member that no other keyword names.
    fn extra(
        &mut self,
        keyword: &str,
        schema: &Value,
        (name, member): (&str, &Value),
        place: &mut Place,
    ) -> Checked {
        if *schema == Value::Bool(false) {
            let name = Value::String(name.to_owned());
            self.report(place, keyword, format!("{} is not a property here", quoted(&name)));
            return Ok(());
        }
        self.part(keyword, schema, (name, member), place)
    }

    fn dependencies(
        &mut self,
        schema: &Map<String, Value>,
        members: &Map<String, Value>,
        whole: &Value,
        place: &mut Place,
        seen: &mut Seen,
    ) -> Checked {
        for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
            let all = schema.get(key).and_then(Value::as_object).into_iter().flatten();
            for (name, asked) in all.filter(|(name, _)| members.contains_key(*name)) {
                let Value::Array(others) = asked else {
                    let keyword = format!("{key}/{}", escaped(name));
                    seen.add(self.under(&keyword, asked, whole, place)?);
                    continue;
                };
                for other in others.iter().filter_map(Value::as_str) {
                    if !members.contains_key(other) {
                        let message = format!("\"{other}\" is required beside \"{name}\"");
                        self.report(place, key, message);
                    }
                }
            }
        }
        Ok(())
    }
}
