//! What is done to files, on an open parent and a plain name, never through a link.

use std::fs::FileTimes;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::fs::{OpenOptions, OpenOptionsExt};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp,
    OpenFlags,
};

use crate::capability::files::FileOperation;
use crate::capability::files::locate::Located;

/// How something is to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    create: bool,
    create_new: bool,
    truncate: bool,
    write: bool,
    read: bool,
    folder: bool,
}

impl Wish {
    /// # Errors
    /// When the flags contradict one another or ask for what is not offered.
    pub(super) fn new(open: OpenFlags, flags: DescriptorFlags) -> Result<Self, ErrorCode> {
        let synchronised = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(synchronised) {
            return Err(ErrorCode::Unsupported);
        }
        let create = open.contains(OpenFlags::CREATE);
        let truncate = open.contains(OpenFlags::TRUNCATE);
        let folder = open.contains(OpenFlags::DIRECTORY);
        if folder && (create || truncate || open.contains(OpenFlags::EXCLUSIVE)) {
            return Err(ErrorCode::Invalid);
        }
        Ok(Self {
            create,
            create_new: create && open.contains(OpenFlags::EXCLUSIVE),
            truncate,
            write: create || truncate || flags.contains(DescriptorFlags::WRITE),
            read: flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE),
            folder,
        })
    }

    pub(super) fn is_folder(&self) -> bool {
        self.folder
    }

    pub(super) fn operation(&self) -> FileOperation {
        match self {
            Self { truncate: true, .. } => FileOperation::Truncate,
            Self { create: true, .. } => FileOperation::Create,
            Self { write: true, .. } => FileOperation::Open,
            Self { .. } => FileOperation::Read,
        }
    }
}

/// What opening gave.
pub(super) enum Opened {
    Folder(std::fs::File),
    File(std::fs::File),
}

/// Opens a regular file or a folder, and nothing else: opening a FIFO waits for its other end,
/// and opening a device may do something.
pub(super) fn open(located: &Located, wish: &Wish) -> io::Result<Opened> {
    let Located { parent, name, folder, .. } = located;
    let found = match parent.symlink_metadata(name) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && wish.create => None,
        Err(error) => return Err(error),
    };
    let is_folder = found.is_some_and(|kind| kind.is_dir());
    if let Some(kind) = found
        && !kind.is_dir()
        && !kind.is_file()
    {
        // A link here means that links are not to be followed, or that somebody made one since.
        return Err(match kind.is_symlink() {
            true => rustix::io::Errno::LOOP.into(),
            false => rustix::io::Errno::PERM.into(),
        });
    }
    if is_folder {
        if wish.create_new {
            return Err(rustix::io::Errno::EXIST.into());
        }
        if wish.write {
            return Err(rustix::io::Errno::ISDIR.into());
        }
        return Ok(Opened::Folder(parent.open_dir_nofollow(name)?.into_std_file()));
    }
    if *folder && found.is_none() {
        // A file of that name is not what a path with a slash at its end may make.
        return Err(rustix::io::Errno::ISDIR.into());
    }
    if wish.folder || *folder {
        return Err(rustix::io::Errno::NOTDIR.into());
    }
    let mut options = OpenOptions::new();
    options
        .read(wish.read)
        .write(wish.write)
        .create(wish.create && !wish.create_new)
        .create_new(wish.create_new)
        .truncate(wish.truncate)
        .follow(FollowSymlinks::No)
        // If a FIFO has taken the name since, opening it must not wait.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let file = parent.open_with(name, &options)?.into_std();
    match file.metadata()?.is_file() {
        true => Ok(Opened::File(file)),
        false => Err(rustix::io::Errno::PERM.into()),
    }
}

/// A path that ends in a slash means a folder or nothing: true when it did and is one.
///
/// # Errors
/// When it is something else, or not there.
fn is_meant_as_folder(located: &Located) -> io::Result<bool> {
    if !located.folder {
        return Ok(false);
    }
    match located.parent.symlink_metadata(&located.name)?.is_dir() {
        true => Ok(true),
        false => Err(rustix::io::Errno::NOTDIR.into()),
    }
}

/// What is no folder cannot be made by a path that ends in a slash.
fn may_be_no_folder(located: &Located) -> io::Result<()> {
    match (located.folder, located.parent.symlink_metadata(&located.name).is_ok()) {
        (false, _) => Ok(()),
        (true, true) => Err(rustix::io::Errno::EXIST.into()),
        (true, false) => Err(rustix::io::Errno::NOENT.into()),
    }
}

pub(super) fn create_folder(located: Located) -> io::Result<()> {
    located.parent.create_dir(&located.name)
}

pub(super) fn remove_folder(located: Located) -> io::Result<()> {
    located.parent.remove_dir(&located.name)
}

pub(super) fn remove(located: Located) -> io::Result<()> {
    if is_meant_as_folder(&located)? {
        return Err(rustix::io::Errno::ISDIR.into());
    }
    located.parent.remove_file_or_symlink(&located.name)
}

