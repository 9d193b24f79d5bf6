//! The two errors that carry a remedy: a missing grant and a limit.

use std::fmt;

/// Who lacks the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingIn {
    /// The plugin's manifest did not ask for it.
    Plugin,
    /// The operator did not give it. What a guest sees, since it cannot tell the three apart.
    Operator,
    /// The caller does not hold it.
    Caller,
}

/// A grant is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// As in grants: `read`, `write`, `net`, …
    pub capability: String,
    /// What was asked for: a path, a request, a name.
    pub target: String,
    /// Who lacks it.
    pub missing_in: MissingIn,
    /// The flag or line that would allow it.
    pub remedy: String,
}

impl Denial {
    /// A denial as a guest sees it: missing in what the operator gave.
    pub fn new(
        capability: impl Into<String>,
        target: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            capability: capability.into(),
            target: target.into(),
            missing_in: MissingIn::Operator,
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.missing_in {
            MissingIn::Plugin => "the plugin's manifest does not ask for it",
            MissingIn::Operator => "it is not granted",
            MissingIn::Caller => "the caller does not hold it",
        };
        write!(
            f,
            "denied {} {}: {who}; allow it with {}",
            self.capability, self.target, self.remedy
        )
    }
}

/// A limit was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, as in `max_results`.
    pub name: String,
    /// The limit itself.
    pub value: u64,
    /// Of `value`, as in `bytes`.
    pub unit: String,
    /// How long until waiting helps; none where it cannot.
    pub opens_in_ms: Option<u64>,
    /// What would raise it, or what to ask for instead.
    pub remedy: String,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, unit, remedy, .. } = self;
        write!(f, "the limit {name} of {value} {unit} is reached; {remedy}")
    }
}
