//! The result of a contract test: as text, JSON and JUnit.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::super::exit::Code;
use super::super::terminal::one_line;

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people: what failed, and a count
    Text,
    /// One JSON value with every check
    Json,
    /// JUnit's XML, for build servers
    Junit,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Check {
    /// The tool; empty where it is the plugin.
    pub tool: String,
    /// What was looked at.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// What was found.
    pub verdict: Verdict,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the contract has it.
    Passed,
    /// Not, and how.
    Failed(String),
    /// It could not be looked at: a grant is missing.
    Denied(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Denied(_) => "denied",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Failed(reason) | Self::Denied(reason) => Some(reason),
        }
    }
}

/// The exit code: 1 when something failed, 3 when something could not be looked at.
pub fn code(checks: &[Check]) -> Code {
    let any = |word: &str| checks.iter().any(|check| check.verdict.word() == word);
    match (any("failed"), any("denied")) {
        (true, _) => Code::Tool,
        (false, true) => Code::Denied,
        (false, false) => Code::Ok,
    }
}

/// The whole result.
pub fn written(form: Form, plugin: &str, checks: &[Check]) -> String {
    match form {
        Form::Text => text(plugin, checks),
        Form::Json => json(plugin, checks),
        Form::Junit => junit(plugin, checks),
    }
}

/// A name may hold a huge argument.
const NAME_CHARS_MAX: usize = 160;

fn short(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(NAME_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn count(checks: &[Check], word: &str) -> usize {
    checks.iter().filter(|check| check.verdict.word() == word).count()
}

fn text(plugin: &str, checks: &[Check]) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let Some(reason) = check.verdict.reason() else { continue };
        let of = if check.tool.is_empty() { plugin } else { &check.tool };
        let word = check.verdict.word();
        lines.push(format!("{word}: {}: {}: {}", one_line(of), short(&check.name), short(reason)));
    }
    let (failed, denied) = (count(checks, "failed"), count(checks, "denied"));
    let denied = match denied {
        0 => String::new(),
        some => format!(", {some} denied for want of a grant"),
    };
    let passed = count(checks, "passed");
    lines.push(format!("{}: {passed} passed, {failed} failed{denied}", one_line(plugin)));
    lines.join("\n")
}

fn json(plugin: &str, checks: &[Check]) -> String {
    let each = |check: &Check| {
        json!({
            "tool": check.tool,
            "name": check.name,
            "verdict": check.verdict.word(),
            "reason": check.verdict.reason(),
            "ms": u64::try_from(check.took.as_millis()).unwrap_or(u64::MAX),
        })
    };
    let all = json!({
        "plugin": plugin,
        "passed": count(checks, "passed"),
        "failed": count(checks, "failed"),
        "denied": count(checks, "denied"),
        "checks": checks.iter().map(each).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).unwrap_or_else(|_| Value::Null.to_string())
}

fn junit(plugin: &str, checks: &[Check]) -> String {
    let (failed, denied) = (count(checks, "failed"), count(checks, "denied"));
    let mut lines = vec![
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(),
        format!(
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" skipped=\"{denied}\">",
            escaped(plugin),
            checks.len()
        ),
    ];
    for check in checks {
        let of = if check.tool.is_empty() { plugin } else { &check.tool };
        let inside = match &check.verdict {
            Verdict::Passed => String::new(),
            Verdict::Failed(reason) => format!("<failure message=\"{}\"/>", escaped(reason)),
            Verdict::Denied(reason) => format!("<skipped message=\"{}\"/>", escaped(reason)),
        };
        lines.push(format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{inside}</testcase>",
            escaped(of),
            escaped(&check.name),
            check.took.as_secs_f64()
        ));
    }
    lines.push("</testsuite>".to_owned());
    lines.join("\n")
}

/// As an attribute of XML 1.0 has it: control characters are no characters there.
fn escaped(text: &str) -> String {
    let text = short(text);
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => all.push('\u{fffd}'),
            c if c.is_control() => all.push('\u{fffd}'),
            c => all.push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verdict: Verdict) -> Check {
        let (tool, name) = (String::new(), "a <b> & \"c\"\u{1}".to_owned());
        Check { tool, name, took: Duration::from_millis(3), verdict }
    }

    #[test]
    fn what_failed_comes_before_what_was_denied() {
        let denied = || check(Verdict::Denied("no grant".into()));
        let failed = || check(Verdict::Failed("a trap".into()));
        assert_eq!(code(&[]), Code::Ok);
        assert_eq!(code(&[check(Verdict::Passed), denied()]), Code::Denied);
        assert_eq!(code(&[denied(), failed()]), Code::Tool);
    }

    #[test]
    fn junit_quotes_what_xml_would_read() {
        let xml = junit("x", &[check(Verdict::Failed("1 < 2".into()))]);
        assert!(xml.contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;"), "{xml}");
        assert!(xml.contains("failures=\"1\"") && xml.contains("1 &lt; 2"), "{xml}");
        assert!(!xml.contains('\u{1}'), "{xml}");
    }
}
