//! What a guest may do with a descriptor that it holds, for every version of WASI: find, ask the
//! gate, do. A handle borrows nothing of the store, so others may run while the gate is asked.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;

use super::effect::{self, Flags, Identity, NewTime, Opened, Stat, Wish};
use super::list::Entries;
use super::{FilesystemView, file_descriptor, folder_descriptor};
use crate::capability::files::locate::{
    Follow, Located, PATH_BYTES_MAX, leads_out, locate, real_path,
};
use crate::capability::files::{
    EscapeRequest, FileOperation, FileRequest, Mode, MoveRequest, OpenFileRequest, OutsideRequest,
};
use crate::capability::gate::{Gate, Never, Refusal, Request};
use crate::sandbox::host::open_files::Place;

/// Why an operation did not happen.
#[derive(Debug)]
pub(super) enum Failed {
    /// What the guest is told, as the system's own error: each version of WASI has words for it.
    Told(io::Error),
    /// The guest must not go on.
    Trap(wasmtime::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        // `access` is the gate's word: what the system does not let this user do is told otherwise,
        // since no grant would help.
        match Errno::from_io_error(&error) {
            Some(Errno::ACCESS) => Self::Told(Errno::PERM.into()),
            Some(_) | None => Self::Told(error),
        }
    }
}

impl From<Errno> for Failed {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl From<Refusal<io::Error>> for Failed {
    fn from(refused: Refusal<io::Error>) -> Self {
        match refused {
            Refusal::Denied(_) => Self::Told(Errno::ACCESS.into()),
            Refusal::Limit(limit) => Self::Trap(limit.into()),
            // What cannot be journaled does not happen, and the guest must not go on as if it had.
            Refusal::Journal(error) => Self::Trap(wasmtime::Error::new(error)),
            Refusal::Effect(error) => error.into(),
        }
    }
}

/// Something open, with the gate before it.
#[derive(Clone)]
pub(super) struct Handle {
    gate: Arc<Gate>,
    held: Held,
}

#[derive(Clone)]
enum Held {
    Folder(Arc<File>),
    /// The nameless folder: what lies below it is in no root.
    Outside(Arc<File>),
    /// A file, and where it was when it was opened: by that name it was granted.
    File(Arc<File>, Arc<PathBuf>),
}

impl FilesystemView<'_> {
    /// What a descriptor stands for.
    pub(super) fn handle(&self, fd: &Resource<Descriptor>) -> Result<Handle, Failed> {
        let trap = |error| Failed::Trap(wasmtime::Error::new(error));
        let held = match self.state.table.get(fd).map_err(trap)? {
            Descriptor::Dir(dir) if self.state.preopens.is_outside(&dir.dir) => {
                Held::Outside(Arc::clone(&dir.dir))
            }
            Descriptor::Dir(dir) => Held::Folder(Arc::clone(&dir.dir)),
            Descriptor::File(file) => {
                let path = self.state.preopens.files.get(&fd.rep()).ok_or(Errno::BADF)?;
                Held::File(Arc::clone(&file.file), Arc::clone(path))
            }
        };
        Ok(Handle { gate: Arc::clone(&self.state.gate), held })
    }
}

/// What [`Handle::open`] gave.
pub(super) struct Open {
    pub(super) descriptor: Descriptor,
    /// Where it really lies.
    pub(super) real: PathBuf,
}

