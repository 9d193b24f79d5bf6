//! The process table: children, messages, endings, checkpoints.
//!
//! ```no_run
//! use aos_sdk::process::{self, Ending, Spawn};
//!
//! # fn main() -> Result<(), process::Error> {
//! let tester = Spawn::new("Tester", "Test it.").program("assistant").priority(40).start()?;
//! let exit = process::join(tester)?;
//! if let Ending::Returned(text) = exit.ending {
//!     println!("{text}");
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod spawn;
mod wait;

use std::fmt;

#[cfg(target_family = "wasm")]
use crate::component::agent::process as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::link as host;

pub use error::Error;
pub use spawn::{Budget, Spawn};
pub use wait::{Wait, join, join_all};

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u64);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended, each with its text or reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its result.
    Returned(String),
    /// Its own error.
    Failed(String),
    /// It broke.
    Trapped(String),
    /// Somebody ended it.
    Killed(String),
    /// It took too much.
    LimitExceeded(String),
}

impl Ending {
    /// The result, or one sentence about why there is none.
    ///
    /// # Errors
    /// Every ending but `Returned`.
    pub fn result(self) -> Result<String, String> {
        match self {
            Self::Returned(text) => Ok(text),
            Self::Failed(reason) => Err(format!("it failed: {reason}")),
            Self::Trapped(reason) => Err(format!("it broke: {reason}")),
            Self::Killed(reason) => Err(format!("it was ended: {reason}")),
            Self::LimitExceeded(reason) => Err(format!("it reached a limit: {reason}")),
        }
    }
}

/// The end of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Who ended.
    pub pid: Pid,
    /// How.
    pub ending: Ending,
}

/// What another process sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub sender: Pid,
    /// What.
    pub body: String,
}

/// What a [`Wait`] was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message came.
    Message(Message),
    /// A child ended.
    Exited(Exit),
}

/// The agent's own number.
#[must_use]
pub fn self_pid() -> Pid {
    host::self_pid()
}

/// Ends a child and all below it.
///
/// # Errors
/// Where it is no child of the agent.
pub fn kill(child: Pid) -> Result<(), Error> {
    host::kill(child)
}

/// Puts a message into another process's mailbox.
///
/// # Errors
/// Where there is no such process, it may not be reached, or its mailbox is full.
pub fn send(to: Pid, body: impl Into<String>) -> Result<(), Error> {
    host::send(to, body.into())
}

/// Makes a named point to come back to; returns its id.
///
/// # Errors
/// Where it is denied or nothing more can be kept.
pub fn checkpoint(label: &str) -> Result<String, Error> {
    host::checkpoint(label, None)
}

/// A checkpoint with all that the agent needs to go on from it: its `resume` function gets the
/// state, and `run` is not called again.
///
/// # Errors
/// As [`checkpoint`].
pub fn checkpoint_with(label: &str, state: Vec<u8>) -> Result<String, Error> {
    host::checkpoint(label, Some(state))
}
