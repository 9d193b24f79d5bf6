//! How the program ends: exit codes, and the one sentence that goes with them.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use super::terminal::visible;
use crate::config::plugins::NotFound;
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
  130 and 143: ended by SIGINT or SIGTERM.
A command's own code is passed on. What the host says of a command has a code of its own:
  122  host fault    124  limit reached    126  usage, or denied
  123  bad plugin    125  crash            127  no such plugin
With `run PLUGIN -- …` that holds from the first word on, also for a mistake in a flag.";

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
    /// There is no plugin of that name.
    Missing,
    /// The host failed.
    Host,
    /// A command's own code, or what the host says of it out of the range of such codes.
    Guest(u8),
    /// It waits for what does not come by itself.
    Paused,
    /// A signal ended it; its number.
    Signal(u8),
}

impl Code {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Tool => "tool",
            Self::Usage => "usage",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Plugin | Self::Missing => "plugin",
            Self::Host => "host",
            Self::Guest(_) => "command",
            Self::Paused => "paused",
            Self::Signal(_) => "interrupted",
        }
    }

    /// The code of the same kind out of the range that commands use themselves.
    pub fn of_a_command(self) -> Self {
        Self::Guest(match self {
            Self::Ok => 0,
            Self::Tool | Self::Host | Self::Paused => 122,
            Self::Plugin => 123,
            Self::Limit => 124,
            Self::Usage | Self::Denied => 126,
            Self::Missing => 127,
            Self::Guest(code) => code,
            Self::Signal(_) => return self,
        })
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(match code {
            Code::Ok => 0,
            Code::Tool => 1,
            Code::Usage => 2,
            Code::Denied => 3,
            Code::Limit => 4,
            Code::Plugin | Code::Missing => 5,
            Code::Host => 6,
            Code::Guest(code) => code,
            Code::Paused => 7,
            // As a shell says it.
            Code::Signal(number) => 128 + number,
        })
    }
}

/// What the words of the command line say of how failures are to be told. It is read from them
/// before anything else is, so that a mistake in them is told the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `--output json`.
    pub json: bool,
    /// `run … --`: the codes of commands.
    pub command: bool,
}

impl Asked {
    /// Reads the words after the program's name.
    pub fn of(words: impl Iterator<Item = std::ffi::OsString>) -> Self {
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let end = words.iter().position(|word| word == "--");
        let own = &words[..end.unwrap_or(words.len())];
        let command = end.is_some() && own.iter().any(|word| word == "run");
        let pair = |pair: &[String]| {
            matches!(&pair[0][..], "-o" | "--output") && pair[1].eq_ignore_ascii_case("json")
        };
        let one = |word: &String| matches!(&word[..], "-ojson" | "-o=json" | "--output=json");
        // A command's stdout is its own: there the host speaks on stderr alone.
        let json = !command && (own.windows(2).any(pair) || own.iter().any(one));
        Self { json, command }
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

    /// The same, of what was meant as a command.
    pub fn of_a_command(self) -> Self {
        Self { code: self.code.of_a_command(), ..self }
    }

    /// Says the sentence as the caller reads it, and gives the code.
    pub fn tell(self, asked: Asked) -> ExitCode {
        if !self.sentence.is_empty() && asked.json {
            let text = super::render::failure_json(self.code, &self.sentence);
            // Nobody is left to tell when stdout is closed.
            let _told = super::terminal::print_line(&text);
        } else if !self.sentence.is_empty() {
            // Nobody is left to tell when stderr is closed.
            // A sentence may quote a plugin, and a terminal would obey what is in it.
            let _told = writeln!(std::io::stderr(), "error: {}", visible(&self.sentence));
        }
        self.code.into()
    }
}

impl From<NotFound> for Failure {
    fn from(error: NotFound) -> Self {
        let code = match error {
            NotFound::Missing(_) => Code::Missing,
            NotFound::Unusable(_) => Code::Plugin,
        };
        Self::new(code, error)
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
            Ended::Trapped(_) | Ended::Killed(_) => Code::Tool,
            Ended::BadAnswer(_) => Code::Plugin,
            Ended::Journal(_) | Ended::Diverged(_) | Ended::Host(_) => Code::Host,
        },
        Fault::Journal(_) | Fault::Storage(_) | Fault::Host(_) => Code::Host,
    }
}

/// The code of a command that the host ended, out of the range that programs use themselves.
pub fn command_code(fault: &Fault) -> Code {
    match fault {
        Fault::Ended(Ended::Trapped(_)) => Code::Guest(125),
        other => code_of(other).of_a_command(),
    }
}
