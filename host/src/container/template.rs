//! The argument list of a call, from its template. There is no shell: each word of the list is one
//! argument, whatever is in it.
//!
//! A value never becomes a flag. Where a program would take a word that begins with `-` for one,
//! such a value is refused:
//!
//! | where the value stands | may begin with `-` | may be empty |
//! |---|---|---|
//! | in one word with its option, `--name=VALUE` (`join = "="`) | yes | yes |
//! | in one word with its option, `-nVALUE` (`join = ""`) | yes | no: it would take the next |
//! | the word after its option | no | yes |
//! | a word of its own, before the template's `--` | no | no |
//! | a word of its own, after it | yes | yes |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::container::parameter::{Checked, Kind, Parameter};

/// Bytes of one argument list. Linux takes far more.
pub const LIST_BYTES_MAX: usize = 128 * 1024;
/// Words of one template.
const TEMPLATE_WORDS_MAX: usize = 256;

/// One place in an argument list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word {
    /// This word, in every call.
    Literal(String),
    /// Something that depends on a parameter.
    Place(Place),
}

/// What depends on a parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A flag, there when the parameter `if` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// The parameter that puts the flag in.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// An option that takes a value; repeated for each value of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// The parameter whose value stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What joins option and value into one word: `=` or nothing. Without it the value is the
    /// next word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
}

/// A place that was understood.
enum Means<'a> {
    Flag(&'a str, &'a str),
    Joined(&'a str, &'a str, &'a str),
    Next(&'a str, &'a str),
    Own(&'a str),
}

impl Place {
    fn means(&self) -> Result<Means<'_>, String> {
        let Self { flag, when, option, value, join } = self;
        match (flag, when, option, value, join) {
            (Some(flag), Some(when), None, None, None) => Ok(Means::Flag(flag, when)),
            (None, None, Some(option), Some(value), Some(join)) => {
                Ok(Means::Joined(option, join, value))
            }
            (None, None, Some(option), Some(value), None) => Ok(Means::Next(option, value)),
            (None, None, None, Some(value), None) => Ok(Means::Own(value)),
            (..) => Err("a place in `argv` is { flag, if }, { option, value }, \
                         { option, value, join } or { value }"
                .into()),
        }
    }
}

/// Whether a template and its parameters fit: every place names a parameter of a fitting type,
/// and every parameter has a place, or is what stdin takes.
///
/// # Errors
/// One sentence.
pub fn check(
    argv: &[Word],
    parameters: &BTreeMap<String, Parameter>,
    stdin: Option<&str>,
) -> Result<(), String> {
    if argv.len() > TEMPLATE_WORDS_MAX {
        return Err(format!("`argv` has more than {TEMPLATE_WORDS_MAX} words"));
    }
    let mut used: Vec<&str> = stdin.into_iter().collect();
    if let Some(stdin) = stdin
        && !parameters.get(stdin).is_some_and(|of| of.kind == Kind::Text)
    {
        return Err(format!("`stdin` names `{stdin}`, which is no parameter of type text"));
    }
    for word in argv {
        let place = match word {
            Word::Literal(text) if text.chars().any(char::is_control) => {
                return Err(format!("`argv` holds a control character: {text:?}"));
            }
            Word::Literal(_) => continue,
            Word::Place(place) => place.means()?,
        };
        let (name, option, is_flag) = match place {
            Means::Flag(flag, name) => (name, Some(flag), true),
            Means::Joined(_, join, _) if join != "=" && !join.is_empty() => {
                return Err(format!("`join` is \"=\" or \"\", not {join:?}"));
            }
            Means::Joined(option, _, name) | Means::Next(option, name) => {
                (name, Some(option), false)
            }
            Means::Own(name) => (name, None, false),
        };
        let Some(parameter) = parameters.get(name) else {
            return Err(format!("`argv` names `{name}`, which is no parameter"));
        };
        if is_flag != (parameter.kind == Kind::Boolean) {
            return Err(format!("`{name}`: a boolean stands with `flag`, and nothing else does"));
        }
        if option.is_some_and(|option| !option.starts_with('-') || option.len() < 2) {
            return Err(format!("`{name}`: an option or flag begins with `-`"));
        }
        used.push(name);
    }
    match parameters.keys().find(|name| !used.contains(&name.as_str())) {
        Some(unused) => Err(format!("the parameter `{unused}` has no place in `argv`")),
        None => Ok(()),
    }
}

