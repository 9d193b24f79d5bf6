//! What can go wrong with a file, in one sentence that names it.

use std::{fmt, io};

use super::path::likely_root;
use crate::Denial;

/// What was to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it, list it, look at it.
    Read,
    /// Write, create, move or remove it.
    Write,
}

/// A file operation that failed.
#[derive(Debug)]
pub struct Error {
    path: String,
    access: Access,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(path: &str, access: Access, source: io::Error) -> Self {
        Self { path: path.to_owned(), access, source }
    }

    /// The same error, told of `path`: a caller never named the temporary file.
    pub(crate) fn about(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The guest path, as the caller wrote it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What went wrong, as `std::io` sorts it.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The missing grant, where that is the reason.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        if self.is_unreachable() {
            return None;
        }
        // Outside every root a guest's C library says "not found" on its own, and asks no host.
        if !is_refusal(&self.source) && super::is_granted(&self.path) {
            return None;
        }
        let (capability, flag) = match self.access {
            Access::Read => ("read", "--allow-read"),
            Access::Write => ("write", "--allow-write"),
        };
        let remedy = format!("{flag} HOST:{}", likely_root(&self.path));
        Some(Denial::new(capability, super::normalize(&self.path), remedy))
    }
}

impl Error {
    /// Whether the host, or its system, refused what lies in a granted folder: no grant helps.
    fn is_unreachable(&self) -> bool {
        cfg!(target_family = "wasm")
            && self.source.raw_os_error() == Some(EPERM)
            && super::is_granted(&self.path)
    }

    /// Why, as far as a guest can see.
    fn unreachable(&self) -> &'static str {
        let metadata = std::fs::symlink_metadata(super::normalize(&self.path));
        match metadata.map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_symlink() => "a link leads out of the granted folder",
            Ok(kind) if kind.is_file() || kind.is_dir() => {
                "the file system does not let the host's user do that"
            }
            Ok(_) => "it is not a regular file",
            Err(_) => {
                "a link on the way leads out of the granted folder, or the file system does not \
                 let the host's user in"
            }
        }
    }
}

/// What WASI calls "not permitted".
const EPERM: i32 = 63;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(denial) = self.denial() {
            return denial.fmt(f);
        }
        let verb = match self.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        write!(f, "cannot {verb} {}: ", self.path)?;
        if self.is_unreachable() {
            return f.write_str(self.unreachable());
        }
        match self.source.kind() {
            io::ErrorKind::NotFound => f.write_str("there is no such file or directory"),
            io::ErrorKind::AlreadyExists => f.write_str("it is there already"),
            io::ErrorKind::IsADirectory => f.write_str("it is a directory"),
            io::ErrorKind::NotADirectory => f.write_str("a part of the path is not a directory"),
            io::ErrorKind::StorageFull => f.write_str("the disk is full"),
            _ => self.source.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Whether an operation was refused, by the host or by the host's own file system.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    /// WASI's "capabilities insufficient", which `std` sorts under no kind of its own.
    const ENOTCAPABLE: i32 = 76;
    let kind = error.kind();
    kind == io::ErrorKind::PermissionDenied
        || kind == io::ErrorKind::ReadOnlyFilesystem
        || cfg!(target_family = "wasm") && error.raw_os_error() == Some(ENOTCAPABLE)
}
