//! The functions of a descriptor. Those with a path, and those that change something, go through
//! the gate; the others are wasmtime-wasi's.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode, HostDescriptor};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::effect::{self, Opened};
use super::list::Entries;
use super::stream::GatedOutput;
use super::{FilesystemView, MAY_BLOCK, folder_descriptor, open_mode, perms};
use crate::capability::files::locate::{Follow, Located, PATH_BYTES_MAX, locate, real_path};
use crate::capability::files::{
    FileOperation, FileRequest, Mode, MoveRequest, OpenFileRequest, OutsideRequest,
};
use crate::capability::gate::Refusal;

impl FilesystemView<'_> {
    /// The path, found beneath the folder that the guest holds. A path below the nameless folder
    /// lies in no root: its denial is the answer.
    async fn locate(
        &mut self,
        fd: &Resource<Descriptor>,
        path: &str,
        follow: Follow,
        mode: Mode,
    ) -> FsResult<Located> {
        let dir = match self.state.table.get(fd)? {
            Descriptor::Dir(dir) => Arc::clone(&dir.dir),
            Descriptor::File(_) => return Err(ErrorCode::NotDirectory.into()),
        };
        let outside = self.state.preopens.outside.as_ref();
        if outside.is_some_and(|outside| Arc::ptr_eq(&dir, outside)) {
            if path.len() > PATH_BYTES_MAX {
                return Err(ErrorCode::NameTooLong.into());
            }
            let path = match path.trim_start_matches("./").trim_start_matches('/') {
                "" | "." => "/".to_owned(),
                path => format!("/{path}"),
            };
            let request = OutsideRequest { path: &path, mode };
            let refused =
                self.state.gate.perform(request, |permit| async { match permit.spend() {} });
            return Err(refusal(match refused.await {
                Ok(never) => never,
                Err(refused) => refused,
            }));
        }
        Ok(locate(&cap_dir(&dir)?, path, follow)?)
    }

    /// Finds, asks the gate, does. The effect gets the open parent and a plain name.
    async fn at<T>(
        &mut self,
        fd: &Resource<Descriptor>,
        path: &str,
        follow: Follow,
        operation: FileOperation,
        effect: impl FnOnce(Located) -> std::io::Result<T>,
    ) -> FsResult<T> {
        let located = self.locate(fd, path, follow, operation.mode()).await?;
        let gate = Arc::clone(&self.state.gate);
        let request = FileRequest::new(located, operation, gate.authority().files());
        let done = gate.perform(request, |permit| async { effect(permit.spend()) });
        done.await.map_err(refusal)
    }

    /// A change of something that is open.
    async fn change<T>(
        &mut self,
        fd: &Resource<Descriptor>,
        operation: FileOperation,
        effect: impl FnOnce(&std::fs::File) -> std::io::Result<T>,
    ) -> FsResult<T> {
        let (file, real) = match self.state.table.get(fd)? {
            Descriptor::File(file) => (Arc::clone(&file.file), self.opened_as(fd)?),
            Descriptor::Dir(dir) => (Arc::clone(&dir.dir), real_path(&dir.dir)?),
        };
        let gate = Arc::clone(&self.state.gate);
        let request = OpenFileRequest { real: &real, operation, rules: gate.authority().files() };
        let done = gate.perform(request, |permit| async {
            permit.spend();
            effect(&file)
        });
        done.await.map_err(refusal)
    }

    fn is_outside(&self, fd: &Resource<Descriptor>) -> FsResult<bool> {
        let outside = self.state.preopens.outside.as_ref();
        Ok(match self.state.table.get(fd)? {
            Descriptor::Dir(dir) => outside.is_some_and(|outside| Arc::ptr_eq(&dir.dir, outside)),
            Descriptor::File(_) => false,
        })
    }

    /// Where a file was when it was opened: by that name it was granted.
    fn opened_as(&self, fd: &Resource<Descriptor>) -> FsResult<PathBuf> {
        let path = self.state.preopens.files.get(&fd.rep());
        path.cloned().ok_or_else(|| ErrorCode::IsDirectory.into())
    }

    fn output(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let real = self.opened_as(&fd)?;
        let inner = match offset {
            Some(offset) => self.wasi().write_via_stream(fd, offset)?,
            None => self.wasi().append_via_stream(fd)?,
        };
        let inner = self.state.table.delete(inner)?;
        let gated = GatedOutput::new(inner, Arc::clone(&self.state.gate), real, offset);
        Ok(self.state.table.push(Box::new(gated) as DynOutputStream)?)
    }
}

fn refusal(refused: Refusal<std::io::Error>) -> FsError {
    match refused {
        Refusal::Denied(_) => ErrorCode::Access.into(),
        Refusal::Limit(limit) => FsError::trap(limit),
        // What cannot be journaled does not happen, and the guest must not go on as if it had.
        Refusal::Journal(error) => FsError::trap(wasmtime::Error::new(error)),
        Refusal::Effect(error) => error.into(),
    }
}

fn cap_dir(dir: &std::fs::File) -> std::io::Result<cap_std::fs::Dir> {
    Ok(cap_std::fs::Dir::from_std_file(dir.try_clone()?))
}

fn follow(flags: types::PathFlags) -> Follow {
    match flags.contains(types::PathFlags::SYMLINK_FOLLOW) {
        true => Follow::Yes,
        false => Follow::No,
    }
}

