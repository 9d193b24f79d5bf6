//! What is done to files, on an open parent and a plain name, never through a link.

//! It knows nothing of WASI's versions: their words are translated by `p2` and `p3`.

use std::fs::{File, FileTimes};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::fs::{FileType, OpenOptions, OpenOptionsExt};
use rustix::io::Errno;

use crate::capability::files::FileOperation;
use crate::capability::files::locate::Located;

/// The flags with which a guest opens something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) directory: bool,
    pub(super) read: bool,
    pub(super) write: bool,
    /// Any of the flags that ask for synchronised writing.
    pub(super) synchronised: bool,
}

/// What a time of a file is to become.
#[derive(Clone, Copy, Debug)]
pub(super) enum NewTime {
    Keep,
    Now,
    At(SystemTime),
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Link,
    File,
    Other,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        if kind.is_dir() {
            Self::Folder
        } else if kind.is_symlink() {
            Self::Link
        } else if kind.is_file() {
            Self::File
        } else {
            Self::Other
        }
    }
}

/// What is known of something without opening it.
#[derive(Clone, Debug)]
pub(super) struct Stat {
    pub(super) kind: Kind,
    pub(super) links: u64,
    pub(super) bytes: u64,
    pub(super) accessed: Option<SystemTime>,
    pub(super) modified: Option<SystemTime>,
    pub(super) created: Option<SystemTime>,
}

/// The same for two descriptors of one object, without telling the guest inode numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) lower: u64,
    pub(super) upper: u64,
}

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
    pub(super) fn new(flags: Flags) -> io::Result<Self> {
        let Flags { create, exclusive, truncate, directory, read, write, synchronised } = flags;
        if synchronised {
            return Err(Errno::NOTSUP.into());
        }
        if directory && (create || truncate || exclusive) {
            return Err(Errno::INVAL.into());
        }
        Ok(Self {
            create,
            create_new: create && exclusive,
            truncate,
            write: create || truncate || write,
            read: read || !write,
            folder: directory,
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
    Folder(File),
    File(File),
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
            true => Errno::LOOP.into(),
            false => Errno::PERM.into(),
        });
    }
    if is_folder {
        if wish.create_new {
            return Err(Errno::EXIST.into());
        }
        if wish.write {
            return Err(Errno::ISDIR.into());
        }
        return Ok(Opened::Folder(parent.open_dir_nofollow(name)?.into_std_file()));
    }
    if *folder && found.is_none() {
        // A file of that name is not what a path with a slash at its end may make.
        return Err(Errno::ISDIR.into());
    }
    if wish.folder || *folder {
        return Err(Errno::NOTDIR.into());
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
        false => Err(Errno::PERM.into()),
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
        false => Err(Errno::NOTDIR.into()),
    }
}

/// What is no folder cannot be made by a path that ends in a slash.
fn may_be_no_folder(located: &Located) -> io::Result<()> {
    match (located.folder, located.parent.symlink_metadata(&located.name).is_ok()) {
        (false, _) => Ok(()),
        (true, true) => Err(Errno::EXIST.into()),
        (true, false) => Err(Errno::NOENT.into()),
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
        return Err(Errno::ISDIR.into());
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
        return Err(Errno::NOTDIR.into());
    }
    from.parent.rename(&from.name, &to.parent, &to.name)
}

pub(super) fn hard_link((from, to): (Located, Located)) -> io::Result<()> {
    if is_meant_as_folder(&from)? {
        return Err(Errno::PERM.into());
    }
    may_be_no_folder(&to)?;
    from.parent.hard_link(&from.name, &to.parent, &to.name)
}

pub(super) fn read_link(located: Located) -> io::Result<String> {
    is_meant_as_folder(&located)?;
    let link = located.parent.read_link(&located.name)?;
    link.into_os_string().into_string().map_err(|_| io::ErrorKind::InvalidData.into())
}

pub(super) fn set_times(located: &Located, accessed: NewTime, modified: NewTime) -> io::Result<()> {
    let spec = |time| match time {
        NewTime::Keep => None,
        NewTime::Now => Some(SystemTimeSpec::SymbolicNow),
        NewTime::At(time) => {
            Some(SystemTimeSpec::Absolute(cap_std::time::SystemTime::from_std(time)))
        }
    };
    is_meant_as_folder(located)?;
    located.parent.set_symlink_times(&located.name, spec(accessed), spec(modified))
}

/// Sets the times of an open file.
pub(super) fn set_file_times(file: &File, accessed: NewTime, modified: NewTime) -> io::Result<()> {
    let time = |time| match time {
        NewTime::Keep => None,
        NewTime::Now => Some(SystemTime::now()),
        NewTime::At(time) => Some(time),
    };
    let mut times = FileTimes::new();
    if let Some(accessed) = time(accessed) {
        times = times.set_accessed(accessed);
    }
    if let Some(modified) = time(modified) {
        times = times.set_modified(modified);
    }
    file.set_times(times)
}

/// Writes all bytes at an offset, or at the end of the file where there is none.
pub(super) fn write_all(file: &File, mut bytes: &[u8], offset: Option<u64>) -> io::Result<()> {
    if let Some(offset) = offset {
        return file.write_all_at(bytes, offset);
    }
    while !bytes.is_empty() {
        let written = append(file, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// At the end, wherever another writer has put it by then.
#[cfg(target_os = "linux")]
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    use rustix::io::{ReadWriteFlags, pwritev2, retry_on_intr};
    let written =
        retry_on_intr(|| pwritev2(file, &[io::IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND))?;
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// At the end as it is now: this system has no write that finds it by itself.
#[cfg(not(target_os = "linux"))]
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    file.write_all_at(bytes, file.metadata()?.len())?;
    Ok(bytes.len())
}

pub(super) fn stat(located: Located) -> io::Result<Stat> {
    let metadata = located.parent.symlink_metadata(&located.name)?;
    let kind = Kind::from(metadata.file_type());
    if located.folder && kind != Kind::Folder {
        return Err(Errno::NOTDIR.into());
    }
    let time = |time: io::Result<cap_std::time::SystemTime>| Some(time.ok()?.into_std());
    Ok(Stat {
        kind,
        links: cap_std::fs::MetadataExt::nlink(&metadata),
        bytes: metadata.len(),
        accessed: time(metadata.accessed()),
        modified: time(metadata.modified()),
        created: time(metadata.created()),
    })
}

pub(super) fn identity_at(located: Located) -> io::Result<Identity> {
    is_meant_as_folder(&located)?;
    let metadata = located.parent.symlink_metadata(&located.name)?;
    let device = cap_std::fs::MetadataExt::dev(&metadata);
    Ok(identity_of(device, cap_std::fs::MetadataExt::ino(&metadata)))
}

pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok(identity_of(metadata.dev(), metadata.ino()))
}

fn identity_of(device: u64, inode: u64) -> Identity {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&device.to_le_bytes()).update(&inode.to_le_bytes());
    let hash = hasher.finalize();
    let half = |at: usize| {
        let bytes = hash.as_bytes()[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("invariant: 8 of 32 bytes"))
    };
    Identity { lower: half(0), upper: half(8) }
}
