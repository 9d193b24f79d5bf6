//! A bound on the work of checking a value against a stranger's schema.
//!
//! References multiply: thirty schemas that each mean the next one twice are 2³⁰ steps, and a
//! chain of thousands overflows the stack of the thread that follows it. The validator knows no
//! bound, so the same walk is made here first, without looking at the answers, and given up when
//! it is too long. What the walk could not follow as the validator does is refused.

use serde_json::{Map, Value};

/// Steps of one check: a second or so. The largest answer that the limits allow takes a half of it.
const STEPS_MAX: u64 = 20_000_000;
/// Schemas entered one inside the other: JSON nests 128 deep, with a few references a level.
const DEPTH_MAX: usize = 1_000;
/// Patterns in all schemas of a plugin: each may take [`PATTERN_BYTES_MAX`].
pub(super) const PATTERNS_MAX: usize = 500;
/// Memory of one compiled pattern.
pub(super) const PATTERN_BYTES_MAX: usize = 256 << 10;
/// What matching one byte against any pattern is taken for, in steps.
const STEPS_PATTERN_BYTE: u64 = 16;

/// Makes sure, when a schema becomes known, that [`check`] will be able to follow it, and counts
/// its patterns.
///
/// # Errors
/// What the schema uses that is not offered.
pub(super) fn patterns(schema: &Value) -> Result<usize, String> {
    let mut patterns = 0;
    followed(schema, true, &mut patterns)?;
    Ok(patterns)
}

fn followed(schema: &Value, root: bool, patterns: &mut usize) -> Result<(), String> {
    let members = match schema {
        Value::Array(items) => {
            return items.iter().try_for_each(|item| followed(item, false, patterns));
        }
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
    };
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("$ref", Value::String(reference)) if !is_local(reference) => {
                let shown: String = reference.chars().take(80).collect();
                return Err(format!("`$ref` must lead inside it, as #/$defs/x; not {shown:?}"));
            }
            ("$id", Value::String(_)) if !root => {
                return Err("`$id` inside it is not offered".into());
            }
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                return Err(format!("`{keyword}` is not offered; write `$ref`"));
            }
            ("pattern", Value::String(_)) => *patterns += 1,
            ("patternProperties", Value::Object(each)) => *patterns += each.len(),
            _ => {}
        }
        followed(value, false, patterns)?;
    }
    Ok(())
}

/// `#` and `#/…` without escapes of URLs, which [`Value::pointer`] does not know.
fn is_local(reference: &str) -> bool {
    let pointer = reference.strip_prefix('#');
    pointer.is_some_and(|pointer| {
        (pointer.is_empty() || pointer.starts_with('/')) && !pointer.contains('%')
    })
}

/// Walks `value` as the validator of `schema` will.
///
/// # Errors
/// One sentence, when the walk is too long or too deep.
pub(super) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    Walk { root: schema, steps: STEPS_MAX }.visit(schema, value, 0)
}

struct Walk<'a> {
    root: &'a Value,
    steps: u64,
}

impl<'a> Walk<'a> {
    fn spend(&mut self, steps: usize) -> Result<(), String> {
        self.steps = self
            .steps
            .checked_sub(steps as u64)
            .ok_or_else(|| format!("the schema takes more than {STEPS_MAX} steps to check"))?;
        Ok(())
    }

