//! `wasi:filesystem` 0.2 and 0.3: a guest's paths become requests, and what the gate lets through
//! is done in the open parent folder that the request located.
//!
//! [`handle`] says what can be done, once for both versions; `p2` and `p3` only translate. What is
//! open already is left to wasmtime-wasi, except that every write is a request too.

mod effect;
mod handle;
mod list;
mod p2;
mod p3;
mod pipe;
mod stream;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::{FsPerms, OpenMode};

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

/// What one instance has open.
#[derive(Debug, Default)]
pub struct Preopens {
    /// Where each open file was when it was opened, by its handle.
    files: HashMap<u32, Arc<PathBuf>>,
    /// Set once the guest has asked for its folders.
    outside: Option<Arc<File>>,
}

impl Preopens {
    fn is_outside(&self, dir: &Arc<File>) -> bool {
        self.outside.as_ref().is_some_and(|outside| Arc::ptr_eq(dir, outside))
    }
}

/// A folder that is empty and has no name, open for the life of the process.
///
/// Guests see it as `/`. A guest's library looks for the longest root that holds a path and gives
/// up by itself when there is none; with this folder every path reaches the gate, so a denial is
/// journaled and explained. Nothing can be made in a folder that has been removed.
fn outside() -> wasmtime::Result<Arc<File>> {
    static OUTSIDE: Mutex<Option<Arc<File>>> = Mutex::new(None);
    let mut outside = OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*outside {
        return Ok(Arc::clone(folder));
    }
    let path = std::env::temp_dir().join(format!("aos-host-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&path)?;
    let opened = File::open(&path);
    std::fs::remove_dir(&path)?;
    Ok(Arc::clone(outside.insert(Arc::new(opened?))))
}

impl<'a> FilesystemView<'a> {
    /// The view that the linker asks for.
    pub(crate) fn of(state: &'a mut State) -> Self {
        Self { state }
    }

    fn wasi(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemView::filesystem(self.state)
    }

    /// The granted folders, and the one that stands for all else.
    fn roots(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let gate = Arc::clone(&self.state.gate);
        let roots = gate.authority().files().roots();
        let mut directories = Vec::with_capacity(roots.len() + 1);
        for root in roots {
            self.state.may_open()?;
            let folder = File::open(&root.real)?;
            if real_path(&folder)? != root.real {
                return Err(wasmtime::Error::msg("a granted folder was replaced by a link"));
            }
            let dir = Descriptor::Dir(folder_descriptor(folder, root.mode));
            directories.push((self.keep(dir, None)?, root.guest.clone()));
        }
        if !roots.iter().any(|root| root.guest == "/") {
            let outside = outside()?;
            let mut dir = folder_descriptor(outside.try_clone()?, Mode::Read);
            // Known again by its address.
            dir.dir = Arc::clone(&outside);
            self.state.preopens.outside = Some(outside);
            directories.push((self.state.table.push(Descriptor::Dir(dir))?, "/".into()));
        }
        Ok(directories)
    }

    /// Gives the guest a handle to what was opened for it.
    fn keep(
        &mut self,
        descriptor: Descriptor,
        real: Option<PathBuf>,
    ) -> wasmtime::Result<Resource<Descriptor>> {
        let (Descriptor::Dir(Dir { dir: file, .. })
        | Descriptor::File(wasmtime_wasi::filesystem::File { file, .. })) = &descriptor;
        self.state.open_files.add(file);
        let is_file = matches!(descriptor, Descriptor::File(_));
        let handle = self.state.table.push(descriptor)?;
        if let (true, Some(real)) = (is_file, real) {
            self.state.preopens.files.insert(handle.rep(), Arc::new(real));
        }
        Ok(handle)
    }
}

/// Files are opened, read and written on the calling thread: they are regular files, and the
/// thread that runs a guest is one that may block.
const MAY_BLOCK: bool = true;

fn folder_descriptor(folder: File, mode: Mode) -> Dir {
    Dir::new(folder, perms(mode), open_mode(mode), MAY_BLOCK)
}

fn file_descriptor(file: File, mode: Mode) -> wasmtime_wasi::filesystem::File {
    wasmtime_wasi::filesystem::File::new(file, perms(mode), open_mode(mode), MAY_BLOCK)
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
