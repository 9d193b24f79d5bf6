//! The parameters of a container tool: their types, the schema that callers see, and the rules for
//! what a value may be. Knows nothing of where in an argument list a value goes.
//!
//! A value is data and stays data:
//! - control characters are refused, but for lines and tabs where the parameter says `lines`;
//! - a value that begins with `@` is refused, since many programs read a file then, unless the
//!   parameter says that its program does not (`at = true`);
//! - a path is absolute and plain: no `.`, `..` or doubled slash. So it never looks like a flag;
//! - `*`, `?`, `$`, `;`, quotes and spaces mean nothing: there is no shell.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes of one value, unless the parameter says less.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Values of one list, unless the parameter says less.
pub const ITEMS_MAX: usize = 256;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Text.
    Text,
    /// A path as the container sees it, below a granted folder.
    Path,
    /// A whole number.
    Integer,
    /// Yes or no: it puts a flag in.
    Boolean,
    /// One of `choices`.
    Choice,
    /// Several texts.
    Texts,
    /// Several paths.
    Paths,
}

/// One parameter, as a manifest describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it takes.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// It must be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What it is when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<toml::Value>,
    /// The values of a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// The largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Bytes of a text, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Lines and tabs may stand in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lines: bool,
    /// The program gives no meaning to an `@` at its beginning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at: bool,
    /// The program writes there: the folder must be granted for writing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub write: bool,
}

/// A value that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Yes or no.
    Flag(bool),
    /// What goes into the argument list, each as it is; numbers in digits.
    Words(Vec<String>),
}

impl Parameter {
    /// Whether the manifest's own words about it hold together.
    ///
    /// # Errors
    /// One sentence, without the parameter's name.
    pub fn check(&self) -> Result<(), String> {
        if self.kind == Kind::Choice && self.choices.is_empty() {
            return Err("a choice needs `choices`".into());
        }
        if self.kind != Kind::Choice && !self.choices.is_empty() {
            return Err("`choices` are for `type = \"choice\"`".into());
        }
        if self.kind != Kind::Integer && (self.min.is_some() || self.max.is_some()) {
            return Err("`min` and `max` are for `type = \"integer\"`".into());
        }
        if self.max_length.is_some_and(|max| max > 1 << 20) {
            return Err("`max_length` is over 1048576".into());
        }
        if let Some(default) = &self.default {
            let value = serde_json::to_value(default).map_err(|error| error.to_string())?;
            self.value(&value).map_err(|error| format!("its default: {error}"))?;
        }
        Ok(())
    }

    /// True for paths: those are looked up among the granted folders.
    pub fn is_path(&self) -> bool {
        matches!(self.kind, Kind::Path | Kind::Paths)
    }

    /// Its JSON Schema.
    pub fn schema(&self) -> Value {
        let text = |length: usize| json!({ "type": "string", "maxLength": length });
        let length = self.max_length.unwrap_or(VALUE_BYTES_MAX);
        let list = |item: Value| json!({ "type": "array", "items": item, "maxItems": ITEMS_MAX });
        let path = || json!({ "type": "string", "maxLength": VALUE_BYTES_MAX, "pattern": "^/" });
        let mut schema = match self.kind {
            Kind::Text => text(length),
            Kind::Path => path(),
            Kind::Integer => json!({ "type": "integer" }),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::Choice => json!({ "type": "string", "enum": self.choices }),
            Kind::Texts => list(text(length)),
            Kind::Paths => list(path()),
        };
        for (key, bound) in [("minimum", self.min), ("maximum", self.max)] {
            if let Some(bound) = bound {
                schema[key] = json!(bound);
            }
        }
        if !self.description.is_empty() {
            schema["description"] = json!(self.description);
        }
        if let Some(default) = &self.default {
            schema["default"] = json!(default);
        }
        schema
    }

    /// A value as words, when it keeps the rules of this module.
    ///
    /// # Errors
    /// One sentence, without the parameter's name.
    pub fn value(&self, value: &Value) -> Result<Checked, String> {
        let one = |word: Result<String, String>| word.map(|word| Checked::Words(vec![word]));
        match (self.kind, value) {
            (Kind::Boolean, Value::Bool(yes)) => Ok(Checked::Flag(*yes)),
            (Kind::Text, Value::String(text)) => one(self.text(text)),
            (Kind::Path, Value::String(path)) => one(plain_path(path)),
            (Kind::Choice, Value::String(word)) => match self.choices.contains(word) {
                true => one(Ok(word.clone())),
                false => Err(format!("it is one of {}", self.choices.join(", "))),
            },
            (Kind::Integer, Value::Number(number)) => one(self.number(number)),
            (Kind::Texts, Value::Array(items)) => self.list(items, |text| self.text(text)),
            (Kind::Paths, Value::Array(items)) => self.list(items, plain_path),
            (
                Kind::Boolean
                | Kind::Text
                | Kind::Path
                | Kind::Choice
                | Kind::Integer
                | Kind::Texts
                | Kind::Paths,
                _,
            ) => Err(format!("it is {}", self.expected())),
        }
    }

