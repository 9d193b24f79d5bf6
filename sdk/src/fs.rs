//! Files under the roots that the operator granted, by guest path.
//!
//! The functions are those of `std::fs`, and in a component they are nothing more. Two things are
//! added: an error names the path and, where a grant is missing, becomes `denied` with the flag
//! that would give it; and natively a test's roots stand in for the operator's (`testing::Host`).

mod error;
mod path;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

pub(crate) use error::is_refusal;
pub use error::{Access, Error};
pub use path::normalize;

/// Guest paths of the roots, as granted with `--allow-read HOST:GUEST` and `--allow-write`.
#[must_use]
pub fn roots() -> Vec<String> {
    #[cfg(target_family = "wasm")]
    let roots = wasip2::filesystem::preopens::get_directories();
    #[cfg(target_family = "wasm")]
    let roots = roots.into_iter().map(|(_, guest)| guest).collect();
    #[cfg(not(target_family = "wasm"))]
    let roots = crate::testing::fakes::roots();
    roots
}

/// Whether `path` lies under a root. It may still be denied.
#[must_use]
pub fn is_granted(path: &str) -> bool {
    let path = normalize(path);
    roots().iter().any(|root| path::is_under(&path, &normalize(root)))
}

/// Opens a file to read it.
///
/// # Errors
/// Where it is denied, not there, or not to be opened.
pub fn open(path: &str) -> Result<File, Error> {
    attempt(path, Access::Read, File::open)
}

/// Opens a new file to write it; one that is there is an error.
///
/// # Errors
/// Where it is denied or there already.
pub fn create_new(path: &str) -> Result<File, Error> {
    attempt(path, Access::Write, |path| OpenOptions::new().write(true).create_new(true).open(path))
}

/// Opens a file that is there to write it; nothing of it changes by that.
///
/// # Errors
/// Where it is denied, not there, or not to be written.
pub fn open_to_write(path: &str) -> Result<File, Error> {
    attempt(path, Access::Write, |path| OpenOptions::new().write(true).open(path))
}

/// All bytes of a file. The host's memory limit is the only bound: see [`read_up_to`].
///
/// # Errors
/// As [`open`].
pub fn read(path: &str) -> Result<Vec<u8>, Error> {
    read_up_to(path, u64::MAX)
}

/// The first `bytes_max` bytes of a file.
///
/// # Errors
/// As [`open`].
pub fn read_up_to(path: &str, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    let read = file.take(bytes_max).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|source| Error::new(path, Access::Read, source))
}

/// A file's text.
///
/// # Errors
/// As [`open`], and where it is not UTF-8.
pub fn read_to_string(path: &str) -> Result<String, Error> {
    String::from_utf8(read(path)?).map_err(|_| {
        let source = io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8 text");
        Error::new(path, Access::Read, source)
    })
}

/// Writes a file, over the one that is there. Not atomic: see [`replace`].
///
/// # Errors
/// Where it is denied or cannot be written.
pub fn write(path: &str, bytes: &[u8]) -> Result<(), Error> {
    attempt(path, Access::Write, |path| std::fs::write(path, bytes))
}

/// Writes a file so that a reader sees all of the old or all of the new: a file beside it is
/// written, synced and renamed onto it.
///
/// # Errors
/// Where it is denied or cannot be written; the old file is then as it was.
pub fn replace(path: &str, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path::temporary(path);
    let mut file = create_new(&temporary).map_err(|error| error.about(path))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let result = written
        .map_err(|source| Error::new(path, Access::Write, source))
        .and_then(|()| rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell.
        remove_file(&temporary).ok();
    }
    result.map_err(|error| error.about(path))
}

/// What is known of a file or directory; a symbolic link is followed.
///
/// # Errors
/// As [`open`].
pub fn metadata(path: &str) -> Result<Metadata, Error> {
    attempt(path, Access::Read, std::fs::metadata)
}

/// What is known of what is at `path` itself, also where it is a symbolic link.
///
/// # Errors
/// As [`open`].
pub fn symlink_metadata(path: &str) -> Result<Metadata, Error> {
    attempt(path, Access::Read, std::fs::symlink_metadata)
}

/// One entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    /// Its name alone. A name that is not UTF-8 has � in it and cannot be opened.
    pub name: String,
    /// Its guest path.
    pub path: String,
    /// Of the entry itself, not of what a symbolic link leads to.
    pub file_type: std::fs::FileType,
}

/// The entries of a directory, in the order of the disk.
///
/// # Errors
/// As [`open`]; each entry can fail on its own.
pub fn read_dir(path: &str) -> Result<impl Iterator<Item = Result<DirEntry, Error>>, Error> {
    let entries = attempt(path, Access::Read, std::fs::read_dir)?;
    let parent = normalize(path);
    Ok(entries.map(move |entry| {
        let entry = entry.map_err(|source| Error::new(&parent, Access::Read, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = path::join(&parent, &name);
        let kind = entry.file_type();
        let file_type = kind.map_err(|source| Error::new(&path, Access::Read, source))?;
        Ok(DirEntry { name, path, file_type })
    }))
}

/// Moves a file or directory, over a file that is there.
///
/// # Errors
/// Where either end is denied, or the move cannot be done.
pub fn rename(from: &str, to: &str) -> Result<(), Error> {
    let target = resolve(to, Access::Write).map_err(|source| error(to, Access::Write, source))?;
    attempt(from, Access::Write, |from| std::fs::rename(from, target))
}

/// Removes a file.
///
/// # Errors
/// Where it is denied or not there.
pub fn remove_file(path: &str) -> Result<(), Error> {
    attempt(path, Access::Write, std::fs::remove_file)
}

/// Makes a directory and those above it that are missing.
///
/// # Errors
/// Where it is denied or a file is in the way.
pub fn create_dir_all(path: &str) -> Result<(), Error> {
    attempt(path, Access::Write, std::fs::create_dir_all)
}

fn attempt<T>(
    path: &str,
    access: Access,
    act: impl FnOnce(PathBuf) -> io::Result<T>,
) -> Result<T, Error> {
    resolve(path, access).and_then(act).map_err(|source| error(path, access, source))
}

fn error(path: &str, access: Access, source: io::Error) -> Error {
    Error::new(path, access, source)
}

/// From a guest path to the one that `std::fs` takes. The host guards the roots, not this.
#[cfg(target_family = "wasm")]
#[expect(clippy::unnecessary_wraps, reason = "the native one can fail")]
fn resolve(path: &str, _access: Access) -> io::Result<PathBuf> {
    Ok(PathBuf::from(normalize(path)))
}

#[cfg(not(target_family = "wasm"))]
fn resolve(path: &str, access: Access) -> io::Result<PathBuf> {
    crate::testing::fakes::resolve(&normalize(path), access)
}
