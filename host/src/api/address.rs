//! Where the daemon of a store is: a lock file that one process holds, and a socket.
//!
//! The lock of a store on disk lies beside it, so that there is one daemon a store whatever the
//! environment says. It names the process and its socket; the system frees it however the process
//! ends. Whoever holds it may replace a socket that is left over.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::ApiError;
use crate::storage::StoreUrl;

/// Bytes of a socket's path: Linux has 108 with the zero at the end, macOS 104.
const SOCKET_PATH_BYTES_MAX: usize = 103;
/// Bytes of a lock file that are read.
const RECORD_BYTES_MAX: u64 = 8 << 10;

/// Where the daemon of one store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    store: String,
    folder: PathBuf,
    socket: PathBuf,
    lock: PathBuf,
}

/// What a lock file says of its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: u32,
    socket: PathBuf,
}

impl Address {
    /// The address of a store's daemon; `runtime` is the folder of sockets.
    ///
    /// # Errors
    /// When the working directory is gone, or a socket's path would be too long.
    pub fn of(store: &StoreUrl, runtime: &Path) -> Result<Self, ApiError> {
        let absolute =
            |path: &Path| std::path::absolute(path).map_err(|error| ApiError::path(path, error));
        let folder = absolute(runtime)?;
        let (name, key, lock) = match store {
            StoreUrl::Sqlite(path) => {
                let real = real_path(&absolute(path)?);
                let mut lock = real.clone().into_os_string();
                lock.push("-daemon");
                let key = real.as_os_str().as_encoded_bytes().to_vec();
                (format!("sqlite:{}", real.display()), key, Some(PathBuf::from(lock)))
            }
            // One host of it on this machine; between machines each agent's lease decides.
            StoreUrl::Postgres(url) => (url.to_string(), url.to_string().into_bytes(), None),
            StoreUrl::Memory => ("memory:".to_owned(), b"memory:".to_vec(), None),
        };
        let digest = blake3::hash(&key).to_hex();
        // 64 bits: a second store by accident is out of the question, and paths stay short.
        let socket = folder.join(format!("{}.sock", &digest.as_str()[..16]));
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let what = "a socket's path has at most 103 bytes; set XDG_RUNTIME_DIR to a shorter \
                        folder";
            return Err(ApiError::path(socket, what));
        }
        let lock = lock.unwrap_or_else(|| match store {
            StoreUrl::Memory => folder.join("memory.lock"),
            StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => socket.with_extension("lock"),
        });
        Ok(Self { store: name, folder, socket, lock })
    }

    /// The store, for messages.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Where a client connects: what the lock file says, else where a daemon would listen.
    pub fn socket(&self) -> PathBuf {
        let said = File::open(&self.lock).ok().and_then(|mut file| record(&mut file));
        said.map_or_else(|| self.socket.clone(), |record| record.socket)
    }

    /// Becomes the one daemon of the store.
    ///
    /// # Errors
    /// [`ApiError::Taken`] names the process that is; else the file that cannot be used.
    pub fn take(self) -> Result<Held, ApiError> {
        own_folder(&self.folder)?;
        let parent = self.lock.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| ApiError::path(parent, error))?;
        let lock_error = |error: std::io::Error| ApiError::path(&self.lock, error);
        // Somebody else's link there must lead nowhere.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.lock, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(opened.map_err(|error| lock_error(error.into()))?);
        let owner = file.metadata().map_err(lock_error)?.uid();
        if owner != own_user() {
            let path = self.lock.clone();
            return Err(ApiError::Foreign { path, theirs: owner, own: own_user() });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let who = record(&mut file)
                    .map_or("it has not said which".to_owned(), |r| format!("process {}", r.pid));
                return Err(ApiError::Taken { store: self.store, who });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(lock_error(error)),
        }
        write(&mut file, &Record { pid: std::process::id(), socket: self.socket.clone() })
            .map_err(lock_error)?;
        Ok(Held { address: self, file, listens: false })
    }
}