pub(super) fn symlink(located: &Located, to: &str) -> io::Result<()> {
    may_be_no_folder(located)?;
    // cap-std refuses a link that holds an absolute path.
    DirExt::symlink(&located.parent, to, &located.name)
}

pub(super) fn rename((from, to): (Located, Located)) -> io::Result<()> {
    let moves_folder = is_meant_as_folder(&from)? || to.folder;
    if moves_folder && !from.parent.symlink_metadata(&from.name)?.is_dir() {
        return Err(rustix::io::Errno::NOTDIR.into());
    }
    from.parent.rename(&from.name, &to.parent, &to.name)
}

pub(super) fn hard_link((from, to): (Located, Located)) -> io::Result<()> {
    if is_meant_as_folder(&from)? {
        return Err(rustix::io::Errno::PERM.into());
    }
    may_be_no_folder(&to)?;
    from.parent.hard_link(&from.name, &to.parent, &to.name)
}

pub(super) fn read_link(located: Located) -> io::Result<String> {
    is_meant_as_folder(&located)?;
    let link = located.parent.read_link(&located.name)?;
    link.into_os_string().into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

pub(super) fn set_times(
    located: &Located,
    accessed: NewTimestamp,
    modified: NewTimestamp,
) -> io::Result<()> {
    let spec = |time| -> io::Result<Option<SystemTimeSpec>> {
        Ok(match time {
            NewTimestamp::NoChange => None,
            NewTimestamp::Now => Some(SystemTimeSpec::SymbolicNow),
            NewTimestamp::Timestamp(time) => {
                let time = cap_std::time::SystemTime::from_std(system_time(time)?);
                Some(SystemTimeSpec::Absolute(time))
            }
        })
    };
    is_meant_as_folder(located)?;
    located.parent.set_symlink_times(&located.name, spec(accessed)?, spec(modified)?)
}

/// The times of an open file.
pub(super) fn file_times(accessed: NewTimestamp, modified: NewTimestamp) -> io::Result<FileTimes> {
    let time = |time| -> io::Result<Option<SystemTime>> {
        Ok(match time {
            NewTimestamp::NoChange => None,
            NewTimestamp::Now => Some(SystemTime::now()),
            NewTimestamp::Timestamp(time) => Some(system_time(time)?),
        })
    };
    let mut times = FileTimes::new();
    if let Some(accessed) = time(accessed)? {
        times = times.set_accessed(accessed);
    }
    if let Some(modified) = time(modified)? {
        times = times.set_modified(modified);
    }
    Ok(times)
}

fn system_time(time: Datetime) -> io::Result<SystemTime> {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::new(time.seconds, time.nanoseconds.min(999_999_999)))
        .ok_or_else(|| rustix::io::Errno::OVERFLOW.into())
}

pub(super) fn stat(located: Located) -> io::Result<DescriptorStat> {
    let metadata = located.parent.symlink_metadata(&located.name)?;
    let kind = metadata.file_type();
    if located.folder && !kind.is_dir() {
        return Err(rustix::io::Errno::NOTDIR.into());
    }
    let time = |time: io::Result<cap_std::time::SystemTime>| {
        let since = time.ok()?.into_std().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    };
    Ok(DescriptorStat {
        type_: type_of(kind),
        link_count: cap_std::fs::MetadataExt::nlink(&metadata),
        size: metadata.len(),
        data_access_timestamp: time(metadata.accessed()),
        data_modification_timestamp: time(metadata.modified()),
        status_change_timestamp: time(metadata.created()),
    })
}

pub(super) fn type_of(kind: cap_std::fs::FileType) -> DescriptorType {
    if kind.is_dir() {
        DescriptorType::Directory
    } else if kind.is_symlink() {
        DescriptorType::SymbolicLink
    } else if kind.is_file() {
        DescriptorType::RegularFile
    } else {
        DescriptorType::Unknown
    }
}

pub(super) fn identity_at(located: Located) -> io::Result<MetadataHashValue> {
    is_meant_as_folder(&located)?;
    let metadata = located.parent.symlink_metadata(&located.name)?;
    let device = cap_std::fs::MetadataExt::dev(&metadata);
    Ok(identity_of(device, cap_std::fs::MetadataExt::ino(&metadata)))
}

/// The same for two descriptors of one object, without telling the guest inode numbers.
pub(super) fn identity(metadata: &std::fs::Metadata) -> MetadataHashValue {
    identity_of(metadata.dev(), metadata.ino())
}

fn identity_of(device: u64, inode: u64) -> MetadataHashValue {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&device.to_le_bytes()).update(&inode.to_le_bytes());
    let hash = hasher.finalize();
    let half = |at: usize| {
        let bytes = hash.as_bytes()[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("invariant: 8 of 32 bytes"))
    };
    MetadataHashValue { lower: half(0), upper: half(8) }
}
