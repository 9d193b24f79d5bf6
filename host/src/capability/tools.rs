//! Tools that a policy allows and denies by name. What it denies stays denied, whatever is granted.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::capability::authority::Authority;
use crate::capability::gate::Request;
use crate::capability::grant::Capability;
use crate::capability::names::NamePattern;
use crate::journal::Class;
use crate::types::{Denial, MissingIn};

/// The tools of a policy, by names like `files__read_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRules {
    /// Those that may be called; empty means all.
    pub allowed: Vec<NamePattern>,
    /// Those that may not, also of the allowed ones.
    pub denied: Vec<NamePattern>,
}

impl ToolRules {
    /// Whether they say anything.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty()
    }

    /// The denial of a tool, where there is one.
    ///
    /// # Errors
    /// The denial, with the line of the policy that makes it one.
    pub fn check(&self, name: &str) -> Result<(), Denial> {
        let has = |patterns: &[NamePattern]| patterns.iter().any(|pattern| pattern.matches(name));
        let remedy = if has(&self.denied) {
            "taking it out of `deny_tools` in the policy"
        } else if self.allowed.is_empty() || has(&self.allowed) {
            return Ok(());
        } else {
            "adding it to `allow_tools` in the policy"
        };
        Err(Denial {
            capability: Capability::Tool.to_string(),
            target: name.to_owned(),
            missing_in: MissingIn::Operator,
            remedy: remedy.to_owned(),
        })
    }
}

/// A wish of an operator to call a tool of the plugin that is run.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    /// `plugin__tool`.
    pub name: &'a str,
}

impl Request for CallRequest<'_> {
    type Checked = ();

    fn capability(&self) -> Capability {
        Capability::Tool
    }

    fn target(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.name)
    }

    fn class(&self) -> Class {
        Class::Queued
    }

    fn has_outcome(&self) -> bool {
        false
    }

    fn check(self, authority: &Authority) -> Result<(), Denial> {
        authority.tools().check(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allowed: &[&str], denied: &[&str]) -> ToolRules {
        let read = |texts: &[&str]| {
            texts.iter().map(|text| text.parse().expect("a pattern")).collect::<Vec<NamePattern>>()
        };
        ToolRules { allowed: read(allowed), denied: read(denied) }
    }

    #[test]
    fn denied_wins_over_allowed_and_no_rule_allows_all() {
        assert!(rules(&[], &[]).check("files__read").is_ok());
        assert!(rules(&["files__*"], &[]).check("files__read").is_ok());
        let error = rules(&["files__*"], &[]).check("http__send").expect_err("denied");
        assert!(error.to_string().contains("`allow_tools`"), "{error}");
        let both = rules(&["files__*"], &["files__write*"]);
        assert!(both.check("files__read").is_ok());
        let error = both.check("files__write_file").expect_err("denied").to_string();
        assert!(error.contains("`deny_tools`"), "{error}");
    }
}
