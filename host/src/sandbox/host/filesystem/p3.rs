//! The words of `wasi:filesystem` 0.3 for what a [`Handle`](super::handle) does, and back.

use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use tokio::sync::oneshot;
use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::clocks::system_clock::Instant;
use wasmtime_wasi::p3::bindings::filesystem::preopens;
use wasmtime_wasi::p3::bindings::filesystem::types::{
    self, DirectoryEntry, ErrorCode, HostDescriptorWithStore,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::effect::{Flags, Identity, NewTime, Stat};
use super::handle::{Failed, Handle};
use super::pipe::{Listing, Told, Writing};
use super::{FilesystemView, GatedFilesystem};
use crate::capability::files::locate::Follow;
use crate::sandbox::state::State;

/// How a call of 0.3 reaches the store: between its waits, never across one.
type Store = Accessor<State, GatedFilesystem>;
/// And one that does not wait.
type StoreNow<'a> = Access<'a, State, GatedFilesystem>;
/// What a guest is told when a stream of its has ended.
type Outcome = FutureReader<Result<(), ErrorCode>>;

impl From<Failed> for FilesystemError {
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
        types::NewTimestamp::Timestamp(time) => NewTime::At(system_time(time)?),
    })
}

fn system_time(time: Instant) -> Result<SystemTime, Errno> {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let second = match time.seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(whole),
        false => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    let part = Duration::from_nanos(time.nanoseconds.min(999_999_999).into());
    second.and_then(|second| second.checked_add(part)).ok_or(Errno::OVERFLOW)
}

/// Seconds and the nanoseconds after them, also before 1970.
fn instant(time: SystemTime) -> Option<Instant> {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Some(Instant {
            seconds: since.as_secs().try_into().ok()?,
            nanoseconds: since.subsec_nanos(),
        }),
        Err(before) => {
            let until = before.duration();
            let seconds = i64::try_from(until.as_secs()).ok()?.checked_neg()?;
            Some(match until.subsec_nanos() {
                0 => Instant { seconds, nanoseconds: 0 },
                part => {
                    Instant { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - part }
                }
            })
        }
    }
}

impl From<Stat> for types::DescriptorStat {
    fn from(stat: Stat) -> Self {
        Self {
            type_: stat.kind.into(),
            link_count: stat.links,
            size: stat.bytes,
            data_access_timestamp: stat.accessed.and_then(instant),
            data_modification_timestamp: stat.modified.and_then(instant),
            status_change_timestamp: stat.created.and_then(instant),
        }
    }
}

impl From<Identity> for types::MetadataHashValue {
    fn from(identity: Identity) -> Self {
        Self { lower: identity.lower, upper: identity.upper }
    }
}

fn handle(store: &Store, fd: &Resource<Descriptor>) -> Result<Handle, Failed> {
    store.with(|mut store| store.get().handle(fd))
}

/// wasmtime-wasi's own, for what needs no gate any more.
fn wasi(store: &Store) -> Accessor<State, WasiFilesystem> {
    store.with_getter::<WasiFilesystem>(State::filesystem)
}

/// Bytes of the guest on their way into a file.
fn write(
    mut store: StoreNow<'_>,
    fd: &Resource<Descriptor>,
    mut data: StreamReader<u8>,
    offset: Option<u64>,
) -> wasmtime::Result<Outcome> {
    let (told, outcome) = oneshot::channel::<Result<(), ErrorCode>>();
    match writable(&mut store.get(), fd) {
        Ok(handle) => data.pipe(&mut store, Writing::new(handle, offset, told))?,
        Err(Failed::Trap(error)) => return Err(error),
        Err(Failed::Told(error)) => {
            data.close(&mut store)?;
            let _nobody_listens = told.send(Err(error.into()));
        }
    }
    FutureReader::new(&mut store, outcome)
}

fn writable(view: &mut FilesystemView<'_>, fd: &Resource<Descriptor>) -> Result<Handle, Failed> {
    let handle = view.handle(fd)?;
    handle.opened_as()?;
    match view.state.table.get(fd) {
        Ok(Descriptor::File(file)) if !file.perms.write_not_permitted() => Ok(handle),
        Ok(_) => Err(Errno::PERM.into()),
        Err(error) => Err(Failed::Trap(error.into())),
    }
}

impl preopens::Host for FilesystemView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.roots()
    }
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl types::HostDescriptor for FilesystemView<'_> {
    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.state.preopens.files.remove(&fd.rep());
        types::HostDescriptor::drop(&mut self.wasi(), fd)
    }
}