/// What a call is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The words after the program.
    pub words: Vec<String>,
    /// What it reads from stdin.
    pub stdin: String,
    /// The paths it names, and whether it writes there.
    pub paths: Vec<(String, bool)>,
}

/// Fills a template that was checked.
///
/// # Errors
/// One sentence that names the parameter and says what is wrong with its value.
pub fn fill(
    argv: &[Word],
    parameters: &BTreeMap<String, Parameter>,
    stdin: Option<&str>,
    arguments: &Map<String, Value>,
) -> Result<Filled, String> {
    let values = values(parameters, arguments)?;
    let mut filled = Filled::default();
    for (name, value) in &values {
        let parameter = &parameters[*name];
        if let (true, Checked::Words(words)) = (parameter.is_path(), value) {
            filled.paths.extend(words.iter().map(|path| (path.clone(), parameter.write)));
        }
    }
    let mut ended = false;
    for word in argv {
        match word {
            Word::Literal(text) => {
                ended |= text == "--";
                filled.words.push(text.clone());
            }
            Word::Place(place) => {
                let placed = place.means()?.words(&values, ended)?;
                filled.words.extend(placed);
            }
        }
    }
    if let Some(Checked::Words(words)) = stdin.and_then(|name| values.get(name)) {
        filled.stdin = words.concat();
    }
    let bytes: usize = filled.words.iter().map(|word| word.len() + 1).sum();
    match bytes > LIST_BYTES_MAX {
        true => Err(format!("the arguments are over {LIST_BYTES_MAX} bytes together")),
        false => Ok(filled),
    }
}

/// Every parameter that has a value: given, or by default.
fn values<'a>(
    parameters: &'a BTreeMap<String, Parameter>,
    arguments: &Map<String, Value>,
) -> Result<BTreeMap<&'a str, Checked>, String> {
    if let Some(unknown) = arguments.keys().find(|name| !parameters.contains_key(*name)) {
        let unknown: String = unknown.chars().take(80).collect();
        return Err(format!("there is no parameter `{unknown}`"));
    }
    let mut values = BTreeMap::new();
    for (name, parameter) in parameters {
        let default;
        let given = match (arguments.get(name).filter(|value| !value.is_null()), &parameter.default)
        {
            (Some(value), _) => value,
            (None, Some(text)) => {
                default = serde_json::to_value(text).map_err(|error| error.to_string())?;
                &default
            }
            (None, None) if parameter.required => return Err(format!("`{name}` is missing")),
            (None, None) => continue,
        };
        let value = parameter.value(given).map_err(|error| format!("`{name}`: {error}"))?;
        values.insert(name.as_str(), value);
    }
    Ok(values)
}

impl Means<'_> {
    fn words(&self, values: &BTreeMap<&str, Checked>, ended: bool) -> Result<Vec<String>, String> {
        let of = |name: &str| match values.get(name) {
            Some(Checked::Words(words)) => words.as_slice(),
            Some(Checked::Flag(_)) | None => &[],
        };
        match self {
            Self::Flag(flag, name) => match values.get(name) {
                Some(Checked::Flag(true)) => Ok(vec![(*flag).to_owned()]),
                Some(Checked::Flag(false) | Checked::Words(_)) | None => Ok(Vec::new()),
            },
            Self::Joined(option, join, name) => {
                let empty = of(name).iter().any(String::is_empty) && join.is_empty();
                match empty {
                    true => Err(format!("`{name}`: it is empty")),
                    false => {
                        let word = |value: &String| format!("{option}{join}{value}");
                        Ok(of(name).iter().map(word).collect())
                    }
                }
            }
            Self::Next(option, name) => {
                let mut words = Vec::new();
                for value in of(name) {
                    no_flag(name, value)?;
                    words.extend([(*option).to_owned(), value.clone()]);
                }
                Ok(words)
            }
            Self::Own(name) => {
                for value in of(name).iter().filter(|_| !ended) {
                    no_flag(name, value)?;
                    if value.is_empty() {
                        return Err(format!("`{name}`: it is empty"));
                    }
                }
                Ok(of(name).to_vec())
            }
        }
    }
}

