//! The names under which exports are called.
//!
//! # The rule
//! | WIT | name |
//! |---|---|
//! | a function of the world, `run` | `run` |
//! | a function of an interface | `demo:text/case.upper` |
//! | a method or static function of a resource | `demo:db/store.bucket.get` |
//! | the constructor of a resource | `demo:db/store.bucket.new` |
//!
//! The version of the interface may be written (`demo:text/case@0.1.0.upper`) and must be where the
//! component exports two versions of it. Where two exports would have one name (a resource with a
//! constructor and a static function `new`), both have the raw name of the component model:
//! `demo:db/store.[constructor]bucket`. The raw name always resolves.

use std::collections::HashMap;

/// Longest name that is compared for likeness, in characters: the comparison is quadratic.
const LIKENESS_CHARS_MAX: usize = 128;
/// Least likeness (Jaro-Winkler, 0 to 1) of a name worth proposing.
const LIKENESS_MIN: f64 = 0.7;

/// No export has this name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no export is named `{name}`{}", proposal(.nearest))]
pub struct Unknown {
    /// The name as it was asked for, cut to 128 characters.
    pub name: String,
    /// The export with the most similar name.
    pub nearest: Option<String>,
}

/// `; did you mean …?`, or nothing.
pub(super) fn proposal(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// The known name most similar to `name`, if any is similar enough to propose.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = cut(name);
    known
        .into_iter()
        .map(|candidate| (cut(candidate), candidate))
        .filter(|(short, _)| likeness(&name, short) >= LIKENESS_MIN || is_slip(&name, short))
        .min_by(|(a, _), (b, _)| {
            let edits = edits(&name, a).cmp(&edits(&name, b));
            edits.then_with(|| likeness(&name, b).total_cmp(&likeness(&name, a)))
        })
        .map(|(_, candidate)| candidate)
}

/// The last part of a name: `upper` of `demo:text/case.upper`.
fn last(text: &str) -> &str {
    text.rsplit(['.', '/']).next().unwrap_or(text)
}

/// Names are similar as a whole, or in their last part: `upper` is near `demo:text/case.upper`.
fn likeness(name: &str, candidate: &str) -> f64 {
    let parts = strsim::jaro_winkler(last(name), last(candidate)) * 0.95;
    strsim::jaro_winkler(name, candidate).max(parts)
}

/// Whether one letter is wrong, or two are swapped: short names are little alike then.
fn is_slip(name: &str, candidate: &str) -> bool {
    name.chars().count() > 2 && strsim::osa_distance(name, candidate) == 1
}

/// How many letters are wrong, missing, too many or swapped: of two that are alike, the one that
/// takes fewer is meant.
fn edits(name: &str, candidate: &str) -> usize {
    let parts = strsim::osa_distance(last(name), last(candidate));
    strsim::osa_distance(name, candidate).min(parts)
}

pub(super) fn cut(name: &str) -> String {
    name.chars().take(LIKENESS_CHARS_MAX).collect()
}

/// All names of one export.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Names {
    /// `demo:db/store.bucket.new`.
    pub(super) short: String,
    /// `demo:db/store@0.1.0.bucket.new`.
    pub(super) full: String,
    /// `demo:db/store@0.1.0.[constructor]bucket`.
    pub(super) raw: String,
}

impl Names {
    /// The names of the function `function` in the instances `interfaces`, outermost first.
    pub(super) fn of(interfaces: &[String], function: &str) -> Self {
        let versioned = |part: &String| part.clone();
        let bare = |part: &String| match part.split_once('@') {
            Some((bare, _)) => bare.to_owned(),
            None => part.clone(),
        };
        let join = |part: &dyn Fn(&String) -> String, function: &str| {
            let mut parts: Vec<String> = interfaces.iter().map(part).collect();
            parts.push(function.to_owned());
            parts.join(".")
        };
        let readable = readable(function);
        Self {
            short: join(&bare, &readable),
            full: join(&versioned, &readable),
            raw: join(&versioned, function),
        }
    }
}

/// The function's own name without the component model's annotations.
pub(super) fn readable(function: &str) -> String {
    if let Some(resource) = function.strip_prefix("[constructor]") {
        return format!("{resource}.new");
    }
    let bare = ["[method]", "[static]"].iter().find_map(|prefix| function.strip_prefix(prefix));
    bare.unwrap_or(function).to_owned()
}

