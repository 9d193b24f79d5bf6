//! The wishes about files that the gate decides.

use std::borrow::Cow;
use std::path::Path;

use crate::capability::authority::{Authority, ask_line};
use crate::capability::files::locate::Located;
use crate::capability::files::{FileRules, Mode};
use crate::capability::gate::{Never, Request};
use crate::capability::grant::{AskPattern, Capability};
use crate::journal::Class;
use crate::types::{Denial, MissingIn};

/// What is to be done with one path. All but `Read` change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOperation {
    /// Open, look at, list.
    Read,
    /// Open for writing what is there.
    Open,
    /// Open for writing, made if it is missing.
    Create,
    /// Open for writing and empty it.
    Truncate,
    /// Write bytes: where and how many.
    Write {
        /// Offset in bytes, or none at the end.
        offset: Option<u64>,
        /// Number of bytes.
        bytes: u64,
    },
    /// Change the size.
    Resize {
        /// The size in bytes.
        bytes: u64,
    },
    /// Change times.
    SetTimes,
    /// Make a folder.
    CreateFolder,
    /// Make a symbolic link; what it will hold.
    Symlink {
        /// The text of the link.
        to: String,
    },
    /// Remove a file or link.
    Remove,
    /// Remove an empty folder.
    RemoveFolder,
}

impl FileOperation {
    /// Reading or changing.
    pub fn mode(&self) -> Mode {
        match self {
            Self::Read => Mode::Read,
            Self::Open
            | Self::Create
            | Self::Truncate
            | Self::Write { .. }
            | Self::Resize { .. }
            | Self::SetTimes
            | Self::CreateFolder
            | Self::Symlink { .. }
            | Self::Remove
            | Self::RemoveFolder => Mode::Write,
        }
    }

    /// True when the name goes away, so that what lies below would be reached by no name.
    fn unnames(&self) -> bool {
        matches!(self, Self::Remove | Self::RemoveFolder)
    }

    fn describe(&self, path: &str) -> String {
        match self {
            Self::Read => path.to_owned(),
            Self::Open => format!("open {path}"),
            Self::Create => format!("create {path}"),
            Self::Truncate => format!("truncate {path}"),
            Self::Write { offset: Some(offset), bytes } => {
                format!("write {path} at {offset} for {bytes}")
            }
            Self::Write { offset: None, bytes } => format!("append {path} for {bytes}"),
            Self::Resize { bytes } => format!("resize {path} to {bytes}"),
            Self::SetTimes => format!("set-times {path}"),
            Self::CreateFolder => format!("create-folder {path}"),
            Self::Symlink { to } => format!("symlink {path} to {to}"),
            Self::Remove => format!("remove {path}"),
            Self::RemoveFolder => format!("remove-folder {path}"),
        }
    }
}

/// A wish about one located path.
#[derive(Debug)]
pub struct FileRequest<'a> {
    located: Located,
    operation: FileOperation,
    rules: &'a FileRules,
}

impl<'a> FileRequest<'a> {
    /// To do `operation` at `located`; `rules` only name it as the guest does.
    pub fn new(located: Located, operation: FileOperation, rules: &'a FileRules) -> Self {
        Self { located, operation, rules }
    }
}

impl Request for FileRequest<'_> {
    type Checked = Located;

    fn capability(&self) -> Capability {
        capability(self.operation.mode())
    }

    fn target(&self) -> Cow<'_, str> {
        self.operation.describe(&shown(self.rules, &self.located.real)).into()
    }

    fn class(&self) -> Class {
        class(self.operation.mode())
    }

    fn tally(&self) -> Option<String> {
        tally(self.rules, &self.located.real, &self.operation)
    }

    fn check(self, authority: &Authority) -> Result<Located, Denial> {
        let Self { located, operation, .. } = self;
        let rules = authority.files();
        let closed = rules.denies_file(&located);
        decide(authority, &located.real, operation.mode(), operation.unnames(), closed)?;
        if let FileOperation::Symlink { to } = &operation
            && !rules.keeps_link(&located.real, to)
        {
            return Err(Denial {
                capability: capability(operation.mode()).to_string(),
                target: operation.describe(&shown(rules, &located.real)),
                missing_in: MissingIn::Operator,
                remedy: "a link that leads to below the same granted folder".into(),
            });
        }
        Ok(located)
    }
}

/// A wish to give something another name: both names are checked.
#[derive(Debug)]
pub struct MoveRequest<'a> {
    from: Located,
    to: Located,
    verb: &'static str,
    rules: &'a FileRules,
}

