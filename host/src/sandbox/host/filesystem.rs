//! `wasi:filesystem` 0.2: a guest's paths become requests, and what the gate lets through is
//! done in the open parent folder that the request located.
//!
//! Descriptors that are open already are left to wasmtime-wasi, except that every write is a
//! request too ([`stream`]).

mod effect;
pub(crate) mod list;
mod path;
mod stream;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

use self::list::Entries;
use crate::capability::files::Mode;
use crate::capability::files::locate::real_path;
use crate::sandbox::state::State;

/// The linker's name for this view.
pub struct GatedFilesystem;

impl HasData for GatedFilesystem {
    type Data<'a> = FilesystemView<'a>;
}

/// The filesystem as one guest sees it.
pub struct FilesystemView<'a> {
    state: &'a mut State,
}

impl<'a> FilesystemView<'a> {
    /// The view that the linker asks for.
    pub(crate) fn of(state: &'a mut State) -> Self {
        Self { state }
    }

    fn wasi(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemView::filesystem(self.state)
    }
}

/// What one instance has open.
#[derive(Debug, Default)]
pub struct Preopens {
    /// Where each open file was when it was opened, by its handle.
    files: HashMap<u32, PathBuf>,
    /// Set once the guest has asked for its folders.
    outside: Option<Arc<std::fs::File>>,
}

/// A folder that is empty and has no name, open for the life of the process.
///
/// Guests see it as `/`. A guest's library looks for the longest root that holds a path and gives
/// up by itself when there is none; with this folder every path reaches the gate, so a denial is
/// journaled and explained. Nothing can be made in a folder that has been removed.
fn outside() -> wasmtime::Result<Arc<std::fs::File>> {
    static OUTSIDE: Mutex<Option<Arc<std::fs::File>>> = Mutex::new(None);
    let mut outside = OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*outside {
        return Ok(Arc::clone(folder));
    }
    let path = std::env::temp_dir().join(format!("aos-host-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&path)?;
    let opened = std::fs::File::open(&path);
    std::fs::remove_dir(&path)?;
    Ok(Arc::clone(outside.insert(Arc::new(opened?))))
}

impl preopens::Host for FilesystemView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let gate = Arc::clone(&self.state.gate);
        let roots = gate.authority().files().roots();
        let mut directories = Vec::with_capacity(roots.len() + 1);
        for root in roots {
            self.state.may_open()?;
            let folder = std::fs::File::open(&root.real)?;
            if real_path(&folder)? != root.real {
                return Err(wasmtime::Error::msg("a granted folder was replaced by a link"));
            }
            let dir = Descriptor::Dir(folder_descriptor(folder, root.mode));
            directories.push((self.state.table.push(dir)?, root.guest.clone()));
        }
        if !roots.iter().any(|root| root.guest == "/") {
            self.state.may_open()?;
            let outside = outside()?;
            let mut dir = folder_descriptor(outside.try_clone()?, Mode::Read);
            // Known again by its address.
            dir.dir = Arc::clone(&outside);
            self.state.preopens.outside = Some(outside);
            directories.push((self.state.table.push(Descriptor::Dir(dir))?, "/".into()));
        }
        Ok(directories)
    }
}

/// Files are opened, read and written on the calling thread: they are regular files, and the
/// thread that runs a guest is one that may block.
const MAY_BLOCK: bool = true;

fn folder_descriptor(folder: std::fs::File, mode: Mode) -> Dir {
    Dir::new(folder, perms(mode), open_mode(mode), MAY_BLOCK)
}

fn perms(mode: Mode) -> FsPerms {
    match mode {
        Mode::Read => FsPerms::ReadOnly,
        Mode::Write => FsPerms::ReadWrite,
    }
}

fn open_mode(mode: Mode) -> OpenMode {
    match mode {
        Mode::Read => OpenMode::READ,
        Mode::Write => OpenMode::READ | OpenMode::WRITE,
    }
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        self.wasi().convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        self.wasi().filesystem_error_code(error)
    }
}

impl types::HostDirectoryEntryStream for FilesystemView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        Ok(self.state.table.get_mut(&Entries::handle(&stream))?.next()?)
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.state.table.delete(Entries::handle(&stream))?;
        Ok(())
    }
}
