//! Compiled components on disk, so that a component is compiled once.
//!
//! Compiled code is native code: loading a file that someone else wrote would be running it. So
//! code is stored under the hash of its bytes, and a note beside it, sealed with a key, says which
//! hash belongs to which component. The key lies beside the files, all are readable by their owner
//! alone, and what is not sealed, or whose bytes have another hash, is compiled again and never
//! loaded. Whoever can read the key can already run code as this user.
//!
//! The code's file is mapped, not read: of 60 MB of compiled Python most is never touched.
//!
//! Two hosts may share a cache: files are written aside and renamed, so a reader sees a whole
//! file or none. Of those that want one component at once, one compiles it and the others wait for
//! the lock on a file of its name.

use std::ffi::OsStr;
use std::fs::TryLockError;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::types::ComponentHash;

/// What a note begins with: the version of this layout.
const MAGIC: &[u8; 8] = b"aosNote1";
/// A note: magic, the code's hash, the seal.
const NOTE_BYTES: usize = MAGIC.len() + 2 * blake3::OUT_LEN;
const KEY_FILE: &str = "key";
const CODE: &str = "cwasm";
const NOTE: &str = "note";
const LOCK: &str = "lock";

/// How long one host waits for another that compiles the same: the largest components take half
/// of it, and a host that was stopped there must not stop all others.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks again.
const AGAIN: Duration = Duration::from_millis(10);

/// A file that was not renamed into place by then never will be.
const LEFTOVER: Duration = Duration::from_secs(3600);

/// Code larger than this is hashed by all cores; below, starting them costs more.
const HASH_ALONE_BYTES: u64 = 8 << 20;

/// Compiled code of one component larger than this is not kept: 18 MB of Python make 60 MB.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Size at which the least recently used files go.
pub const CACHE_BYTES_DEFAULT: u64 = 2 << 30;

/// Why the cache could not be used; the host goes on without it.
#[derive(Debug, thiserror::Error)]
#[error("compile cache {}: {source}", path.display())]
pub struct CacheError {
    path: PathBuf,
    source: io::Error,
}

/// A folder of compiled components, to look at and to clear: for that nobody needs its key.
#[derive(Debug)]
pub struct CacheFolder {
    path: PathBuf,
    dir: Dir,
}

/// A folder of compiled components with its key: what is sealed with it can be loaded.
#[derive(Debug)]
pub struct CompileCache {
    folder: CacheFolder,
    key: [u8; 32],
    bytes_max: u64,
}

/// The right to compile one component while others wait. It ends with this value, or with the
/// process.
#[derive(Debug)]
pub struct Compiling<'a> {
    folder: &'a CacheFolder,
    name: String,
    _locked: std::fs::File,
}

impl Drop for Compiling<'_> {
    fn drop(&mut self) {
        // Those who wait hold the file itself; what is left over goes with the old files.
        let _removed = self.folder.remove(&self.name);
    }
}

/// One cached file, as `aos-host cache list` shows it.
#[derive(Debug)]
pub struct Entry {
    /// The file's name: the key of what it holds.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last loaded.
    pub used: SystemTime,
}

impl CacheFolder {
    /// Opens the cache in `path`, made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or belongs to others.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let dir =
            private_dir(path).map_err(|source| CacheError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// Where the cache lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn fail(&self, source: io::Error) -> CacheError {
        CacheError { path: self.path.clone(), source }
    }

