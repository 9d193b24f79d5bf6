//! What can go wrong with a model: one variant for each different reaction.

use std::time::Duration;

/// A failure of a call, or of finding whom to call. Its `Display` is one sentence for outside: it
/// names the provider and never holds a key. `model` is always `provider/model` or what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No key, or one that the provider refuses (401, 403). The operator must act.
    #[error("{model} cannot be used: {reason}")]
    Unauthorised {
        /// Which model.
        model: String,
        /// Which variable to set, or what was refused.
        reason: String,
    },
    /// No such provider, model (404) or script. Ask for another.
    #[error("there is no model `{model}`: {hint}")]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// The nearest names, or what would be right.
        hint: String,
    },
    /// The prompt does not fit the model's window or the provider's size limit (413). Make it
    /// smaller: page out, then try again.
    #[error("the prompt is too large for {model}: {reason}")]
    TooLarge {
        /// Which model.
        model: String,
        /// The provider's words, or the two sizes.
        reason: String,
    },
    /// A content policy refused the request before the model answered. Trying again cannot help.
    #[error("{model} refused the request: {reason}")]
    Refused {
        /// Which model.
        model: String,
        /// The provider's words.
        reason: String,
    },
    /// The provider's rate limit (429). Try again after `after`; the pacing has learnt it.
    #[error("{model} is rate-limited for another {} s", after.as_secs_f64().ceil())]
    RateLimited {
        /// Which model.
        model: String,
        /// How long to wait from now.
        after: Duration,
    },
    /// The provider has too much to do (503, 529), or its circuit breaker is open. Try again later
    /// or elsewhere.
    #[error("{model} is overloaded: {reason}")]
    Overloaded {
        /// Which model.
        model: String,
        /// The status, or since when it has failed.
        reason: String,
        /// How long to wait from now at least.
        after: Duration,
    },
    /// No connection, or the provider failed (500, 502, 504, a redirect). Try again later.
    #[error("{model} is unavailable: {reason}")]
    Unavailable {
        /// Which model.
        model: String,
        /// What failed.
        reason: String,
    },
    /// A time-out ended the call. Raise it, or try again.
    #[error("{model} did not {what} within {} s", after.as_secs_f64())]
    TimedOut {
        /// Which model.
        model: String,
        /// What it did not do: `accept the connection`, `answer`, `send more`, `finish`.
        what: &'static str,
        /// The time-out.
        after: Duration,
    },
    /// The request is wrong (400, 422), or cannot be said to this provider. Change it.
    #[error("{model} cannot take this request: {reason}")]
    BadRequest {
        /// Which model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// The reply's stream broke off, was no such stream, or grew over its bound. What had streamed
    /// is spent; whether to ask again is the caller's choice.
    #[error("the reply of {model} broke off: {reason}")]
    BrokenStream {
        /// Which model.
        model: String,
        /// What broke.
        reason: String,
    },
}

impl ModelError {
    /// Whether the same request may succeed later without anyone acting.
    pub fn can_retry(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Overloaded { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::BrokenStream { .. } => true,
            Self::Unauthorised { .. }
            | Self::UnknownModel { .. }
            | Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::BadRequest { .. } => false,
        }
    }
}