    fn visit(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Result<(), String> {
        let Value::Object(keywords) = schema else { return self.spend(1) };
        // Keywords that mean nothing are looked at too.
        self.spend(1 + keywords.len() / 16)?;
        if depth >= DEPTH_MAX {
            return Err(format!("the schema leads more than {DEPTH_MAX} references deep"));
        }
        // What is left unevaluated is found by evaluating the rest again, at most for each member.
        let unevaluated = |keyword: &str| keywords.contains_key(keyword);
        let again = match value {
            Value::Object(members) if unevaluated("unevaluatedProperties") => 1 + members.len(),
            Value::Array(items) if unevaluated("unevaluatedItems") => 1 + items.len(),
            _ => 0,
        };
        for _ in 0..=again {
            self.in_place(keywords, value, depth + 1)?;
        }
        match value {
            Value::Object(members) => self.members(keywords, members, depth + 1),
            Value::Array(items) => self.items(keywords, items, depth + 1),
            Value::String(text) => self.pattern(keywords, text),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    /// Keywords whose schemas mean the same value.
    fn in_place(
        &mut self,
        keywords: &'a Map<String, Value>,
        value: &Value,
        depth: usize,
    ) -> Result<(), String> {
        for (keyword, schema) in keywords {
            match (keyword.as_str(), schema) {
                ("$ref", Value::String(reference)) => {
                    let pointer = reference.strip_prefix('#').unwrap_or_default();
                    if let Some(meant) = self.root.pointer(pointer) {
                        self.visit(meant, value, depth)?;
                    }
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(each)) => {
                    for schema in each {
                        self.visit(schema, value, depth)?;
                    }
                }
                ("dependentSchemas" | "dependencies", Value::Object(each)) => {
                    for schema in each.values() {
                        self.visit(schema, value, depth)?;
                    }
                }
                ("not" | "if" | "then" | "else", schema) => self.visit(schema, value, depth)?,
                ("enum" | "required" | "type", Value::Array(each)) => self.spend(each.len())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn members(
        &mut self,
        keywords: &'a Map<String, Value>,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        for (keyword, schema) in keywords {
            match (keyword.as_str(), schema) {
                ("properties", Value::Object(each)) => {
                    for (name, schema) in each {
                        if let Some(member) = members.get(name) {
                            self.visit(schema, member, depth)?;
                        }
                    }
                }
                ("patternProperties", Value::Object(each)) => {
                    for (pattern, schema) in each {
                        for (name, member) in members {
                            self.matches(pattern, name)?;
                            self.visit(schema, member, depth)?;
                        }
                    }
                }
                ("additionalProperties" | "unevaluatedProperties", schema) => {
                    for member in members.values() {
                        self.visit(schema, member, depth)?;
                    }
                }
                ("propertyNames", schema) => {
                    for name in members.keys() {
                        self.visit(schema, &Value::String(name.clone()), depth)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn items(
        &mut self,
        keywords: &'a Map<String, Value>,
        items: &[Value],
        depth: usize,
    ) -> Result<(), String> {
        for (keyword, schema) in keywords {
            match (keyword.as_str(), schema) {
                ("prefixItems" | "items", Value::Array(each)) => {
                    for (schema, item) in each.iter().zip(items) {
                        self.visit(schema, item, depth)?;
                    }
                }
                ("items" | "additionalItems" | "contains" | "unevaluatedItems", schema) => {
                    for item in items {
                        self.visit(schema, item, depth)?;
                    }
                }
                ("uniqueItems", _) => self.spend(items.len())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn pattern(&mut self, keywords: &Map<String, Value>, text: &str) -> Result<(), String> {
        match keywords.get("pattern") {
            Some(Value::String(pattern)) => self.matches(pattern, text),
            Some(_) | None => Ok(()),
        }
    }

    /// A pattern never backtracks, but each byte may meet all of it.
    fn matches(&mut self, pattern: &str, text: &str) -> Result<(), String> {
        let byte = STEPS_PATTERN_BYTE.saturating_add(pattern.len() as u64);
        let steps = byte.saturating_mul(text.len() as u64);
        self.spend(usize::try_from(steps).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `$defs` in which each schema means the next one `times` times.
    fn chain(length: usize, times: usize) -> Value {
        let mut schema = json!({ "$ref": "#/$defs/d0", "$defs": {} });
        for number in 0..length {
            let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
            schema["$defs"][format!("d{number}")] = json!({ "allOf": vec![next; times] });
        }
        schema["$defs"][format!("d{length}")] = json!(true);
        schema
    }

    #[test]
    fn ordinary_schemas_are_followed_and_cheap() {
        let tree = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:tree",
            "type": "object", "$ref": "#/$defs/node",
            "$defs": { "node": { "properties": {
                "name": { "type": "string", "pattern": "^[a-z]+$" },
                "$id": { "type": "string" },
                "children": { "type": "array", "items": { "$ref": "#/$defs/node" } },
            }}},
        });
        let mut value = json!({ "name": "leaf" });
        for _ in 0..60 {
            value = json!({ "name": "node", "children": [value, { "name": "leaf" }] });
        }
        assert_eq!(patterns(&tree), Ok(1));
        assert_eq!(check(&tree, &value), Ok(()));
        assert_eq!(check(&chain(100, 1), &json!({})), Ok(()));
    }

    #[test]
    fn what_multiplies_ends() {
        assert!(check(&chain(40, 2), &json!({})).is_err());
        assert!(check(&chain(5_000, 1), &json!({})).is_err());
        let own = json!({ "allOf": [{ "$ref": "#" }] });
        assert!(check(&own, &json!({})).is_err());
        // One branch more at each level of the value.
        let wide = json!({ "patternProperties": { "": { "$ref": "#" }, "a": { "$ref": "#" } } });
        let mut value = json!({});
        for _ in 0..60 {
            value = json!({ "a": value });
        }
        assert!(check(&wide, &value).is_err());
        let unevaluated =
            |schema: Value| json!({ "anyOf": [schema], "unevaluatedProperties": false });
        let nested = (0..40).fold(json!(true), |schema, _| unevaluated(schema));
        assert!(check(&nested, &json!({})).is_err());
    }

    #[test]
    fn long_texts_meet_patterns_for_a_while_only() {
        let schema = json!({ "pattern": "^(a|b)*$" });
        assert_eq!(check(&schema, &json!("a".repeat(100_000))), Ok(()));
        assert!(check(&schema, &json!("a".repeat(10_000_000))).is_err());
    }

    #[test]
    fn what_leads_elsewhere_is_not_followed() {
        for schema in [
            json!({ "$ref": "http://example.org/x" }),
            json!({ "$ref": "#name" }),
            json!({ "$ref": "#/$defs/a%20b" }),
            json!({ "$dynamicRef": "#x" }),
            json!({ "$defs": { "a": { "$id": "urn:a" } } }),
        ] {
            assert!(patterns(&schema).is_err(), "{schema}");
        }
    }
}
