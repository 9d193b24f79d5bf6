//! Every way a call can end without an output.

use std::any::Any;
use std::{fmt, io};

use crate::{Denial, Limit, fs, http};

/// The error of a tool, case by case that of `aos:tool`; the reaction of the caller is what tells
/// the cases apart.
///
/// `?` turns any [`std::error::Error`] into one: file and HTTP errors that come from a missing
/// grant become [`ToolError::Denied`], a request that got no answer becomes
/// [`ToolError::Unavailable`], all else [`ToolError::Failed`]. For that it is not itself an
/// `Error`, as `anyhow::Error` is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolError {
    /// No tool of this name.
    UnknownTool(String),
    /// Which argument, and what was expected.
    InvalidArguments(String),
    /// A grant is missing.
    Denied(Denial),
    /// A person or a rule said no. Comes from the host.
    Rejected(String),
    /// A limit was reached.
    LimitExceeded(Limit),
    /// Sent before a crash, outcome unknown. Comes from the host.
    Interrupted(String),
    /// What the tool depends on did not answer; trying later may help.
    Unavailable(String),
    /// The tool ran and could not do it.
    Failed(String),
    /// A kind that this version has no case for.
    Other {
        /// A short name that a program can match.
        kind: String,
        /// One sentence.
        message: String,
    },
}

impl ToolError {
    /// The tool ran and could not do it, in one sentence.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// The argument at `path` (as in `lines[2].text`) is not what was `expected`.
    pub fn invalid(path: &str, expected: impl fmt::Display) -> Self {
        Self::InvalidArguments(format!("{path}: {expected}"))
    }

    /// What the tool depends on did not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(message.into())
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTool(name) => write!(f, "there is no tool named {name}"),
            Self::InvalidArguments(message) => write!(f, "invalid arguments: {message}"),
            Self::Denied(denial) => denial.fmt(f),
            Self::LimitExceeded(limit) => limit.fmt(f),
            Self::Rejected(message)
            | Self::Interrupted(message)
            | Self::Unavailable(message)
            | Self::Failed(message) => f.write_str(message),
            Self::Other { kind, message } => write!(f, "{kind}: {message}"),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        if let Some(error) = any.downcast_ref::<fs::Error>() {
            return match error.denial() {
                Some(denial) => Self::Denied(denial),
                None => Self::Failed(error.to_string()),
            };
        }
        if let Some(error) = any.downcast_ref::<http::Error>() {
            return from_http(error);
        }
        if let Some(error) = any.downcast_ref::<io::Error>() {
            return from_io(error);
        }
        Self::Failed(sentence(&error))
    }
}

/// A bare `std::io` error names no path, so the remedy cannot either; `aos_sdk::fs` does better.
fn from_io(error: &io::Error) -> ToolError {
    if !fs::is_refusal(error) {
        return ToolError::Failed(error.to_string());
    }
    let remedy = "--allow-read HOST:GUEST, or --allow-write HOST:GUEST where the tool writes";
    ToolError::Denied(Denial::new("read", "a path that the tool does not name", remedy))
}

fn from_http(error: &http::Error) -> ToolError {
    match error {
        http::Error::Denied(denial) => ToolError::Denied(denial.clone()),
        http::Error::InvalidRequest(message) => ToolError::InvalidArguments(message.clone()),
        http::Error::TooLarge(limit) => ToolError::LimitExceeded(limit.clone()),
        http::Error::Unavailable(_) => ToolError::Unavailable(error.to_string()),
    }
}

/// The error and what caused it, in one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence.push_str(": ");
            sentence.push_str(&text);
        }
        cause = error.source();
    }
    sentence
}
