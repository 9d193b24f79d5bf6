//! The words of `wasi:filesystem` 0.2 for what a [`Handle`](super::handle) does, and back.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, HostDescriptor};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::FilesystemView;
use super::effect::{Flags, Identity, Kind, NewTime, Stat};
use super::handle::Failed;
use super::list::{Entries, Entry};
use super::stream::GatedOutput;
use crate::capability::files::locate::Follow;

impl From<Failed> for FsError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Told(error) => error.into(),
            Failed::Trap(error) => Self::trap(error),
        }
    }
}

impl From<types::PathFlags> for Follow {
    fn from(flags: types::PathFlags) -> Self {
        match flags.contains(types::PathFlags::SYMLINK_FOLLOW) {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

fn flags(open: types::OpenFlags, flags: types::DescriptorFlags) -> Flags {
    let synchronised = types::DescriptorFlags::FILE_INTEGRITY_SYNC
        | types::DescriptorFlags::DATA_INTEGRITY_SYNC
        | types::DescriptorFlags::REQUESTED_WRITE_SYNC;
    Flags {
        create: open.contains(types::OpenFlags::CREATE),
        exclusive: open.contains(types::OpenFlags::EXCLUSIVE),
        truncate: open.contains(types::OpenFlags::TRUNCATE),
        directory: open.contains(types::OpenFlags::DIRECTORY),
        read: flags.contains(types::DescriptorFlags::READ),
        write: flags.contains(types::DescriptorFlags::WRITE),
        synchronised: flags.intersects(synchronised),
    }
}

fn new_time(time: types::NewTimestamp) -> Result<NewTime, Failed> {
    Ok(match time {
        types::NewTimestamp::NoChange => NewTime::Keep,
        types::NewTimestamp::Now => NewTime::Now,
        types::NewTimestamp::Timestamp(time) => {
            let since = Duration::new(time.seconds, time.nanoseconds.min(999_999_999));
            let time = SystemTime::UNIX_EPOCH.checked_add(since);
            NewTime::At(time.ok_or(Errno::OVERFLOW)?)
        }
    })
}

impl From<Kind> for types::DescriptorType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Folder => Self::Directory,
            Kind::Link => Self::SymbolicLink,
            Kind::File => Self::RegularFile,
            Kind::Other => Self::Unknown,
        }
    }
}

/// The list that a handle means: it stands in the table where the bindings have their own type.
fn entries(stream: &Resource<types::DirectoryEntryStream>) -> Resource<Entries> {
    match stream.owned() {
        true => Resource::new_own(stream.rep()),
        false => Resource::new_borrow(stream.rep()),
    }
}

impl From<Stat> for types::DescriptorStat {
    fn from(stat: Stat) -> Self {
        // A time before 1970 has no words in this version.
        let time = |time: Option<SystemTime>| {
            let since = time?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
        };
        Self {
            type_: stat.kind.into(),
            link_count: stat.links,
            size: stat.bytes,
            data_access_timestamp: time(stat.accessed),
            data_modification_timestamp: time(stat.modified),
            status_change_timestamp: time(stat.created),
        }
    }
}

impl From<Identity> for types::MetadataHashValue {
    fn from(identity: Identity) -> Self {
        Self { lower: identity.lower, upper: identity.upper }
    }
}

impl FilesystemView<'_> {
    fn output(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Option<u64>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let handle = self.handle(&fd)?;
        let real = handle.opened_as()?.to_owned();
        let inner = match offset {
            Some(offset) => self.wasi().write_via_stream(fd, offset)?,
            None => self.wasi().append_via_stream(fd)?,
        };
        let inner = self.state.table.delete(inner)?;
        let gated = GatedOutput::new(inner, Arc::clone(handle.gate()), real, offset);
        Ok(self.state.table.push(Box::new(gated) as DynOutputStream)?)
    }
}

impl preopens::Host for FilesystemView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.roots()
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
        let entry = self.state.table.get_mut(&entries(&stream))?.next()?;
        Ok(entry.map(|Entry { kind, name }| types::DirectoryEntry { type_: kind.into(), name }))
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.state.table.delete(entries(&stream))?;
        Ok(())
    }
}

impl HostDescriptor for FilesystemView<'_> {
    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        descriptor_flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.state.may_open().map_err(FsError::trap)?;
        let flags = flags(open_flags, descriptor_flags);
        let open = self.handle(&fd)?.open(&path, path_flags.into(), flags).await?;
        self.keep(open.descriptor, Some(open.real)).map_err(FsError::trap)
    }

    async fn create_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        Ok(self.handle(&fd)?.create_folder(&path).await?)
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        Ok(self.handle(&fd)?.stat_at(&path, path_flags.into()).await?.into())
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        let handle = self.handle(&fd)?;
        Ok(handle.set_times_at(&path, path_flags.into(), accessed, modified).await?)
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        Ok(self.handle(&fd)?.read_link(&path).await?)
    }

    async fn remove_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        Ok(self.handle(&fd)?.remove_folder(&path).await?)
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        Ok(self.handle(&fd)?.remove(&path).await?)
    }

    async fn symlink_at(
        &mut self,
        fd: Resource<Descriptor>,
        to: String,
        path: String,
    ) -> FsResult<()> {
        Ok(self.handle(&fd)?.symlink(&to, &path).await?)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> FsResult<()> {
        Ok(self.handle(&fd)?.rename(&from, &self.handle(&to_fd)?, &to).await?)
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        from_flags: types::PathFlags,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> FsResult<()> {
        let to_handle = self.handle(&to_fd)?;
        Ok(self.handle(&fd)?.link(&from, from_flags.into(), &to_handle, &to).await?)
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        Ok(self.handle(&fd)?.identity_at(&path, path_flags.into()).await?.into())
    }

    async fn metadata_hash(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<types::MetadataHashValue> {
        Ok(self.handle(&fd)?.identity()?.into())
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: u64) -> FsResult<()> {
        Ok(self.handle(&fd)?.resize(size).await?)
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        Ok(self.handle(&fd)?.set_times(accessed, modified).await?)
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: u64,
    ) -> FsResult<u64> {
        Ok(self.handle(&fd)?.write(&bytes, offset).await?)
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
        let handle = self.handle(&fd)?;
        let place = self.state.place().map_err(FsError::trap)?;
        let entries = handle.list(place).await?;
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
