//! The entries of an open folder, read from the system as the guest asks for them: a folder of
//! millions takes no more of the host's memory than one of ten. wasmtime-wasi's own list reads all
//! of them before the first is given.

use std::io;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::{DirectoryEntry, DirectoryEntryStream};

use super::effect::type_of;

/// What is left of a list. It stands in the table where the bindings have their own type.
pub(crate) struct Entries(Option<cap_std::fs::ReadDir>);

impl Entries {
    /// Of an open folder, which the list opens once more.
    ///
    /// # Errors
    /// What the operating system said.
    pub(super) fn of(folder: &std::fs::File) -> io::Result<Self> {
        let folder = cap_std::fs::Dir::from_std_file(folder.try_clone()?);
        Ok(Self(Some(folder.entries()?)))
    }

    /// Of the folder that stands for everything outside.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The list that a handle of the bindings' type means.
    pub(super) fn handle(stream: &Resource<DirectoryEntryStream>) -> Resource<Self> {
        match stream.owned() {
            true => Resource::new_own(stream.rep()),
            false => Resource::new_borrow(stream.rep()),
        }
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// What the operating system said; a name that is no text.
    pub(super) fn next(&mut self) -> io::Result<Option<DirectoryEntry>> {
        let Some(entry) = self.0.as_mut().and_then(Iterator::next) else { return Ok(None) };
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| rustix::io::Errno::ILSEQ)?;
        Ok(Some(DirectoryEntry { type_: type_of(entry.file_type()?), name }))
    }
}