/// The operations on paths below the folder that is held.
impl Handle {
    pub(super) async fn open(
        &self,
        path: &str,
        follow: Follow,
        flags: Flags,
    ) -> Result<Open, Failed> {
        let wish = Wish::new(flags)?;
        let operation = wish.operation();
        let mode = operation.mode();
        let mut real = PathBuf::new();
        // In no root there is nothing to look at, so the wish alone says that it is a folder.
        let path: Cow<'_, str> = match (wish.is_folder(), &self.held) {
            (true, Held::Outside(_)) => format!("{}/", path.trim_end_matches('/')).into(),
            (true, Held::Folder(_) | Held::File(..)) | (false, _) => path.into(),
        };
        let opened = self.at(&path, follow, operation, |located| {
            real.clone_from(&located.real);
            effect::open(&located, &wish)
        });
        let descriptor = match opened.await? {
            Opened::Folder(folder) => {
                let rules = self.gate.authority().files();
                let mode = rules.allowing(&real, Mode::Write).map_or(Mode::Read, |_| Mode::Write);
                Descriptor::Dir(folder_descriptor(folder, mode))
            }
            Opened::File(file) => Descriptor::File(file_descriptor(file, mode)),
        };
        Ok(Open { descriptor, real })
    }

    pub(super) async fn create_folder(&self, path: &str) -> Result<(), Failed> {
        // A folder's name may end in a slash, and must not lead through a link.
        let path = path.trim_end_matches('/');
        self.at(path, Follow::No, FileOperation::CreateFolder, effect::create_folder).await
    }

    pub(super) async fn stat_at(&self, path: &str, follow: Follow) -> Result<Stat, Failed> {
        self.at(path, follow, FileOperation::Read, effect::stat).await
    }

    pub(super) async fn set_times_at(
        &self,
        path: &str,
        follow: Follow,
        accessed: NewTime,
        modified: NewTime,
    ) -> Result<(), Failed> {
        self.at(path, follow, FileOperation::SetTimes, |located| {
            effect::set_times(&located, accessed, modified)
        })
        .await
    }

    pub(super) async fn read_link(&self, path: &str) -> Result<String, Failed> {
        self.at(path, Follow::No, FileOperation::Read, effect::read_link).await
    }

    pub(super) async fn remove_folder(&self, path: &str) -> Result<(), Failed> {
        let path = path.trim_end_matches('/');
        self.at(path, Follow::No, FileOperation::RemoveFolder, effect::remove_folder).await
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), Failed> {
        self.at(path, Follow::No, FileOperation::Remove, effect::remove).await
    }

    pub(super) async fn symlink(&self, to: &str, path: &str) -> Result<(), Failed> {
        if to.len() > PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        let operation = FileOperation::Symlink { to: to.to_owned() };
        self.at(path, Follow::No, operation, |located| effect::symlink(&located, to)).await
    }

    pub(super) async fn rename(&self, from: &str, other: &Self, to: &str) -> Result<(), Failed> {
        let from = self.locate(from, Follow::No, Mode::Write).await?;
        let to = other.locate(to, Follow::No, Mode::Write).await?;
        let request = MoveRequest::rename(from, to, self.gate.authority().files());
        let done = self.gate.perform(request, |permit| async { effect::rename(permit.spend()) });
        Ok(done.await?)
    }

    pub(super) async fn link(
        &self,
        from: &str,
        follow: Follow,
        other: &Self,
        to: &str,
    ) -> Result<(), Failed> {
        if follow == Follow::Yes {
            return Err(Errno::INVAL.into());
        }
        let from = self.locate(from, Follow::No, Mode::Write).await?;
        let to = other.locate(to, Follow::No, Mode::Write).await?;
        let request = MoveRequest::link(from, to, self.gate.authority().files());
        let done = self.gate.perform(request, |permit| async { effect::hard_link(permit.spend()) });
        Ok(done.await?)
    }

    pub(super) async fn identity_at(&self, path: &str, follow: Follow) -> Result<Identity, Failed> {
        self.at(path, follow, FileOperation::Read, effect::identity_at).await
    }

    /// The path, found beneath the folder. A path below the nameless folder lies in no root: its
    /// denial is the answer.
    async fn locate(&self, path: &str, follow: Follow, mode: Mode) -> Result<Located, Failed> {
        match &self.held {
            Held::Folder(dir) => match locate(&cap_dir(dir)?, path, follow) {
                Err(error) if leads_out(&error) => {
                    let folder = self.gate.authority().files().guest_path(&real_path(dir)?);
                    let path = format!("{}/{path}", folder.as_deref().unwrap_or(""));
                    Err(self.never(EscapeRequest { path: &path, mode }).await)
                }
                located => Ok(located?),
            },
            Held::File(..) => Err(Errno::NOTDIR.into()),
            Held::Outside(_) if path.len() > PATH_BYTES_MAX => Err(Errno::NAMETOOLONG.into()),
            Held::Outside(_) => {
                let path = match path.trim_start_matches("./").trim_start_matches('/') {
                    "" | "." => "/".to_owned(),
                    path => format!("/{path}"),
                };
                Err(self.never(OutsideRequest { path: &path, mode }).await)
            }
        }
    }

    /// Asks the gate for what it never gives, so that the denial is seen, counted and told.
    async fn never(&self, request: impl Request<Checked = Never>) -> Failed {
        let refused = self.gate.perform(request, |permit| async { match permit.spend() {} });
        match refused.await {
            Ok(never) => never,
            Err(refused) => refused.into(),
        }
    }

    /// Finds, asks the gate, does. The effect gets the open parent and a plain name.
    async fn at<T>(
        &self,
        path: &str,
        follow: Follow,
        operation: FileOperation,
        effect: impl FnOnce(Located) -> io::Result<T>,
    ) -> Result<T, Failed> {
        let located = self.locate(path, follow, operation.mode()).await?;
        let request = FileRequest::new(located, operation, self.gate.authority().files());
        let done = self.gate.perform(request, |permit| async { effect(permit.spend()) });
        Ok(done.await?)
    }
}