impl HostDescriptor for FilesystemView<'_> {
    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.state.may_open().map_err(FsError::trap)?;
        let wish = effect::Wish::new(open_flags, flags)?;
        let operation = wish.operation();
        let mode = operation.mode();
        let mut real = PathBuf::new();
        // In no root there is nothing to look at, so the wish alone says that it is a folder.
        let path = match wish.is_folder() && self.is_outside(&fd)? {
            true => format!("{}/", path.trim_end_matches('/')),
            false => path,
        };
        let opened = self.at(&fd, &path, follow(path_flags), operation, |located| {
            real.clone_from(&located.real);
            effect::open(&located, &wish)
        });
        let descriptor = match opened.await? {
            Opened::Folder(folder) => {
                let rules = self.state.gate.authority().files();
                let mode = rules.allowing(&real, Mode::Write).map_or(Mode::Read, |_| Mode::Write);
                Descriptor::Dir(folder_descriptor(folder, mode))
            }
            Opened::File(file) => Descriptor::File(wasmtime_wasi::filesystem::File::new(
                file,
                perms(mode),
                open_mode(mode),
                MAY_BLOCK,
            )),
        };
        let is_file = matches!(descriptor, Descriptor::File(_));
        let opened = self.state.table.push(descriptor)?;
        if is_file {
            self.state.preopens.files.insert(opened.rep(), real);
        }
        Ok(opened)
    }

    async fn create_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        // A folder's name may end in a slash, and must not lead through a link.
        let path = path.trim_end_matches('/');
        self.at(&fd, path, Follow::No, FileOperation::CreateFolder, effect::create_folder).await
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        self.at(&fd, &path, follow(path_flags), FileOperation::Read, effect::stat).await
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.at(&fd, &path, follow(path_flags), FileOperation::SetTimes, |located| {
            effect::set_times(&located, accessed, modified)
        })
        .await
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.at(&fd, &path, Follow::No, FileOperation::Read, effect::read_link).await
    }

    async fn remove_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let path = path.trim_end_matches('/');
        self.at(&fd, path, Follow::No, FileOperation::RemoveFolder, effect::remove_folder).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.at(&fd, &path, Follow::No, FileOperation::Remove, effect::remove).await
    }

    async fn symlink_at(
        &mut self,
        fd: Resource<Descriptor>,
        to: String,
        path: String,
    ) -> FsResult<()> {
        if to.len() > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong.into());
        }
        let operation = FileOperation::Symlink { to: to.clone() };
        self.at(&fd, &path, Follow::No, operation, |located| effect::symlink(&located, &to)).await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> FsResult<()> {
        let from = self.locate(&fd, &from, Follow::No, Mode::Write).await?;
        let to = self.locate(&to_fd, &to, Follow::No, Mode::Write).await?;
        let gate = Arc::clone(&self.state.gate);
        let request = MoveRequest::rename(from, to, gate.authority().files());
        let done = gate.perform(request, |permit| async { effect::rename(permit.spend()) });
        done.await.map_err(refusal)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        from_flags: types::PathFlags,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> FsResult<()> {
        if from_flags.contains(types::PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        let from = self.locate(&fd, &from, Follow::No, Mode::Write).await?;
        let to = self.locate(&to_fd, &to, Follow::No, Mode::Write).await?;
        let gate = Arc::clone(&self.state.gate);
        let request = MoveRequest::link(from, to, gate.authority().files());
        let done = gate.perform(request, |permit| async { effect::hard_link(permit.spend()) });
        done.await.map_err(refusal)
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        self.at(&fd, &path, follow(path_flags), FileOperation::Read, effect::identity_at).await
    }

    async fn metadata_hash(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<types::MetadataHashValue> {
        let file = match self.state.table.get(&fd)? {
            Descriptor::File(file) => &file.file,
            Descriptor::Dir(dir) => &dir.dir,
        };
        Ok(effect::identity(&file.metadata()?))
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: u64) -> FsResult<()> {
        self.change(&fd, FileOperation::Resize { bytes: size }, |file| file.set_len(size)).await
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.change(&fd, FileOperation::SetTimes, |file| {
            file.set_times(effect::file_times(accessed, modified)?)
        })
        .await
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: u64,
    ) -> FsResult<u64> {
        let operation = FileOperation::Write { offset: Some(offset), bytes: bytes.len() as u64 };
        self.change(&fd, operation, |file| {
            use std::os::unix::fs::FileExt;
            Ok(file.write_at(&bytes, offset)? as u64)
        })
        .await
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.output(fd, Some(offset))
    }

    fn append_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.output(fd, None)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.state.preopens.files.remove(&fd.rep());
        HostDescriptor::drop(&mut self.wasi(), fd)
    }

    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
        length: u64,
        advice: types::Advice,
    ) -> FsResult<()> {
        self.wasi().advise(fd, offset, length, advice).await
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.wasi().sync_data(fd).await
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.wasi().sync(fd).await
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorFlags> {
        self.wasi().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorType> {
        self.wasi().get_type(fd).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: u64,
        offset: u64,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.wasi().read(fd, length, offset).await
    }

    async fn read_directory(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<types::DirectoryEntryStream>> {
        // A root is open without having been asked for, so listing it is a wish of its own. The
        // folder that stands for all else is empty.
        if let Descriptor::File(_) = self.state.table.get(&fd)? {
            return Err(ErrorCode::NotDirectory.into());
        }
        // The list keeps the folder open a second time.
        self.state.may_open().map_err(FsError::trap)?;
        let entries = match self.is_outside(&fd)? {
            true => Entries::none(),
            false => self.change(&fd, FileOperation::Read, Entries::of).await?,
        };
        Ok(Resource::new_own(self.state.table.push(entries)?.rep()))
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<types::DescriptorStat> {
        self.wasi().stat(fd).await
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        self.wasi().read_via_stream(fd, offset)
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi().is_same_object(a, b).await
    }
}