impl<'a> MoveRequest<'a> {
    /// To move `from` to `to`.
    pub fn rename(from: Located, to: Located, rules: &'a FileRules) -> Self {
        Self { from, to, verb: "rename", rules }
    }

    /// To give `from` the second name `to`.
    pub fn link(from: Located, to: Located, rules: &'a FileRules) -> Self {
        Self { from, to, verb: "link", rules }
    }
}

impl Request for MoveRequest<'_> {
    /// From, to.
    type Checked = (Located, Located);

    fn capability(&self) -> Capability {
        Capability::Write
    }

    fn target(&self) -> Cow<'_, str> {
        let from = shown(self.rules, &self.from.real);
        format!("{} {from} to {}", self.verb, shown(self.rules, &self.to.real)).into()
    }

    fn class(&self) -> Class {
        Class::Written
    }

    fn check(self, authority: &Authority) -> Result<Self::Checked, Denial> {
        // What moves is read elsewhere under its new name, and its old name is gone: both ends
        // must be open for writing, and neither may hold a denied path.
        for end in [&self.from, &self.to] {
            let closed = authority.files().denies_file(end);
            decide(authority, &end.real, Mode::Write, true, closed)?;
        }
        Ok((self.from, self.to))
    }
}

/// A wish about a file that was opened for writing: where it was when it was opened.
#[derive(Debug)]
pub struct OpenFileRequest<'a> {
    /// Its real path at that time.
    pub real: &'a Path,
    /// What is to be done.
    pub operation: FileOperation,
    /// The rules, to name it as the guest does.
    pub rules: &'a FileRules,
}

impl Request for OpenFileRequest<'_> {
    type Checked = ();

    fn capability(&self) -> Capability {
        capability(self.operation.mode())
    }

    fn target(&self) -> Cow<'_, str> {
        let path = self.rules.guest_path(self.real);
        self.operation.describe(path.as_deref().unwrap_or("an unknown file")).into()
    }

    fn class(&self) -> Class {
        class(self.operation.mode())
    }

    fn tally(&self) -> Option<String> {
        tally(self.rules, self.real, &self.operation)
    }

    fn check(self, authority: &Authority) -> Result<(), Denial> {
        decide(authority, self.real, self.operation.mode(), false, false)
    }
}

/// A wish about a path that lies in no root: always denied, so that the denial is seen, counted
/// and explained instead of being lost inside the guest's library.
#[derive(Debug)]
pub struct OutsideRequest<'a> {
    /// The absolute path in the guest; with a slash at its end where it is wanted as a folder.
    pub path: &'a str,
    /// What was wanted.
    pub mode: Mode,
}

impl Request for OutsideRequest<'_> {
    type Checked = Never;

    fn capability(&self) -> Capability {
        capability(self.mode)
    }

    fn target(&self) -> Cow<'_, str> {
        match self.path.trim_end_matches('/') {
            "" => Cow::Borrowed("/"),
            path => Cow::Borrowed(path),
        }
    }

    fn class(&self) -> Class {
        class(self.mode)
    }

    fn check(self, authority: &Authority) -> Result<Never, Denial> {
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            AskPattern::Path(asked) => Path::new(self.path).starts_with(asked),
            AskPattern::Http(_) | AskPattern::Socket(_) | AskPattern::Name(_) => false,
        };
        let capability = capability(self.mode);
        let path = self.path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        match authority.decide(capability, false, asked, || path.to_owned()) {
            Err(denial) => Err(grantable(denial, capability, &folder_of(self.path, self.mode))),
            Ok(()) => unreachable!("invariant: what is not granted is denied"),
        }
    }
}

/// A wish about a path that leads out of its root: always denied, whatever it leads to.
#[derive(Debug)]
pub struct EscapeRequest<'a> {
    /// The path in the guest, as it was asked for.
    pub path: &'a str,
    /// What was wanted.
    pub mode: Mode,
}

impl Request for EscapeRequest<'_> {
    type Checked = Never;

    fn capability(&self) -> Capability {
        capability(self.mode)
    }

    fn target(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.path)
    }

    fn class(&self) -> Class {
        class(self.mode)
    }

    fn check(self, _: &Authority) -> Result<Never, Denial> {
        Err(Denial {
            capability: capability(self.mode).to_string(),
            target: self.path.to_owned(),
            missing_in: MissingIn::Operator,
            remedy: "granting the folder that it leads out to, and using that one's own path,"
                .into(),
        })
    }
}