fn no_flag(name: &str, value: &str) -> Result<(), String> {
    match value.starts_with('-') {
        true => Err(format!("`{name}`: it begins with `-`, which the program takes for a flag")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Tool {
        argv: Vec<Word>,
        parameters: BTreeMap<String, Parameter>,
    }

    fn tool(text: &str) -> Tool {
        let tool: Tool = toml::from_str(text).expect("a tool");
        check(&tool.argv, &tool.parameters, None).expect("fits");
        tool
    }

    fn filled(tool: &Tool, arguments: Value) -> Result<Vec<String>, String> {
        let arguments = arguments.as_object().expect("an object").clone();
        fill(&tool.argv, &tool.parameters, None, &arguments).map(|filled| filled.words)
    }

    const SEARCH: &str = r#"
        argv = ["--color=never", { flag = "-i", if = "fold" }, { option = "-m", value = "count",
          join = "" }, { option = "--glob", value = "globs", join = "=" }, { option = "-A",
          value = "after" }, { value = "mode" }, "--", { value = "pattern" }, { value = "paths" }]
        [parameters]
        fold = { type = "boolean" }
        count = { type = "integer" }
        globs = { type = "texts" }
        after = { type = "text" }
        mode = { type = "text", default = "plain" }
        pattern = { type = "text", required = true }
        paths = { type = "paths", default = ["/src"] }
    "#;

    #[test]
    fn values_stand_where_the_template_says() {
        let words = filled(
            &tool(SEARCH),
            json!({ "pattern": "-x *", "fold": true, "count": 3, "globs": ["-a", "*.rs"],
                    "after": "2" }),
        );
        let want = [
            "--color=never",
            "-i",
            "-m3",
            "--glob=-a",
            "--glob=*.rs",
            "-A",
            "2",
            "plain",
            "--",
            "-x *",
            "/src",
        ];
        assert_eq!(words.expect("fits"), want);
    }

    #[test]
    fn a_value_never_becomes_a_flag() {
        let tool = tool(SEARCH);
        for (arguments, says) in [
            (json!({ "pattern": "x", "after": "--pre=sh" }), "`after`"),
            (json!({ "pattern": "x", "mode": "--pre=sh" }), "`mode`"),
            (json!({ "pattern": "x", "mode": "" }), "`mode`"),
            (json!({ "pattern": "x", "paths": ["--pre=sh"] }), "`paths`"),
            (json!({ "pattern": "a\n--pre=sh" }), "`pattern`"),
            (json!({ "pattern": "@/src/list" }), "`pattern`"),
            (json!({ "pattern": ["x"] }), "`pattern`"),
            (json!({ "pattern": "x", "other": 1 }), "`other`"),
            (json!({}), "`pattern` is missing"),
        ] {
            let error = filled(&tool, arguments).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_template_that_does_not_hold_together_is_refused() {
        for (argv, says) in [
            ("[{ value = 'x' }]", "no parameter"),
            ("[{ flag = '-a', if = 't' }]", "boolean"),
            ("[{ value = 'b' }, { value = 't' }]", "boolean"),
            ("[{ option = 'a', value = 't' }]", "begins with `-`"),
            ("[{ option = '-a', value = 't', join = ' ' }]", "`join`"),
            ("[{ flag = '-a', value = 't' }]", "a place"),
            ("[{ value = 't' }]", "`b` has no place"),
            ("['a\\u0000', { value = 't' }]", "control"),
        ] {
            let text = format!(
                "argv = {}\nparameters = {{ t = {{ type = 'text' }}, b = {{ type = 'boolean' }} }}",
                argv.replace('\'', "\"")
            );
            let Tool { argv, parameters } = toml::from_str(&text).expect("parses");
            let error = check(&argv, &parameters, None).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        /// Whatever a model says: the literal words stay, values are only where they belong, and
        /// what a program reads as a flag is the template's.
        #[test]
        fn no_text_adds_a_flag(pattern in any::<String>(), globs in any::<Vec<String>>(),
                               after in any::<String>(), mode in any::<String>()) {
            let tool = tool(SEARCH);
            let arguments = json!({ "pattern": pattern, "globs": globs, "after": after,
                                    "mode": mode });
            if let Ok(words) = filled(&tool, arguments) {
                let end = words.iter().position(|word| word == "--").expect("the end of flags");
                prop_assert_eq!(&words[end + 1..], [pattern.as_str(), "/src"]);
                let flags = words[..end].iter().filter(|word| word.starts_with('-'));
                for flag in flags {
                    let known = flag == "--color=never" || flag == "-A"
                        || flag.starts_with("--glob=");
                    prop_assert!(known, "{}", flag);
                }
            }
        }
    }
}
