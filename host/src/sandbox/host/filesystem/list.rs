//! The entries of an open folder, read from the system as the guest asks for them: a folder of
//! millions takes no more of the host's memory than one of ten. wasmtime-wasi's own list reads all
//! of them before the first is given.

use std::io;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorType, DirectoryEntry, DirectoryEntryStream,
};

use super::effect::type_of;

/// What a name is called that no guest can be told.
const UNSPEAKABLE: &str = "\u{fffd}";

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
    /// What the operating system said.
    pub(super) fn next(&mut self) -> io::Result<Option<DirectoryEntry>> {
        let Some(entry) = self.0.as_mut().and_then(Iterator::next) else { return Ok(None) };
        let entry = entry?;
        Ok(Some(match entry.file_name().into_string() {
            Ok(name) => DirectoryEntry { type_: type_of(entry.file_type()?), name },
            // A name that is no UTF-8 cannot be said in WIT, and ends no listing: it has a name
            // that leads nowhere. A guest would look at what has no type to learn it, and fail.
            Err(_) => {
                DirectoryEntry { type_: DescriptorType::RegularFile, name: UNSPEAKABLE.into() }
            }
        }))
    }
}
