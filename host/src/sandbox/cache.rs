//! Compiled components on disk, so that a component is compiled once.
//!
//! Compiled code is native code: loading a file that someone else wrote would be running it. So
//! each file carries a keyed blake3 tag over its name and its bytes. The key lies beside the
//! files, both are readable by their owner alone, and a file whose tag does not hold is compiled
//! again, never loaded. Whoever can read the key can already run code as this user.
//!
//! Two hosts may share a cache: files are written aside and renamed, so a reader sees a whole
//! file or none.

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::types::ComponentHash;

/// First bytes of a file, with the version of this layout.
const MAGIC: &[u8; 8] = b"aosCwsm1";
const HEADER_BYTES: usize = MAGIC.len() + blake3::OUT_LEN;
const KEY_FILE: &str = "key";
const EXTENSION: &str = "cwasm";

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

/// A folder of compiled components.
#[derive(Debug)]
pub struct CompileCache {
    path: PathBuf,
    dir: Dir,
    key: [u8; 32],
    bytes_max: u64,
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

impl CompileCache {
    /// Opens the cache in `path`, made if it is missing, kept below `bytes_max` bytes.
    ///
    /// # Errors
    /// When the folder or its key cannot be made or read, or belongs to others.
    pub fn open(path: &Path, bytes_max: u64) -> Result<Self, CacheError> {
        let fail = |source| CacheError { path: path.to_owned(), source };
        let dir = private_dir(path).map_err(fail)?;
        let key = load_key(&dir).map_err(fail)?;
        Ok(Self { path: path.to_owned(), dir, key, bytes_max })
    }

    /// Where the cache lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The compiled form of a component, or none when it is missing, changed or foreign.
    pub fn load(&self, engine: &Engine, hash: ComponentHash) -> Option<Component> {
        let name = file_name(engine, hash);
        let file = self.read(&name).ok()?;
        let code = self.verified(&name, &file)?;
        let component = deserialize(engine, code).ok()?;
        // Eviction goes by time of use; a cache that cannot note it still works.
        let _noted = self.touch(&name);
        Some(component)
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
        let name = file_name(engine, hash);
        let aside = format!("{name}.{}.tmp", uuid::Uuid::now_v7());
        let written = self.write_aside(&aside, &name, &code);
        if written.is_err() {
            // What was half written must not stay; that it may fail too changes nothing.
            let _removed = self.dir.remove_file(&aside);
        }
        written?;
        Ok(self.evict()?)
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
            if name.extension() != Some(OsStr::new(EXTENSION)) {
                continue;
            }
            let metadata = entry.metadata()?;
            entries.push(Entry {
                name: name.to_string_lossy().into_owned(),
                bytes: metadata.len(),
                used: metadata.modified()?.into_std(),
            });
        }
        entries.sort_by(|a, b| b.used.cmp(&a.used));
        Ok(entries)
    }