fn decide(
    authority: &Authority,
    real: &Path,
    mode: Mode,
    moved: bool,
    closed: bool,
) -> Result<(), Denial> {
    let rules = authority.files();
    let closed = closed || rules.denies(real) || (moved && rules.holds_fixed(real));
    let granted = !closed && rules.allowing(real, mode).is_some();
    let asked = |pattern: &AskPattern| match pattern {
        AskPattern::Anything => true,
        AskPattern::Path(asked) => {
            rules.guest_path(real).is_some_and(|path| Path::new(&path).starts_with(asked))
        }
        AskPattern::Http(_) | AskPattern::Socket(_) | AskPattern::Name(_) => false,
    };
    let decided = authority.decide(capability(mode), granted, asked, || shown(rules, real));
    decided.map_err(|denial| match closed && denial.missing_in == MissingIn::Operator {
        // The flag that grants would not help against the one that closes.
        true => Denial { remedy: "removing the `--deny-path` that closes it".into(), ..denial },
        false => {
            // What lies in a root is granted by granting that one otherwise.
            let root = rules.roots().iter().filter(|root| real.starts_with(&root.real));
            let folder = match root.max_by_key(|root| root.real.as_os_str().len()) {
                Some(root) => root.guest.clone(),
                None => folder_of(&denial.target, mode),
            };
            grantable(denial, capability(mode), &folder)
        }
    })
}

/// The denial with a remedy that names a folder: a grant is for a folder, and a file's own name
/// may be one that a library made up on the way.
fn grantable(denial: Denial, capability: Capability, folder: &str) -> Denial {
    let remedy = match denial.missing_in {
        MissingIn::Operator => format!("`{} HOST_FOLDER:{folder}`", capability.flag()),
        MissingIn::Plugin => ask_line(capability, folder),
        MissingIn::Caller => denial.remedy,
    };
    Denial { remedy, ..denial }
}

/// The folder to grant for a path in no root. What the path is nobody knows: there is nothing
/// there. What is to be written, what lies deeper and what has an ending is taken for a file in its
/// folder; a name at the top, and what ends in a slash, for the folder itself.
fn folder_of(path: &str, mode: Mode) -> String {
    let whole = path.trim_end_matches('/');
    let (parent, name) = whole.rsplit_once('/').unwrap_or(("", whole));
    let is_folder = path.ends_with('/')
        || (mode == Mode::Read && parent.is_empty() && !name.trim_start_matches('.').contains('.'));
    let folder = if is_folder { whole } else { parent };
    if folder.is_empty() { "/".to_owned() } else { folder.to_owned() }
}

/// Reads below one root share a verdict row.
fn tally(rules: &FileRules, real: &Path, operation: &FileOperation) -> Option<String> {
    if *operation != FileOperation::Read {
        return None;
    }
    let root = rules.allowing(real, Mode::Read)?;
    Some(format!("read {}", root.guest))
}

fn capability(mode: Mode) -> Capability {
    match mode {
        Mode::Read => Capability::Read,
        Mode::Write => Capability::Write,
    }
}

fn class(mode: Mode) -> Class {
    match mode {
        Mode::Read => Class::Queued,
        // What changed must be in the journal when the host dies right after.
        Mode::Write => Class::Written,
    }
}

/// As the guest knows it. What lies in no root is told by its last name: where it really lies
/// is not the guest's to know.
fn shown(rules: &FileRules, real: &Path) -> String {
    rules.guest_path(real).unwrap_or_else(|| match real.file_name() {
        Some(name) => format!("/{}", name.to_string_lossy()),
        None => "/".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_a_folder() {
        for (path, mode, folder) in [
            ("/src", Mode::Read, "/src"),
            ("/src/", Mode::Read, "/src"),
            ("/src/main.rs", Mode::Read, "/src"),
            ("/etc/passwd", Mode::Read, "/etc"),
            ("/home/me/project/", Mode::Read, "/home/me/project"),
            ("/notes.txt", Mode::Read, "/"),
            ("/.git", Mode::Read, "/.git"),
            ("/", Mode::Read, "/"),
            ("/out", Mode::Write, "/"),
            ("/out/.new.txt.018f.tmp", Mode::Write, "/out"),
        ] {
            assert_eq!(folder_of(path, mode), folder, "{path} {mode:?}");
        }
    }
}
