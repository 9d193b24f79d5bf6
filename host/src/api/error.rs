//! Why there was no answer: one sentence for each thing that the caller would do about it.

use std::path::PathBuf;
use std::time::Duration;

use super::words::{Blame, Problem};

/// Why a daemon did not start, or a command got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody serves the store.
    #[error("no host is running for {0}; `aos-host serve` starts one")]
    NoHost(String),
    /// Somebody serves the store already.
    #[error("a host is running for {store} already: {who}")]
    Taken {
        /// The store.
        store: String,
        /// The process, as far as it is known.
        who: String,
    },
    /// The socket or its process is another user's.
    #[error(
        "{} belongs to user {theirs}, and you are user {own}: a host serves its own user only",
        .path.display()
    )]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// Whose it is.
        theirs: u32,
        /// Who asks.
        own: u32,
    },
    /// The daemon speaks otherwise.
    #[error(
        "the host of {store} is aos-host {theirs} (process {pid}) and this is {}; end that one and \
         start it anew with this program",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The store.
        store: String,
        /// The version of its host.
        theirs: String,
        /// The process of its host.
        pid: u32,
    },
    /// The daemon was there and is not any more.
    #[error("the host of {store} went away before it answered ({how})")]
    Gone {
        /// The store.
        store: String,
        /// What the connection said.
        how: String,
    },
    /// The daemon did not answer in time.
    #[error("the host of {store} has not answered within {}", humantime::format_duration(*.within))]
    Silent {
        /// The store.
        store: String,
        /// How long was waited.
        within: Duration,
    },
    /// The daemon answered, with what is wrong.
    #[error("{}", .0.sentence)]
    Refused(Problem),
    /// A folder, a file or the socket is not usable.
    #[error("{}: {what}", .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        what: String,
    },
    /// The answer is longer than an answer may be, in bytes.
    #[error("the host's answer is longer than {0} bytes: ask for one agent instead of all")]
    TooLong(usize),
    /// The connection carried what is no answer.
    #[error("the host's answer cannot be read: {0}")]
    Answer(String),
}

impl ApiError {
    /// Something is wrong with a path.
    pub(super) fn path(path: impl Into<PathBuf>, what: impl std::fmt::Display) -> Self {
        Self::Path { path: path.into(), what: what.to_string() }
    }

    /// What kind of thing went wrong.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Refused(problem) => problem.blame,
            Self::NoHost(_) | Self::Taken { .. } | Self::Foreign { .. } | Self::Version { .. } => {
                Blame::Usage
            }
            Self::TooLong(_) => Blame::Limit,
            Self::Gone { .. } | Self::Silent { .. } | Self::Path { .. } | Self::Answer(_) => {
                Blame::Host
            }
        }
    }
}
