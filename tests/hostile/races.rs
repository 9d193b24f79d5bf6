//! Guests that look for the moment between check and use, and those that hold on to things.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aos_host::sandbox::limits::Limits;

use super::files::{SECRET, fixture};
use super::house::{command, finish, folder_grant, house, limits, misbehave, options};

/// Until dropped, `swap` runs over and over on a thread of its own.
struct Swapping {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapping {
    fn start(mut swap: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                swap();
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops, and passes on its panic.
    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("no panic");
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Reads `path` very often in a folder that is swapped meanwhile, and until that was noticed; what
/// it ever saw.
fn seen_while_swapping(root: &Path, denied: &Path, path: &str, swap: Swapping) -> String {
    let mut options = options(limits(), &[folder_grant("read", root, "/w")]);
    options.denied_paths = vec![denied.to_owned()];
    let ending = house().once(misbehave(), &options, &command(&["race", "/w", path, "4000"]));
    swap.stop();
    assert!(ending.printed().contains('|'), "nothing raced: {ending:?}");
    ending.printed().to_owned()
}

#[test]
fn a_folder_that_becomes_a_link_outside_never_gives_the_secret() {
    let folder = fixture();
    let root = folder.path().join("root");
    std::fs::create_dir(root.join("dir")).expect("made");
    std::fs::write(root.join("dir/secret"), "harmless").expect("written");
    symlink("../outside", root.join("way")).expect("linked");
    let at = root.clone();
    let swap = Swapping::start(move || {
        std::fs::rename(at.join("dir"), at.join("aside")).expect("renamed");
        std::fs::rename(at.join("way"), at.join("dir")).expect("renamed");
        std::fs::rename(at.join("dir"), at.join("way")).expect("renamed");
        std::fs::rename(at.join("aside"), at.join("dir")).expect("renamed");
    });
    let seen = seen_while_swapping(&root, &root.join("sub/private"), "dir/secret", swap);
    assert!(!seen.contains(SECRET), "{seen}");
}

#[test]
fn a_file_that_becomes_a_link_never_gives_what_is_denied_or_outside() {
    let folder = fixture();
    let root = folder.path().join("root");
    std::fs::write(root.join("harmless"), "harmless").expect("written");
    let at = root.clone();
    let swap = Swapping::start(move || {
        for to in ["sub/private/key", "../outside/secret", "harmless"] {
            symlink(to, at.join("next")).expect("linked");
            std::fs::rename(at.join("next"), at.join("file")).expect("renamed");
        }
        std::fs::copy(at.join("harmless"), at.join("next")).expect("copied");
        std::fs::rename(at.join("next"), at.join("file")).expect("renamed");
    });
    let seen = seen_while_swapping(&root, &root.join("sub/private"), "file", swap);
    assert!(!seen.contains(SECRET), "{seen}");
}

#[test]
fn a_file_that_becomes_a_fifo_does_not_hold_the_guest() {
    let folder = fixture();
    let root = folder.path().join("root");
    let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status();
    assert!(made.expect("coreutils").success());
    let at = root.clone();
    let swap = Swapping::start(move || {
        std::fs::rename(at.join("plain"), at.join("aside")).expect("renamed");
        std::fs::rename(at.join("fifo"), at.join("plain")).expect("renamed");
        std::fs::rename(at.join("plain"), at.join("fifo")).expect("renamed");
        std::fs::rename(at.join("aside"), at.join("plain")).expect("renamed");
    });
    let seen = seen_while_swapping(&root, &root.join("sub/private"), "plain", swap);
    assert!(seen.contains("not-permitted") || seen.contains("no-entry"), "{seen}");
}

#[test]
fn a_folder_that_becomes_a_link_outside_is_never_written_through() {
    let folder = fixture();
    let root = folder.path().join("root");
    let outside = folder.path().join("outside");
    std::fs::create_dir_all(root.join("dir")).expect("made");
    symlink("../outside", root.join("way")).expect("linked");
    let at = root.clone();
    let swap = Swapping::start(move || {
        std::fs::rename(at.join("dir"), at.join("aside")).expect("renamed");
        std::fs::rename(at.join("way"), at.join("dir")).expect("renamed");
        std::fs::rename(at.join("dir"), at.join("way")).expect("renamed");
        std::fs::rename(at.join("aside"), at.join("dir")).expect("renamed");
    });
    let each = [
        "write dir/new text",
        "write dir/secret text",
        "create dir/made",
        "make-folder dir/folder",
        "set-times dir/secret",
        "link plain dir/linked",
        "symlink plain dir/pointing",
        "rename dir/secret dir/gone",
        "rename dir/new dir/moved",
        "remove dir/moved",
        "remove dir/secret",
        "remove dir/linked",
        "remove dir/pointing",
        "remove dir/made",
        "remove-folder dir/folder",
    ];
    let options = options(limits(), &[folder_grant("write", &root, "/w")]);
    let mut done = (0, 0);
    // Until both were seen, at most so often: what happened, and what the swap was in the way of.
    for _ in 0..60 {
        let mut arguments = vec!["files", "/w"];
        (0..20).for_each(|_| arguments.extend(each));
        let ending = house().once(misbehave(), &options, &command(&arguments));
        let lines = ending.printed().lines();
        let happened = lines.clone().filter(|line| line.contains(": ok")).count();
        done = (done.0 + happened, done.1 + lines.count() - happened);
        let held = std::fs::read_dir(&outside).expect("read").map(|entry| entry.expect("one"));
        let held: Vec<_> = held.map(|entry| entry.file_name()).collect();
        assert_eq!(held, ["secret"], "something was made outside, or taken away");
        let secret = std::fs::read_to_string(outside.join("secret")).expect("read");
        assert_eq!(secret, SECRET);
    }
    swap.stop();
    assert!(done.0 > 0 && done.1 > 0, "nothing raced: {done:?}");
}

#[test]
fn a_guest_that_opens_files_without_end_is_ended_by_their_limit() {
    let folder = fixture();
    let grants = [folder_grant("read", &folder.path().join("root"), "/w")];
    let hold = command(&["hold", "/w", "plain", "9000"]);
    let ending = house().beside_a_neighbour(misbehave(), &options(limits(), &grants), &hold);
    ending.by_limit("open-files");
    assert!(ending.sentence().contains("--max-open-files"), "{}", ending.sentence());
}

#[test]
fn a_guest_that_makes_sockets_without_end_gets_no_more_and_others_still_open_files() {
    let folder = fixture();
    let grants = [folder_grant("read", &folder.path().join("root"), "/w")];
    let limits = Limits { wall: Duration::from_secs(2), ..limits() };
    // Sockets need no grant to be made; they need one to be used.
    let making = command(&["sockets", "9000"]);
    let holding = house().spawn(misbehave(), options(limits.clone(), &[]), making);
    std::thread::sleep(Duration::from_secs(1));
    let reading = command(&["files", "/w", "read plain"]);
    let read = finish(&house().spawn(misbehave(), options(limits, &grants), reading));
    assert_eq!(read.stdout, "read plain: ok plain\n");
    let held = finish(&holding);
    held.by_limit("time");
    assert!(held.stdout.contains(" sockets: new-socket-limit\nheld 2"), "{held:?}");
}