/// The operations on what is held itself.
impl Handle {
    pub(super) fn identity(&self) -> Result<Identity, Failed> {
        match &self.held {
            Held::Folder(file) | Held::File(file, _) | Held::Outside(file) => {
                Ok(effect::identity(file)?)
            }
        }
    }

    pub(super) async fn resize(&self, bytes: u64) -> Result<(), Failed> {
        self.change(FileOperation::Resize { bytes }, |file| file.set_len(bytes)).await
    }

    pub(super) async fn set_times(
        &self,
        accessed: NewTime,
        modified: NewTime,
    ) -> Result<(), Failed> {
        self.change(FileOperation::SetTimes, |file| {
            effect::set_file_times(file, accessed, modified)
        })
        .await
    }

    /// Writes what the system takes at once, and says how many bytes that were.
    pub(super) async fn write(&self, bytes: &[u8], offset: u64) -> Result<u64, Failed> {
        use std::os::unix::fs::FileExt;
        let operation = FileOperation::Write { offset: Some(offset), bytes: bytes.len() as u64 };
        self.change(operation, |file| Ok(file.write_at(bytes, offset)? as u64)).await
    }

    /// Writes all bytes at an offset, or at the end where there is none.
    pub(super) async fn write_all(&self, bytes: &[u8], offset: Option<u64>) -> Result<(), Failed> {
        let operation = FileOperation::Write { offset, bytes: bytes.len() as u64 };
        self.change(operation, |file| effect::write_all(file, bytes, offset)).await
    }

    /// The names in the folder, which is open once more while they are read: `place` counts that.
    /// A root is open without having been asked for, so listing it is a wish of its own. The
    /// folder that stands for all else is empty.
    pub(super) async fn list(&self, place: Place) -> Result<Entries, Failed> {
        match &self.held {
            Held::File(..) => Err(Errno::NOTDIR.into()),
            Held::Outside(_) => Ok(Entries::none(place)),
            Held::Folder(_) => {
                self.change(FileOperation::Read, |folder| Entries::of(folder, place)).await
            }
        }
    }

    /// The path by which an open file was granted.
    pub(super) fn opened_as(&self) -> Result<&Path, Failed> {
        match &self.held {
            Held::File(_, real) => Ok(real),
            Held::Folder(_) | Held::Outside(_) => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// A change of something that is open.
    async fn change<T>(
        &self,
        operation: FileOperation,
        effect: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, Failed> {
        let found;
        let (file, real) = match &self.held {
            Held::File(file, real) => (file, real.as_path()),
            Held::Folder(dir) => {
                found = real_path(dir)?;
                (dir, found.as_path())
            }
            Held::Outside(_) => {
                let refused = self.locate("/", Follow::No, operation.mode()).await;
                let denied = || Failed::Told(Errno::ACCESS.into());
                return Err(refused.err().unwrap_or_else(denied));
            }
        };
        let request = OpenFileRequest { real, operation, rules: self.gate.authority().files() };
        let done = self.gate.perform(request, |permit| async {
            permit.spend();
            effect(file)
        });
        Ok(done.await?)
    }
}

fn cap_dir(dir: &File) -> io::Result<cap_std::fs::Dir> {
    Ok(cap_std::fs::Dir::from_std_file(dir.try_clone()?))
}
