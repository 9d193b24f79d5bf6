//! How the program ends: exit codes, and the one sentence that goes with them.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use super::terminal::visible;
use crate::journal::JournalError;
use crate::kernel::Fault;
use crate::sandbox::Ended;
use crate::sandbox::program::BadPlugin;
use crate::types::ToolError;

/// What `--help` says of them.
pub const HELP: &str = "\
Exit codes:
  0  ok             3  denied          6  host fault
  1  tool error     4  limit reached   7  paused
  2  usage          5  bad plugin
`run PLUGIN -- …` passes on a command's own code; when the host ends it, the code is
122 host fault, 123 bad plugin, 124 limit reached, 125 crash, 126 usage, 127 not found.";

/// The kinds of ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok,
    /// The tool answered with an error, or crashed.
    Tool,
    /// The caller asked for what cannot be.
    Usage,
    /// A grant is missing.
    Denied,
    /// A limit was reached.
    Limit,
    /// The plugin is none.
    Plugin,
    /// The host failed.
    Host,
    /// A command's own code.
    Guest(u8),
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(match code {
            Code::Ok => 0,
            Code::Tool => 1,
            Code::Usage => 2,
            Code::Denied => 3,
            Code::Limit => 4,
            Code::Plugin => 5,
            Code::Host => 6,
            Code::Guest(code) => code,
        })
    }
}

/// A kind and its sentence.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub code: Code,
    /// The sentence for stderr; empty when everything has been said.
    pub sentence: String,
}

impl Failure {
    pub fn new(code: Code, sentence: impl Display) -> Self {
        Self { code, sentence: sentence.to_string() }
    }

    pub fn usage(sentence: impl Display) -> Self {
        Self::new(Code::Usage, sentence)
    }

    pub fn host(sentence: impl Display) -> Self {
        Self::new(Code::Host, sentence)
    }

    /// Everything has been said already.
    pub fn silent(code: Code) -> Self {
        Self::new(code, "")
    }

    /// Says the sentence and gives the code.
    pub fn tell(self) -> ExitCode {
        if !self.sentence.is_empty() {
            // Nobody is left to tell when stderr is closed.
            // A sentence may quote a plugin, and a terminal would obey what is in it.
            let _told = writeln!(std::io::stderr(), "error: {}", visible(&self.sentence));
        }
        self.code.into()
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(code_of(&fault), fault)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let code = match error {
            JournalError::NoChain(_) | JournalError::Ambiguous { .. } => Code::Usage,
            JournalError::Input { .. } => Code::Usage,
            JournalError::Write(_)
            | JournalError::Closed
            | JournalError::ChainClosed(_)
            | JournalError::RowTooLarge { .. }
            | JournalError::Body(_)
            | JournalError::Read(_)
            | JournalError::Io(_) => Code::Host,
        };
        Self::new(code, error)
    }
}

/// The kind of a fault.
pub fn code_of(fault: &Fault) -> Code {
    match fault {
        Fault::Caller(_) => Code::Usage,
        Fault::Plugin(BadPlugin::Budget(_)) => Code::Limit,
        Fault::Plugin(_) => Code::Plugin,
        Fault::Tool(error) => match error {
            ToolError::UnknownTool(_) | ToolError::InvalidArguments(_) => Code::Usage,
            ToolError::Denied(_) | ToolError::Rejected(_) => Code::Denied,
            ToolError::Limit(_) => Code::Limit,
            ToolError::Interrupted(_)
            | ToolError::Unavailable(_)
            | ToolError::Failed(_)
            | ToolError::Other(..) => Code::Tool,
        },
        Fault::Ended(ended) => match ended {
            Ended::Limit(_) => Code::Limit,
            Ended::Trapped(_) => Code::Tool,
            Ended::BadAnswer(_) => Code::Plugin,
            Ended::Journal(_) | Ended::Host(_) => Code::Host,
        },
        Fault::Journal(_) | Fault::Storage(_) | Fault::Host(_) => Code::Host,
    }
}

/// The code of a command that the host ended, out of the range that programs use themselves.
pub fn command_code(fault: &Fault) -> Code {
    Code::Guest(match fault {
        Fault::Ended(Ended::Trapped(_)) => 125,
        other => match code_of(other) {
            Code::Limit => 124,
            Code::Plugin => 123,
            Code::Usage | Code::Denied => 126,
            Code::Ok | Code::Tool | Code::Host | Code::Guest(_) => 122,
        },
    })
}
