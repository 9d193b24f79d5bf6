//! Capabilities that are a name: environment variables, configuration keys, key-value buckets.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::capability::authority::Authority;
use crate::capability::gate::Request;
use crate::capability::grant::{AskPattern, Capability, GrantError};
use crate::journal::Class;
use crate::types::Denial;

/// An exact name, or a beginning followed by `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    stem: String,
    open: bool,
}

/// Longer names are a mistake or an attack.
const NAME_BYTES_MAX: usize = 256;

impl NamePattern {
    /// True when `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.open { name.starts_with(&self.stem) } else { name == self.stem }
    }

    /// True when every name that `other` means is meant by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        if self.open { other.stem.starts_with(&self.stem) } else { self == other }
    }

    /// The one name it stands for, or none when it stands for many.
    pub fn exact(&self) -> Option<&str> {
        (!self.open).then_some(self.stem.as_str())
    }
}

impl FromStr for NamePattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (stem, open) = match text.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        let bad = stem.contains('*')
            || stem.contains(|c: char| c.is_control() || c == '=')
            || stem.len() > NAME_BYTES_MAX
            || (stem.is_empty() && !open);
        if bad {
            return Err(GrantError(format!(
                "`{text}` is no name; write NAME, or a beginning with one `*` at its end"
            )));
        }
        Ok(Self { stem: stem.to_owned(), open })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stem, if self.open { "*" } else { "" })
    }
}

impl Serialize for NamePattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NamePattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A wish for something that has a name.
#[derive(Clone, Copy, Debug)]
pub struct NameRequest<'a> {
    capability: Capability,
    name: &'a str,
}

impl<'a> NameRequest<'a> {
    /// To read an environment variable.
    pub fn environment(name: &'a str) -> Self {
        Self { capability: Capability::Env, name }
    }

    /// To read a configuration value.
    pub fn config(name: &'a str) -> Self {
        Self { capability: Capability::Config, name }
    }

    /// To open a bucket of the plugin's own key-value store.
    pub fn bucket(name: &'a str) -> Self {
        Self { capability: Capability::KeyValue, name }
    }

    /// To hold the placeholder of a secret.
    pub fn secret(name: &'a str) -> Self {
        Self { capability: Capability::Secret, name }
    }

    /// To call a tool, by the name under which an agent sees it.
    pub fn tool(name: &'a str) -> Self {
        Self { capability: Capability::Tool, name }
    }

    /// To ask a model, as `provider/model`.
    pub fn model(name: &'a str) -> Self {
        Self { capability: Capability::Model, name }
    }

    /// To start a child that runs a program.
    pub fn spawn(name: &'a str) -> Self {
        Self { capability: Capability::Spawn, name }
    }
}

impl<'a> Request for NameRequest<'a> {
    /// The name, which now may be used.
    type Checked = &'a str;

    fn capability(&self) -> Capability {
        self.capability
    }

    fn target(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.name)
    }

    fn class(&self) -> Class {
        Class::Queued
    }

    /// What an agent does by a name goes on after the verdict, and has rows of its own.
    fn has_outcome(&self) -> bool {
        !matches!(self.capability, Capability::Tool | Capability::Model | Capability::Spawn)
    }

    fn check(self, authority: &Authority) -> Result<Self::Checked, Denial> {
        let granted = authority.names(self.capability).iter().any(|name| name.matches(self.name));
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            AskPattern::Name(name) => name.matches(self.name),
            AskPattern::Path(_) | AskPattern::Http(_) | AskPattern::Socket(_) => false,
        };
        authority.decide(self.capability, granted, asked, || self.name.to_owned())?;
        if self.capability == Capability::Tool {
            authority.tools().check(self.name)?;
        }
        Ok(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_exact_or_a_beginning() {
        let exact: NamePattern = "HOME".parse().expect("parses");
        assert!(exact.matches("HOME") && !exact.matches("HOMER"));
        let open: NamePattern = "APP_*".parse().expect("parses");
        assert!(open.matches("APP_X") && !open.matches("APP"));
        assert_eq!(open.to_string(), "APP_*");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "A*B", "A=B", "A\nB", &"x".repeat(300)] {
            assert!(text.parse::<NamePattern>().is_err(), "{text:?}");
        }
    }
}