    /// What the cache holds, most recently used first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in self.dir.entries()? {
            let entry = entry?;
            let name = PathBuf::from(entry.file_name());
            if name.extension() != Some(OsStr::new(CODE)) {
                continue;
            }
            let metadata = entry.metadata()?;
            entries.push(Entry {
                name: name.to_string_lossy().into_owned(),
                bytes: metadata.len(),
                used: metadata.modified()?.into_std(),
            });
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        Ok(entries)
    }

    /// Removes all compiled code; returns how many files and bytes went.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> io::Result<(usize, u64)> {
        let entries = self.entries()?;
        for entry in self.dir.entries()? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // A good key stays: another host may hold it. A broken one is made anew.
            if name != KEY_FILE || !self.key_is_good() {
                self.remove(&name)?;
            }
        }
        Ok((entries.len(), entries.iter().map(|entry| entry.bytes).sum()))
    }

    fn key_is_good(&self) -> bool {
        self.dir.symlink_metadata(KEY_FILE).is_ok_and(|found| found.is_file())
            && read_key(&self.dir).is_ok()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.dir.remove_file(name) {
            // Another host was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl CompileCache {
    /// Opens the cache in `path`, made if it is missing, kept below `bytes_max` bytes.
    ///
    /// # Errors
    /// When the folder or its key cannot be made or read, or belongs to others.
    pub fn open(path: &Path, bytes_max: u64) -> Result<Self, CacheError> {
        let folder = CacheFolder::open(path)?;
        let key = load_key(&folder.dir).map_err(|source| folder.fail(source))?;
        Ok(Self { folder, key, bytes_max })
    }

    /// The compiled form of a component, or none when it is missing, changed or foreign.
    pub fn load(&self, engine: &Engine, hash: ComponentHash) -> Option<Component> {
        let note = note_name(engine, hash);
        let code = self.noted(&note)?;
        let file = self.folder.dir.open(code_name(code)).ok()?.into_std();
        if file.metadata().ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        // The open file is what is checked and what is mapped, whatever its name leads to by then.
        let path = format!("/dev/fd/{}", file.as_raw_fd());
        if hash_file(&path, file.metadata().ok()?.len()).ok()? != code {
            return None;
        }
        let component = deserialize(engine, &path).ok()?;
        // Eviction goes by time of use; a cache that cannot note it still works.
        let _noted = file.set_modified(SystemTime::now());
        Some(component)
    }

    /// Waits until nobody else compiles this component, at most [`PATIENCE`]; then whoever asks
    /// compiles it himself. None where there is no lock to be had: a component that is compiled
    /// twice costs time and nothing else.
    pub fn wait_for_others(&self, engine: &Engine, hash: ComponentHash) -> Option<Compiling<'_>> {
        let name = format!("{}.{LOCK}", note_name(engine, hash));
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        let file = self.folder.dir.open_with(&name, &options).ok()?.into_std();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match file.try_lock() {
                Ok(()) => return Some(Compiling { folder: &self.folder, name, _locked: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(AGAIN),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    /// Keeps a compiled component.
    ///
    /// # Errors
    /// When it cannot be serialised or written; the caller goes on with what it compiled.
    pub fn store(
        &self,
        engine: &Engine,
        hash: ComponentHash,
        component: &Component,
    ) -> wasmtime::Result<()> {
        let code = component.serialize()?;
        if code.len() as u64 > FILE_BYTES_MAX.min(self.bytes_max) {
            return Ok(());
        }
        let of_code = blake3::hash(&code);
        let note = note_name(engine, hash);
        self.write(&code_name(of_code), &[&code])?;
        self.write(&note, &[MAGIC, of_code.as_bytes(), self.seal(&note, of_code).as_bytes()])?;
        Ok(self.evict()?)
    }

    /// The hash of the code that a note names, if this cache's key sealed it.
    fn noted(&self, name: &str) -> Option<blake3::Hash> {
        let mut note = [0; NOTE_BYTES];
        self.folder.dir.open(name).ok()?.read_exact(&mut note).ok()?;
        let (magic, rest) = note.split_at(MAGIC.len());
        let (code, seal) = rest.split_at(blake3::OUT_LEN);
        let code = blake3::Hash::from_slice(code).ok()?;
        let seal = blake3::Hash::from_slice(seal).ok()?;
        // blake3's comparison takes the same time for every seal.
        (magic == MAGIC && self.seal(name, code) == seal).then_some(code)
    }

    /// Ties code to the component and engine that the note's name says.
    fn seal(&self, note: &str, code: blake3::Hash) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(code.as_bytes()).update(note.as_bytes());
        hasher.finalize()
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let aside = format!("{name}.{}.tmp", uuid::Uuid::now_v7());
        let written = || -> io::Result<()> {
            let mut file = self.folder.dir.open_with(&aside, &new_private_file())?;
            parts.iter().try_for_each(|part| file.write_all(part))?;
            self.folder.dir.rename(&aside, &self.folder.dir, name)
        };
        written().inspect_err(|_| {
            // What was half written must not stay; that it may fail too changes nothing.
            let _removed = self.folder.dir.remove_file(&aside);
        })
    }

    fn evict(&self) -> io::Result<()> {
        self.remove_leftovers()?;
        let mut bytes = 0;
        for entry in self.folder.entries()? {
            bytes += entry.bytes;
            if bytes > self.bytes_max {
                self.folder.remove(&entry.name)?;
            }
        }
        Ok(())
    }

    /// What a host left that was killed while it wrote.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in self.folder.dir.entries()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let age = entry.metadata()?.modified()?.into_std().elapsed().unwrap_or_default();
            let ours = name.ends_with(".tmp") || name.ends_with(LOCK);
            if ours && age > LEFTOVER {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// A component's bytes and everything that shapes its code: the engine's version, flags, target.
fn note_name(engine: &Engine, hash: ComponentHash) -> String {
    let mut hasher = HashWriter(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let engine = hasher.0.finalize().to_hex();
    format!("{hash}-{}.{NOTE}", &engine[..16])
}

fn code_name(code: blake3::Hash) -> String {
    format!("{}.{CODE}", code.to_hex())
}

fn hash_file(path: &str, bytes: u64) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    match bytes > HASH_ALONE_BYTES {
        true => hasher.update_mmap_rayon(path)?,
        false => hasher.update_mmap(path)?,
    };
    Ok(hasher.finalize())
}

/// `std::hash::Hasher` over blake3: the standard one may change between two builds of the host.
struct HashWriter(blake3::Hasher);

impl Hasher for HashWriter {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.finalize();
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("invariant: 8 of 32 bytes"))
    }
}

fn private_dir(path: &Path) -> io::Result<Dir> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)?;
    let dir = Dir::open_ambient_dir(path, ambient_authority())?;
    let metadata = dir.dir_metadata()?;
    let mode = cap_std::fs::MetadataExt::mode(&metadata);
    if cap_std::fs::MetadataExt::uid(&metadata) != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if mode & 0o022 != 0 {
        return Err(io::Error::other("others may write to it; `chmod 700` it"));
    }
    Ok(dir)
}

fn new_private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
}