    /// Removes all compiled code; returns how many files and bytes went.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> io::Result<(usize, u64)> {
        let entries = self.entries()?;
        for entry in &entries {
            self.remove(&entry.name)?;
        }
        Ok((entries.len(), entries.iter().map(|entry| entry.bytes).sum()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut file = self.dir.open(name)?;
        let bytes = file.metadata()?.len();
        if bytes > FILE_BYTES_MAX + HEADER_BYTES as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut buffer = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.read_to_end(&mut buffer)?;
        Ok(buffer)
    }

    fn verified<'a>(&self, name: &str, file: &'a [u8]) -> Option<&'a [u8]> {
        let (magic, rest) = file.split_at_checked(MAGIC.len())?;
        let (tag, code) = rest.split_at_checked(blake3::OUT_LEN)?;
        let tag = blake3::Hash::from_slice(tag).ok()?;
        // blake3's comparison takes the same time for every tag.
        (magic == MAGIC && self.tag(name, code) == tag).then_some(code)
    }

    fn tag(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(code);
        hasher.finalize()
    }

    fn write_aside(&self, aside: &str, name: &str, code: &[u8]) -> io::Result<()> {
        let mut file = self.dir.open_with(aside, &new_private_file())?;
        file.write_all(MAGIC)?;
        file.write_all(self.tag(name, code).as_bytes())?;
        file.write_all(code)?;
        self.dir.rename(aside, &self.dir, name)
    }

    fn touch(&self, name: &str) -> io::Result<()> {
        let file = self.dir.open_with(name, OpenOptions::new().write(true))?;
        file.into_std().set_modified(SystemTime::now())
    }

    fn evict(&self) -> io::Result<()> {
        let mut bytes = 0;
        for entry in self.entries()? {
            bytes += entry.bytes;
            if bytes > self.bytes_max {
                self.remove(&entry.name)?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.dir.remove_file(name) {
            // Another host was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// A component's bytes and everything that shapes its code: the engine's version, flags, target.
fn file_name(engine: &Engine, hash: ComponentHash) -> String {
    let mut hasher = HashWriter(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let engine = hasher.0.finalize().to_hex();
    format!("{hash}-{}.{EXTENSION}", &engine[..16])
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
    match dir.open(KEY_FILE) {
        Ok(mut file) => {
            let mut key = [0; 32];
            file.read_exact(&mut key)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(dir),
        Err(error) => Err(error),
    }
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
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` carries a tag that only a holder of this cache's key could make, so these
    // are bytes that `Component::serialize` gave this user; wasmtime checks version and flags.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::engine::{Profile, engine};

    const ADD: &str = "(component)";

    struct Fixture {
        folder: tempfile::TempDir,
        engine: Engine,
        hash: ComponentHash,
        component: Component,
    }

    fn fixture() -> Fixture {
        let (engine, _ticker) = engine(Profile::OneShot).expect("engine");
        let component = Component::new(&engine, ADD).expect("compiles");
        let hash = ComponentHash::of(ADD.as_bytes());
        Fixture { folder: tempfile::tempdir().expect("folder"), engine, hash, component }
    }

    fn open(fixture: &Fixture) -> CompileCache {
        CompileCache::open(&fixture.folder.path().join("cache"), 1 << 30).expect("opens")
    }

    fn only_file(fixture: &Fixture) -> PathBuf {
        let cache = open(fixture);
        let entries = cache.entries().expect("lists");
        cache.path().join(&entries[0].name)
    }

    #[test]
    fn what_was_stored_is_loaded_by_another_host() {
        let fixture = fixture();
        let cache = open(&fixture);
        assert!(cache.load(&fixture.engine, fixture.hash).is_none());
        cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
        assert!(open(&fixture).load(&fixture.engine, fixture.hash).is_some());
    }

    #[test]
    fn a_file_with_any_changed_byte_is_not_loaded() {
        let fixture = fixture();
        let cache = open(&fixture);
        cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
        let path = only_file(&fixture);
        let good = std::fs::read(&path).expect("reads");
        for at in [0, 9, HEADER_BYTES, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, bad).expect("writes");
            assert!(cache.load(&fixture.engine, fixture.hash).is_none(), "byte {at}");
        }
        std::fs::write(&path, &good[..10]).expect("writes");
        assert!(cache.load(&fixture.engine, fixture.hash).is_none());
        std::fs::write(&path, good).expect("writes");
        assert!(cache.load(&fixture.engine, fixture.hash).is_some());
    }

    #[test]
    fn a_file_under_another_components_name_is_not_loaded() {
        let fixture = fixture();
        let cache = open(&fixture);
        cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
        let other = ComponentHash::of(b"other");
        let name = cache.path().join(file_name(&fixture.engine, other));
        std::fs::rename(only_file(&fixture), name).expect("renames");
        assert!(cache.load(&fixture.engine, other).is_none());
    }

    #[test]
    fn a_file_sealed_with_another_key_is_not_loaded() {
        let fixture = fixture();
        let cache = open(&fixture);
        cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
        std::fs::write(cache.path().join(KEY_FILE), [7; 32]).expect("writes");
        assert!(open(&fixture).load(&fixture.engine, fixture.hash).is_none());
    }

    #[test]
    fn files_and_key_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let fixture = fixture();
        let cache = open(&fixture);
        cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
        for path in [only_file(&fixture), cache.path().join(KEY_FILE)] {
            let mode = std::fs::metadata(path).expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("chmod");
        let error = CompileCache::open(folder.path(), 1).expect_err("refused");
        assert!(error.to_string().contains("others may write"), "{error}");
    }

    #[test]
    fn the_least_recently_used_file_goes_when_the_cache_is_full() {
        let fixture = fixture();
        let path = fixture.folder.path().join("cache");
        let bytes = fixture.component.serialize().expect("serialises").len() as u64;
        let cache = CompileCache::open(&path, bytes * 5 / 2).expect("opens");
        let hashes: Vec<_> = (0..3u8).map(|n| ComponentHash::of(&[n])).collect();
        for hash in &hashes {
            cache.store(&fixture.engine, *hash, &fixture.component).expect("stores");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(cache.load(&fixture.engine, hashes[0]).is_none());
        assert!(cache.load(&fixture.engine, hashes[1]).is_some());
        assert!(cache.load(&fixture.engine, hashes[2]).is_some());
    }

    #[test]
    fn many_hosts_may_open_one_cache_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cache");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let open = || CompileCache::open(&path, 1).expect("opens").key;
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