impl HostDescriptorWithStore<State> for GatedFilesystem {
    async fn open_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        descriptor_flags: types::DescriptorFlags,
    ) -> FilesystemResult<Resource<Descriptor>> {
        // Others may open files while this one waits for the gate.
        let place = store.with(|mut store| store.get().state.place());
        let place = place.map_err(FilesystemError::trap)?;
        let flags = flags(open_flags, descriptor_flags);
        let open = handle(store, &fd)?.open(&path, path_flags.into(), flags).await?;
        let kept = store.with(|mut store| store.get().keep(open.descriptor, Some(open.real)));
        drop(place);
        kept.map_err(FilesystemError::trap)
    }

    async fn create_directory_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        Ok(handle(store, &fd)?.create_folder(&path).await?)
    }

    async fn stat_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FilesystemResult<types::DescriptorStat> {
        Ok(handle(store, &fd)?.stat_at(&path, path_flags.into()).await?.into())
    }

    async fn set_times_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FilesystemResult<()> {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        let handle = handle(store, &fd)?;
        Ok(handle.set_times_at(&path, path_flags.into(), accessed, modified).await?)
    }

    async fn readlink_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<String> {
        Ok(handle(store, &fd)?.read_link(&path).await?)
    }

    async fn remove_directory_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        Ok(handle(store, &fd)?.remove_folder(&path).await?)
    }

    async fn unlink_file_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        Ok(handle(store, &fd)?.remove(&path).await?)
    }

    async fn symlink_at(
        store: &Store,
        fd: Resource<Descriptor>,
        to: String,
        path: String,
    ) -> FilesystemResult<()> {
        Ok(handle(store, &fd)?.symlink(&to, &path).await?)
    }

    async fn rename_at(
        store: &Store,
        fd: Resource<Descriptor>,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> FilesystemResult<()> {
        Ok(handle(store, &fd)?.rename(&from, &handle(store, &to_fd)?, &to).await?)
    }

    async fn link_at(
        store: &Store,
        fd: Resource<Descriptor>,
        from_flags: types::PathFlags,
        from: String,
        to_fd: Resource<Descriptor>,
        to: String,
    ) -> FilesystemResult<()> {
        let to_handle = handle(store, &to_fd)?;
        Ok(handle(store, &fd)?.link(&from, from_flags.into(), &to_handle, &to).await?)
    }

    async fn metadata_hash_at(
        store: &Store,
        fd: Resource<Descriptor>,
        path_flags: types::PathFlags,
        path: String,
    ) -> FilesystemResult<types::MetadataHashValue> {
        Ok(handle(store, &fd)?.identity_at(&path, path_flags.into()).await?.into())
    }

    async fn metadata_hash(
        store: &Store,
        fd: Resource<Descriptor>,
    ) -> FilesystemResult<types::MetadataHashValue> {
        Ok(handle(store, &fd)?.identity()?.into())
    }

    async fn set_size(store: &Store, fd: Resource<Descriptor>, size: u64) -> FilesystemResult<()> {
        Ok(handle(store, &fd)?.resize(size).await?)
    }

    async fn set_times(
        store: &Store,
        fd: Resource<Descriptor>,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FilesystemResult<()> {
        let (accessed, modified) = (new_time(accessed)?, new_time(modified)?);
        Ok(handle(store, &fd)?.set_times(accessed, modified).await?)
    }

    fn write_via_stream(
        store: StoreNow<'_>,
        fd: Resource<Descriptor>,
        data: StreamReader<u8>,
        offset: u64,
    ) -> wasmtime::Result<Outcome> {
        write(store, &fd, data, Some(offset))
    }

    fn append_via_stream(
        store: StoreNow<'_>,
        fd: Resource<Descriptor>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Outcome> {
        write(store, &fd, data, None)
    }

    fn read_directory(
        mut store: StoreNow<'_>,
        fd: Resource<Descriptor>,
    ) -> wasmtime::Result<(StreamReader<DirectoryEntry>, Outcome)> {
        let place = store.get().state.place()?;
        let handle = match store.get().handle(&fd) {
            Ok(handle) => handle,
            Err(Failed::Trap(error)) => return Err(error),
            Err(Failed::Told(error)) => return Err(error.into()),
        };
        let (told, outcome): (Told, _) = oneshot::channel();
        let names = StreamReader::new(&mut store, Listing::new(handle, place, told))?;
        Ok((names, FutureReader::new(&mut store, outcome)?))
    }

    fn read_via_stream(
        mut store: StoreNow<'_>,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> wasmtime::Result<(StreamReader<u8>, Outcome)> {
        let store = Access::<_, WasiFilesystem>::new(store.as_context_mut(), State::filesystem);
        WasiFilesystem::read_via_stream(store, fd, offset)
    }

    async fn advise(
        store: &Store,
        fd: Resource<Descriptor>,
        offset: u64,
        length: u64,
        advice: types::Advice,
    ) -> FilesystemResult<()> {
        WasiFilesystem::advise(&wasi(store), fd, offset, length, advice).await
    }

    async fn sync_data(store: &Store, fd: Resource<Descriptor>) -> FilesystemResult<()> {
        WasiFilesystem::sync_data(&wasi(store), fd).await
    }

    async fn sync(store: &Store, fd: Resource<Descriptor>) -> FilesystemResult<()> {
        WasiFilesystem::sync(&wasi(store), fd).await
    }

    async fn get_flags(
        store: &Store,
        fd: Resource<Descriptor>,
    ) -> FilesystemResult<types::DescriptorFlags> {
        WasiFilesystem::get_flags(&wasi(store), fd).await
    }

    async fn get_type(
        store: &Store,
        fd: Resource<Descriptor>,
    ) -> FilesystemResult<types::DescriptorType> {
        WasiFilesystem::get_type(&wasi(store), fd).await
    }

    async fn stat(
        store: &Store,
        fd: Resource<Descriptor>,
    ) -> FilesystemResult<types::DescriptorStat> {
        WasiFilesystem::stat(&wasi(store), fd).await
    }

    async fn is_same_object(
        store: &Store,
        fd: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        WasiFilesystem::is_same_object(&wasi(store), fd, other).await
    }
}
