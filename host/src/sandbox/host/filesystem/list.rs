//! The entries of an open folder, read from the system as the guest asks for them: a folder of
//! millions takes no more of the host's memory than one of ten. wasmtime-wasi's own list reads all
//! of them before the first is given. It knows nothing of WASI's versions.

use std::fs::File;
use std::io;

use super::effect::Kind;
use crate::sandbox::host::open_files::Place;

/// What a name is called that no guest can be told.
const UNSPEAKABLE: &str = "\u{fffd}";

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// What is left of a list.
pub(super) struct Entries {
    left: Option<cap_std::fs::ReadDir>,
    /// The folder is open a second time while it is read.
    _place: Place,
}

impl Entries {
    /// Of an open folder, which the list opens once more.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn of(folder: &File, place: Place) -> io::Result<Self> {
        let folder = cap_std::fs::Dir::from_std_file(folder.try_clone()?);
        Ok(Self { left: Some(folder.entries()?), _place: place })
    }

    /// Of the folder that stands for everything outside.
    pub(super) fn none(place: Place) -> Self {
        Self { left: None, _place: place }
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(entry) = self.left.as_mut().and_then(Iterator::next) else { return Ok(None) };
        let entry = entry?;
        Ok(Some(match entry.file_name().into_string() {
            Ok(name) => Entry { kind: Kind::from(entry.file_type()?), name },
            // A name that is no UTF-8 cannot be said in WIT, and ends no listing: it has a name
            // that leads nowhere. A guest would look at what has no type to learn it, and fail.
            Err(_) => Entry { kind: Kind::File, name: UNSPEAKABLE.into() },
        }))
    }
}
