//! Why a model gave no reply.

use std::fmt;

use crate::{Denial, Limit};

/// The error of an inference, case by case that of `aos:agent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A quota that no waiting opens.
    QuotaExhausted(Limit),
    /// The agent may not use this model.
    Denied(Denial),
    /// Milliseconds that were waited.
    TimedOut(u64),
    /// Cannot fit the model's window.
    TooLarge(Limit),
    /// The provider's policy said no.
    RefusedByPolicy(String),
    /// The provider did not answer; later may help.
    Unavailable(String),
    /// The request makes no sense to the host or the provider.
    InvalidRequest(String),
    /// A kind that this version has no case for.
    Other {
        /// A short name that a program can match.
        kind: String,
        /// One sentence.
        message: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuotaExhausted(limit) => limit.fmt(f),
            Self::Denied(denial) => denial.fmt(f),
            Self::TimedOut(waited_ms) => write!(f, "the model did not answer in {waited_ms} ms"),
            Self::TooLarge(limit) => write!(f, "the prompt is too large: {limit}"),
            Self::RefusedByPolicy(message) => {
                write!(f, "the provider's policy refused the request: {message}")
            }
            Self::Unavailable(message) => write!(f, "the model is unavailable: {message}"),
            Self::InvalidRequest(message) => write!(f, "the model cannot be asked: {message}"),
            Self::Other { kind, message } => write!(f, "{kind}: {message}"),
        }
    }
}

impl std::error::Error for Error {}
