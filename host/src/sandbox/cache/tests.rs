//! What is loaded is what was kept, and nothing that another wrote.

use super::*;
use crate::sandbox::engine::{Concurrency, Profile, engine};

const ADD: &str = "(component)";

struct Fixture {
    folder: tempfile::TempDir,
    engine: Engine,
    hash: ComponentHash,
    component: Component,
}

fn fixture() -> Fixture {
    let (engine, _ticker) = engine(Profile::OneShot, Concurrency::Off).expect("engine");
    let component = Component::new(&engine, ADD).expect("compiles");
    let hash = ComponentHash::of(ADD.as_bytes());
    Fixture { folder: tempfile::tempdir().expect("folder"), engine, hash, component }
}

fn open(fixture: &Fixture) -> CompileCache {
    CompileCache::open(&fixture.folder.path().join("cache"), 1 << 30).expect("opens")
}

fn only_file(fixture: &Fixture, ending: &str) -> PathBuf {
    let files = std::fs::read_dir(open(fixture).folder.path()).expect("lists");
    let mut files = files.map(|file| file.expect("an entry").path());
    files.find(|path| path.extension() == Some(OsStr::new(ending))).expect("is there")
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
fn code_of_an_engine_with_concurrency_is_not_loaded_by_one_without() {
    let fixture = fixture();
    let cache = open(&fixture);
    cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
    let (other, _ticker) = engine(Profile::OneShot, Concurrency::On).expect("engine");
    assert!(cache.load(&other, fixture.hash).is_none());
    let component = Component::new(&other, ADD).expect("compiles");
    cache.store(&other, fixture.hash, &component).expect("stores");
    // Each finds its own.
    assert!(cache.load(&other, fixture.hash).is_some());
    assert!(cache.load(&fixture.engine, fixture.hash).is_some());
}

#[test]
fn a_file_with_any_changed_byte_is_not_loaded() {
    let fixture = fixture();
    let cache = open(&fixture);
    cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
    for ending in [CODE, NOTE] {
        let path = only_file(&fixture, ending);
        let good = std::fs::read(&path).expect("reads");
        // A file that was changed in place: its owner may, so it must be found.
        let put = |bytes: &[u8]| {
            std::fs::remove_file(&path).expect("removes");
            std::fs::write(&path, bytes).expect("writes");
        };
        for at in [0, 9, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            put(&bad);
            assert!(cache.load(&fixture.engine, fixture.hash).is_none(), "{ending} {at}");
        }
        put(&good[..10]);
        assert!(cache.load(&fixture.engine, fixture.hash).is_none(), "{ending} cut");
        put(&good);
        assert!(cache.load(&fixture.engine, fixture.hash).is_some(), "{ending} mended");
    }
}

#[test]
fn a_file_under_another_components_name_is_not_loaded() {
    let fixture = fixture();
    let cache = open(&fixture);
    cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
    let other = ComponentHash::of(b"other");
    let name = cache.folder.path().join(note_name(&fixture.engine, other));
    std::fs::rename(only_file(&fixture, NOTE), name).expect("renames");
    assert!(cache.load(&fixture.engine, other).is_none());
}

#[test]
fn a_file_sealed_with_another_key_is_not_loaded() {
    let fixture = fixture();
    let cache = open(&fixture);
    cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
    std::fs::write(cache.folder.path().join(KEY_FILE), [7; 32]).expect("writes");
    assert!(open(&fixture).load(&fixture.engine, fixture.hash).is_none());
}

#[test]
fn files_and_key_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = fixture();
    let cache = open(&fixture);
    cache.store(&fixture.engine, fixture.hash, &fixture.component).expect("stores");
    for name in [CODE, NOTE] {
        let path = only_file(&fixture, name);
        let mode = std::fs::metadata(path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let key = std::fs::metadata(cache.folder.path().join(KEY_FILE)).expect("metadata");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
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
    // Different exports, so that the code differs.
    let component = |n: usize| {
        let text = format!("(component (core module) (export \"m{n}\" (core module 0)))");
        Component::new(&fixture.engine, text).expect("compiles")
    };
    let bytes = component(0).serialize().expect("serialises").len() as u64;
    let cache = CompileCache::open(&path, bytes * 5 / 2).expect("opens");
    let hashes: Vec<_> = (0..3u8).map(|n| ComponentHash::of(&[n])).collect();
    for (n, hash) in hashes.iter().enumerate() {
        cache.store(&fixture.engine, *hash, &component(n)).expect("stores");
        std::thread::sleep(Duration::from_millis(20));
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