/// Finds exports by any of their names.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_name: HashMap<String, usize>,
    /// The stable name of each export, in order.
    stable: Vec<String>,
}

impl Index {
    /// Chooses the stable name of each export: the shortest that is its own.
    pub(super) fn of(all: &[Names]) -> Self {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for names in all {
            *uses.entry(&names.short).or_default() += 1;
            if names.full != names.short {
                *uses.entry(&names.full).or_default() += 1;
            }
        }
        let mut index = Self::default();
        for (position, names) in all.iter().enumerate() {
            let own =
                [&names.short, &names.full].into_iter().filter(|name| uses[name.as_str()] == 1);
            let own: Vec<&String> = own.collect();
            index.stable.push(own.first().map_or(&names.raw, |name| *name).clone());
            for name in own {
                index.by_name.insert(name.clone(), position);
            }
        }
        // Raw names are unique by validation, and give way where they equal a readable name.
        for (position, names) in all.iter().enumerate() {
            index.by_name.entry(names.raw.clone()).or_insert(position);
        }
        index
    }

    /// The stable name of an export.
    pub(super) fn stable(&self, position: usize) -> &str {
        &self.stable[position]
    }

    /// The export with this name.
    pub(super) fn find(&self, name: &str) -> Result<usize, Unknown> {
        self.by_name.get(name).copied().ok_or_else(|| Unknown {
            name: cut(name),
            nearest: nearest(name, self.stable.iter().map(String::as_str)).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(of: &[(&[&str], &str)]) -> Index {
        let names: Vec<Names> = of
            .iter()
            .map(|(interfaces, function)| {
                let interfaces: Vec<String> = interfaces.iter().map(|i| (*i).to_owned()).collect();
                Names::of(&interfaces, function)
            })
            .collect();
        Index::of(&names)
    }

    #[test]
    fn names_follow_the_rule() {
        let index = index(&[
            (&[], "run"),
            (&["demo:text/case@0.1.0"], "upper"),
            (&["demo:db/store@1.0.0"], "[constructor]bucket"),
            (&["demo:db/store@1.0.0"], "[method]bucket.get"),
            (&["demo:db/store@1.0.0"], "[static]bucket.open"),
        ]);
        let expected = [
            "run",
            "demo:text/case.upper",
            "demo:db/store.bucket.new",
            "demo:db/store.bucket.get",
            "demo:db/store.bucket.open",
        ];
        for (position, name) in expected.iter().enumerate() {
            assert_eq!(index.stable(position), *name);
            assert_eq!(index.find(name), Ok(position));
        }
        assert_eq!(index.find("demo:text/case@0.1.0.upper"), Ok(1));
        assert_eq!(index.find("demo:db/store@1.0.0.[constructor]bucket"), Ok(2));
    }

    #[test]
    fn two_versions_of_an_interface_keep_their_versions() {
        let index =
            index(&[(&["demo:text/case@0.1.0"], "upper"), (&["demo:text/case@0.2.0"], "upper")]);
        assert_eq!(index.stable(0), "demo:text/case@0.1.0.upper");
        assert_eq!(index.find("demo:text/case@0.2.0.upper"), Ok(1));
        let unknown = index.find("demo:text/case.upper").expect_err("ambiguous");
        assert!(unknown.nearest.expect("similar").starts_with("demo:text/case@0."));
    }

    #[test]
    fn a_clash_of_readable_names_falls_back_to_raw_names() {
        let index = index(&[(&["a:b/c"], "[constructor]x"), (&["a:b/c"], "[static]x.new")]);
        assert_eq!(index.stable(0), "a:b/c.[constructor]x");
        assert_eq!(index.find("a:b/c.[static]x.new"), Ok(1));
        assert!(index.find("a:b/c.x.new").is_err());
    }

    #[test]
    fn an_unknown_name_comes_with_the_nearest() {
        let index = index(&[(&["demo:text/case"], "upper"), (&["demo:text/case"], "lower")]);
        for asked in ["demo:text/case.uper", "upper", "demo:text/case/upper"] {
            let unknown = index.find(asked).expect_err("unknown");
            assert_eq!(unknown.nearest.as_deref(), Some("demo:text/case.upper"), "{asked}");
        }
        let unknown = index.find("zzzz").expect_err("unknown");
        assert_eq!(unknown.to_string(), "no export is named `zzzz`");
        assert!(index.find(&"x".repeat(1 << 20)).expect_err("unknown").name.len() <= 128);
    }
}