    fn expected(&self) -> &'static str {
        match self.kind {
            Kind::Text | Kind::Choice => "a text",
            Kind::Path => "a path",
            Kind::Integer => "a whole number",
            Kind::Boolean => "true or false",
            Kind::Texts => "a list of texts",
            Kind::Paths => "a list of paths",
        }
    }

    fn list(
        &self,
        items: &[Value],
        word: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Checked, String> {
        if items.len() > ITEMS_MAX {
            return Err(format!("it has more than {ITEMS_MAX} values"));
        }
        let each = |item: &Value| match item.as_str() {
            Some(text) => word(text),
            None => Err(format!("it is {}", self.expected())),
        };
        items.iter().map(each).collect::<Result<_, _>>().map(Checked::Words)
    }

    fn number(&self, number: &serde_json::Number) -> Result<String, String> {
        // JSON Schema takes 5.0 for a whole number too.
        let whole = number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        });
        let whole = whole.ok_or_else(|| "it is a whole number".to_owned())?;
        match (self.min, self.max) {
            (Some(min), _) if whole < min => Err(format!("it is at least {min}")),
            (_, Some(max)) if whole > max => Err(format!("it is at most {max}")),
            (Some(_) | None, Some(_) | None) => Ok(whole.to_string()),
        }
    }

    fn text(&self, text: &str) -> Result<String, String> {
        let length = self.max_length.unwrap_or(VALUE_BYTES_MAX);
        if text.len() > length {
            return Err(format!("it is longer than {length} bytes"));
        }
        let allowed = |c: char| self.lines && matches!(c, '\n' | '\t');
        if let Some(control) = text.chars().find(|c| c.is_control() && !allowed(*c)) {
            return Err(format!("it holds the control character {control:?}"));
        }
        if text.starts_with('@') && !self.at {
            return Err("it begins with `@`, by which programs are told to read a file".into());
        }
        Ok(text.to_owned())
    }
}

/// A path as the container sees it.
///
/// # Errors
/// One sentence that says what it should look like.
pub fn plain_path(path: &str) -> Result<String, String> {
    if path.len() > VALUE_BYTES_MAX {
        return Err(format!("it is longer than {VALUE_BYTES_MAX} bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err("it holds a control character".into());
    }
    let Some(inside) = path.strip_prefix('/') else {
        return Err(format!("`{path}` is written as the tool sees it, from `/` on"));
    };
    let inside = inside.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(inside);
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    match inside.is_empty() || inside.split('/').all(plain) {
        true => Ok(format!("/{inside}")),
        false => Err(format!("`{path}` holds `.`, `..` or `//`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(text: &str) -> Parameter {
        let parameter: Parameter = toml::from_str(text).expect("a parameter");
        parameter.check().expect("holds together");
        parameter
    }

    #[test]
    fn a_value_that_a_program_could_take_for_more_than_data_is_refused() {
        let text = parameter("type = 'text'");
        for bad in ["@/etc/passwd", "a\0b", "a\nb", "a\rb", "\u{1b}[2J", &"x".repeat(5000)] {
            assert!(text.value(&json!(bad)).is_err(), "{bad:?}");
        }
        for plain in ["*", "$(id)", "; rm -rf /", "a b", "'\"", "a@b", "-x", ""] {
            let word = Checked::Words(vec![plain.to_owned()]);
            assert_eq!(text.value(&json!(plain)), Ok(word), "{plain:?}");
        }
        let program = parameter("type = 'text'\nlines = true\nat = true");
        assert!(program.value(&json!("@a\n\tb")).is_ok());
        assert!(program.value(&json!("a\rb")).is_err());
    }

    #[test]
    fn a_path_is_absolute_and_plain() {
        for bad in ["src", "", "-rf", "./a", "/a/../b", "/a/./b", "/a//b", "//", "/a\n", "@/a"] {
            assert!(plain_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(plain_path("/"), Ok("/".into()));
        assert_eq!(plain_path("/a/b*/"), Ok("/a/b*".into()));
        assert_eq!(plain_path("/a/-rf"), Ok("/a/-rf".into()));
    }

    #[test]
    fn numbers_and_choices_keep_their_bounds() {
        let number = parameter("type = 'integer'\nmin = 0\nmax = 9");
        assert_eq!(number.value(&json!(7.0)), Ok(Checked::Words(vec!["7".into()])));
        for bad in [json!(-1), json!(10), json!(1.5), json!("7"), json!(null)] {
            assert!(number.value(&bad).is_err(), "{bad}");
        }
        let choice = parameter("type = 'choice'\nchoices = ['a', '-b']");
        assert!(choice.value(&json!("-b")).is_ok() && choice.value(&json!("c")).is_err());
    }

    #[test]
    fn a_default_keeps_the_rules_too() {
        let wrong: Parameter = toml::from_str("type = 'path'\ndefault = '../x'").expect("parses");
        assert!(wrong.check().is_err());
    }
}
