//! Why an agent's loop ended without an answer.

use std::fmt;

use crate::{context, model, process};

/// The error of an agent: what it was told by its host, or what its model did.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The model could not be asked.
    Model(model::Error),
    /// The context did not take a page.
    Context(context::Error),
    /// A process could not be started, told or waited for.
    Process(process::Error),
    /// This many turns went by, and the model still called tools.
    TurnsExhausted(u32),
    /// The model's own words for why it will not go on.
    Refused(String),
    /// The model stopped for a reason that the loop cannot answer.
    Stopped(String),
    /// Anything else, in one sentence.
    Failed(String),
}

impl Error {
    /// Anything that has no case of its own, in one sentence.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(error) => error.fmt(f),
            Self::Context(error) => error.fmt(f),
            Self::Process(error) => error.fmt(f),
            Self::TurnsExhausted(turns) => write!(
                f,
                "the model gave no answer within {turns} turns; give it more with \
                 `turns_max`, beside `task` in the JSON of its task, or make the task smaller"
            ),
            Self::Refused(reason) if reason.is_empty() => {
                f.write_str("the model refused to go on, without saying why")
            }
            Self::Refused(reason) => write!(f, "the model refused to go on: {reason}"),
            Self::Stopped(reason) => write!(f, "the model stopped without an answer: {reason}"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Model(error) => Some(error),
            Self::Context(error) => Some(error),
            Self::Process(error) => Some(error),
            Self::TurnsExhausted(_) | Self::Refused(_) | Self::Stopped(_) | Self::Failed(_) => None,
        }
    }
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        Self::Model(error)
    }
}

impl From<context::Error> for Error {
    fn from(error: context::Error) -> Self {
        Self::Context(error)
    }
}

impl From<process::Error> for Error {
    fn from(error: process::Error) -> Self {
        Self::Process(error)
    }
}