fn load_key(dir: &Dir) -> io::Result<[u8; 32]> {
    match read_key(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(dir),
        Err(error) => Err(io::Error::other(format!(
            "its key cannot be read ({error}); `aos-host cache clear` makes it anew"
        ))),
        key => key,
    }
}

fn read_key(dir: &Dir) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    dir.open(KEY_FILE)?.read_exact(&mut key)?;
    Ok(key)
}

fn make_key(dir: &Dir) -> io::Result<[u8; 32]> {
    let key: [u8; 32] = rand::random();
    let aside = format!("{KEY_FILE}.{}.tmp", uuid::Uuid::now_v7());
    let mut file = dir.open_with(&aside, &new_private_file())?;
    file.write_all(&key)?;
    // A link fails where a key is already there: of two hosts that start at once, one wins.
    let linked = dir.hard_link(&aside, dir, KEY_FILE);
    dir.remove_file(&aside)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load_key(dir),
        Err(error) => Err(error),
    }
}

#[expect(unsafe_code, reason = "compiled code is loaded here and nowhere else")]
fn deserialize(engine: &Engine, path: &str) -> wasmtime::Result<Component> {
    // SAFETY: the open file holds bytes whose hash a holder of this cache's key has sealed, so they
    // are what `Component::serialize` gave this user; wasmtime checks version and flags. The file
    // is never written again: it was renamed into place whole, in a folder that is this user's.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(test)]
mod tests;