/// The same for every name of a file, also while it is not there yet.
fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// The user that this process acts as.
pub(super) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes the folder of sockets the user's alone.
fn own_folder(folder: &Path) -> Result<(), ApiError> {
    let wrong = |error: std::io::Error| ApiError::path(folder, error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    let metadata = folder.symlink_metadata().map_err(wrong)?;
    if !metadata.is_dir() {
        return Err(ApiError::path(folder, "it is no folder"));
    }
    if metadata.uid() != own_user() {
        let (path, theirs) = (folder.to_owned(), metadata.uid());
        return Err(ApiError::Foreign { path, theirs, own: own_user() });
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(wrong)?;
    }
    Ok(())
}

fn record(file: &mut File) -> Option<Record> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(RECORD_BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File, record: &Record) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(record)?.as_bytes())
}

/// The lock of a store, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct Held {
    address: Address,
    file: File,
    /// The socket is this process's own.
    listens: bool,
}

impl Held {
    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Listens, in the place of whatever socket a daemon left over.
    ///
    /// # Errors
    /// When something else than a socket lies there, or the system gives none.
    pub fn listen(&mut self) -> Result<UnixListener, ApiError> {
        self.listens = false;
        let path = &self.address.socket;
        let wrong = |error: std::io::Error| ApiError::path(path, error);
        match path.symlink_metadata() {
            // Its daemon would hold the lock.
            Ok(found) if found.file_type().is_socket() => {
                std::fs::remove_file(path).map_err(wrong)?;
            }
            Ok(_) => return Err(ApiError::path(path, "it is in the way and no socket; remove it")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error)),
        }
        let listener = UnixListener::bind(path).map_err(wrong)?;
        self.listens = true;
        // Before this the folder alone kept others out.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        Ok(listener)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What stays behind is replaced by the next daemon; the file itself stays, since another
        // process may wait at it.
        if self.listens {
            let _removed = std::fs::remove_file(&self.address.socket);
        }
        let _emptied = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> StoreUrl {
        StoreUrl::Sqlite(folder.join("journal.db"))
    }

    #[test]
    fn one_process_holds_a_store_and_the_next_one_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = || Address::of(&store(folder.path()), &folder.path().join("run"));
        let held = address().expect("an address").take().expect("free");
        let second = address().expect("an address").take().expect_err("taken").to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        drop(held);
        address().expect("an address").take().expect("free again");
    }

    #[test]
    fn a_store_has_one_address_by_every_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().join("run");
        let real = folder.path().join("real");
        std::fs::create_dir(&real).expect("made");
        std::os::unix::fs::symlink(&real, folder.path().join("link")).expect("linked");
        let of = |path: &str| {
            let store = StoreUrl::Sqlite(folder.path().join(path));
            Address::of(&store, &run).expect("an address")
        };
        assert_eq!(of("real/a.db"), of("link/a.db"));
        assert_ne!(of("real/a.db"), of("real/b.db"));
        std::fs::write(real.join("a.db"), "").expect("made");
        assert_eq!(of("real/a.db"), of("link/./a.db"));
    }

    #[test]
    fn a_socket_left_over_is_replaced_and_anything_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = Address::of(&store(folder.path()), &folder.path().join("run"));
        let mut held = address.expect("an address").take().expect("free");
        drop(held.listen().expect("listens"));
        let listener = held.listen().expect("listens in its place");
        let socket = held.address().socket();
        let mode = |path: &Path| path.metadata().expect("is there").mode() & 0o777;
        assert_eq!(mode(&socket), 0o600);
        assert_eq!(mode(socket.parent().expect("a folder")), 0o700);
        drop(listener);
        std::fs::remove_file(&socket).expect("removed");
        std::fs::write(&socket, "text").expect("written");
        let error = held.listen().expect_err("in the way").to_string();
        assert!(error.contains("no socket"), "{error}");
        drop(held);
        assert_eq!(std::fs::read_to_string(&socket).expect("still there"), "text");
    }

    #[test]
    fn a_folder_that_others_can_enter_is_closed_to_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().join("run");
        std::fs::create_dir(&run).expect("made");
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).expect("opened");
        let _held = Address::of(&store(folder.path()), &run).expect("an address").take();
        assert_eq!(run.metadata().expect("is there").mode() & 0o777, 0o700);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_told() {
        let long = "x".repeat(120);
        let error = Address::of(&StoreUrl::Memory, Path::new(&format!("/{long}")));
        assert!(error.expect_err("too long").to_string().contains("XDG_RUNTIME_DIR"));
    }
}
