//! Why the process table did not do what was asked.

use std::fmt;

use crate::{Denial, Limit};

/// The error of a process function, case by case that of `aos:agent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The agent may not do that, or lacks what it would pass on.
    Denied(Denial),
    /// There is no such process, or it is none of the agent's.
    NoSuchProcess(String),
    /// No agent plugin of this name is installed.
    NoSuchProgram(String),
    /// A bound on children, depth or agents.
    LimitExceeded(Limit),
    /// How many messages the mailbox holds.
    MailboxFull(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::NoSuchProcess(message) => write!(f, "there is no such process: {message}"),
            Self::NoSuchProgram(name) => write!(f, "there is no program named {name}"),
            Self::LimitExceeded(limit) => limit.fmt(f),
            Self::MailboxFull(messages) => {
                write!(f, "the mailbox is full: it holds {messages} messages")
            }
        }
    }
}

impl std::error::Error for Error {}
