//! Guests that try to leave the folders they were given.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use aos_host::kernel::SessionOptions;
use tempfile::TempDir;

use super::house::{Ending, command, folder_grant, house, limits, misbehave, options, overlap};

/// What no guest may ever print.
pub const SECRET: &str = "the-secret";

/// A folder with a granted one in it, `root`, and a secret beside it.
pub fn fixture() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("sub/private")).expect("made");
    std::fs::create_dir_all(folder.path().join("outside")).expect("made");
    std::fs::write(folder.path().join("outside/secret"), SECRET).expect("written");
    std::fs::write(root.join("sub/private/key"), SECRET).expect("written");
    std::fs::write(root.join("plain"), "plain").expect("written");
    folder
}

/// The same with a guest of 0.2 and one of 0.3; what they are told must be the same. For steps
/// that change nothing.
#[track_caller]
fn both(options: &SessionOptions, root: &str, steps: &[&str]) -> Ending {
    let mut arguments = vec!["files", root];
    arguments.extend(steps);
    let (what, house) = (command(&arguments), house());
    let elder = house.once(misbehave(), options, &what);
    let younger = house.once(overlap(), options, &what);
    assert_eq!(elder.printed(), younger.printed());
    younger
}

/// The options for `/w`, which is `root` of the fixture.
fn on_fixture(folder: &Path, capability: &str) -> SessionOptions {
    let mut options = options(limits(), &[folder_grant(capability, &folder.join("root"), "/w")]);
    options.denied_paths = vec![folder.join("root/sub/private")];
    options
}

/// Runs steps on `/w`, with a neighbour beside it.
fn steps(folder: &Path, capability: &str, steps: &[&str]) -> Ending {
    let mut arguments = vec!["files", "/w"];
    arguments.extend(steps);
    let options = on_fixture(folder, capability);
    let ending = house().once(misbehave(), &options, &command(&arguments));
    assert!(!ending.stdout.contains(SECRET), "{ending:?}");
    ending
}

/// Runs steps of which none may happen, in both versions of WASI.
#[track_caller]
fn refused(folder: &Path, capability: &str, steps: &[&str]) {
    let ending = both(&on_fixture(folder, capability), "/w", steps);
    assert!(!ending.stdout.contains(SECRET), "{ending:?}");
    all_refused(&ending, steps.len());
}

/// Fails unless each line that was printed is a step that was refused.
#[track_caller]
fn all_refused(ending: &Ending, count: usize) {
    let lines: Vec<_> = ending.printed().lines().collect();
    assert_eq!(lines.len(), count, "{ending:?}");
    for line in lines {
        assert!(!line.contains(": ok"), "{line}");
    }
}

#[test]
fn what_is_granted_is_given() {
    let folder = fixture();
    let ending = steps(folder.path(), "write", &["read plain", "write new text", "list ."]);
    assert_eq!(
        ending.printed(),
        "read plain: ok plain\nwrite new text: ok \nlist .: ok new,plain,sub\n"
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("root/new")).expect("read"), "text");
}

#[test]
fn paths_that_lead_out_are_refused() {
    let folder = fixture();
    let absolute = format!("read {}/outside/secret", folder.path().display());
    let tries = [
        "read ../outside/secret",
        "read sub/../../outside/secret",
        "read ./../root/../outside/secret",
        "read sub/private/../../../outside/secret",
        "read /etc/passwd",
        absolute.as_str(),
        "read //etc/passwd",
        "list ..",
        "list /",
        "write ../outside/new text",
        "make-folder ../outside/new",
        "rename plain ../outside/plain",
        "rename ../outside/secret plain",
        "link ../outside/secret linked",
        "remove ../outside/secret",
        "set-times ../outside/secret",
        "stat ../outside/secret",
    ];
    refused(folder.path(), "write", &tries);
    let outside = std::fs::read_dir(folder.path().join("outside")).expect("listed");
    assert_eq!(outside.count(), 1);
}

#[test]
fn links_that_lead_out_are_refused() {
    let folder = fixture();
    let root = folder.path().join("root");
    symlink("../outside/secret", root.join("relative")).expect("linked");
    symlink(folder.path().join("outside/secret"), root.join("absolute")).expect("linked");
    symlink("../outside", root.join("folder")).expect("linked");
    symlink("folder/secret", root.join("twice")).expect("linked");
    let tries = [
        "read relative",
        "read absolute",
        "read folder/secret",
        "read folder/../secret",
        "read twice",
        "list folder",
        "list folder/",
        "write relative text",
        "write folder/new text",
        "create twice",
        "stat relative",
        "set-times relative",
        "make-folder folder/new",
        "rename folder/secret here",
        "link folder/secret here",
        "remove folder/secret",
    ];
    refused(folder.path(), "write", &tries);
    let secret = std::fs::read_to_string(folder.path().join("outside/secret")).expect("read");
    assert_eq!(secret, SECRET);
}

#[test]
fn a_link_that_the_guest_makes_itself_leads_nowhere_either() {
    let folder = fixture();
    refused(
        folder.path(),
        "write",
        &[
            "symlink /etc/passwd absolute",
            "symlink ../outside/secret relative",
            "read relative",
            "symlink ../outside way",
            "read way/secret",
            "write way/new text",
            "symlink ../../outside sub/way",
            "symlink sub/../../outside way",
            // After a name, which may be a link, nobody knows where `..` leads.
            "symlink sub/../plain way",
            "symlink .. way",
        ],
    );
    assert!(!folder.path().join("outside/new").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("root")).expect("listed").count(), 2);
    let inside = ["symlink ../plain sub/up", "read sub/up", "symlink . here", "read here/plain"];
    let ending = steps(folder.path(), "write", &inside);
    assert_eq!(
        ending.printed(),
        "symlink ../plain sub/up: ok \nread sub/up: ok plain\nsymlink . here: ok \n\
         read here/plain: ok plain\n"
    );
}

#[test]
fn a_path_that_ends_in_a_slash_means_a_folder_or_nothing() {
    let folder = fixture();
    let root = folder.path().join("root");
    symlink("sub", root.join("to-sub")).expect("linked");
    std::fs::create_dir(root.join("empty")).expect("made");
    symlink("empty", root.join("to-empty")).expect("linked");
    symlink("plain", root.join("to-plain")).expect("linked");
    symlink("plain/", root.join("to-plain-slash")).expect("linked");
    for (step, said) in [
        ("read plain/", "not-directory"),
        ("stat plain/", "not-directory"),
        ("set-times plain/", "not-directory"),
        ("read-link plain/", "not-directory"),
        ("remove plain/", "not-directory"),
        ("rename plain/ other", "not-directory"),
        ("rename plain other/", "not-directory"),
        ("link plain/ other", "not-directory"),
        ("link plain other/", "no-entry"),
        ("symlink plain other/", "no-entry"),
        ("create other/", "is-directory"),
        ("write other/ text", "is-directory"),
        ("read to-plain/", "not-directory"),
        ("read to-plain-slash", "not-directory"),
        ("remove to-plain/", "not-directory"),
        ("remove empty/", "is-directory"),
        ("read-link to-sub/", "invalid"),
        ("remove to-empty/", "is-directory"),
        ("remove-folder to-sub/", "not-directory"),
        ("make-folder to-sub/", "exist"),
        ("stat missing/", "no-entry"),
    ] {
        let ending = both(&on_fixture(folder.path(), "write"), "/w", &[step]);
        assert_eq!(ending.printed(), format!("{step}: {said}\n"));
    }
    assert_eq!(std::fs::read_to_string(root.join("plain")).expect("there"), "plain");
    assert!(!root.join("other").exists());
    let ending = steps(
        folder.path(),
        "write",
        &["make-folder new/", "rename new/ moved/", "list to-sub/", "remove-folder moved/"],
    );
    assert_eq!(
        ending.printed(),
        "make-folder new/: ok \nrename new/ moved/: ok \nlist to-sub/: ok private\n\
         remove-folder moved/: ok \n"
    );
}

#[test]
fn a_denied_file_is_closed_under_its_other_hard_links_too() {
    let folder = fixture();
    let root = folder.path().join("root");
    std::fs::write(root.join("closed"), SECRET).expect("written");
    std::fs::hard_link(root.join("closed"), root.join("sub/twin")).expect("linked");
    symlink("sub/twin", root.join("to-twin")).expect("linked");
    let mut options = options(limits(), &[folder_grant("write", &root, "/w")]);
    options.denied_paths = vec![root.join("closed")];
    let tries = [
        "read closed",
        "read sub/twin",
        "read to-twin",
        "stat sub/twin",
        "write sub/twin text",
        "link sub/twin free",
        "rename sub/twin free",
        "rename plain sub/twin",
        "remove sub/twin",
        "set-times sub/twin",
    ];
    let ending = both(&options, "/w", &tries);
    all_refused(&ending, tries.len());
    assert!(!ending.stdout.contains(SECRET));
    assert_eq!(std::fs::read_to_string(root.join("sub/twin")).expect("there"), SECRET);
}

#[test]
fn a_folder_of_many_files_is_listed_whole_and_an_open_list_counts_as_a_file() {
    let folder = fixture();
    let many = folder.path().join("root/many");
    std::fs::create_dir(&many).expect("made");
    for n in 0..5_000 {
        std::fs::write(many.join(format!("{n:05}")), "").expect("written");
    }
    let ending = both(&on_fixture(folder.path(), "read"), "/w", &["list many"]);
    let names = ending.printed().trim().split(',').count();
    assert_eq!(names, 5_000);
    let grants = [folder_grant("read", &folder.path().join("root"), "/w")];
    let lists = command(&["lists", "/w", "9000"]);
    let ending = house().once(misbehave(), &options(limits(), &grants), &lists);
    ending.by_limit("open-files");
    let lists = command(&["lists", "/w", "300"]);
    let ending = house().once(overlap(), &options(limits(), &grants), &lists);
    ending.by_limit("open-files");
}

#[test]
fn magic_links_of_proc_are_not_followed() {
    let folder = fixture();
    let grant = folder_grant("read", Path::new("/proc"), "/w");
    let secret = format!("read self/root{}/outside/secret", folder.path().display());
    let tries = [
        secret.as_str(),
        "read self/root/etc/passwd",
        "read thread-self/root/etc/passwd",
        "list self/cwd",
        "list self/root",
        "list self/root/",
        "read self/exe",
        "read self/fd/0",
        "read self/fd/1",
        "list self/task/../root",
    ];
    all_refused(&both(&options(limits(), &[grant]), "/w", &tries), tries.len());
}

#[test]
fn what_is_neither_file_nor_folder_is_refused_at_once() {
    let folder = fixture();
    let root = folder.path().join("root");
    let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status();
    assert!(made.expect("coreutils").success());
    let _listening = UnixListener::bind(root.join("socket")).expect("bound");
    symlink("fifo", root.join("to-fifo")).expect("linked");
    let tries = [
        "read fifo",
        "open-write fifo",
        "create fifo",
        "write fifo text",
        "read to-fifo",
        "read fifo/",
        "read fifo/below",
        "list fifo",
        "read socket",
        "open-write socket",
    ];
    refused(folder.path(), "write", &tries);
    let tries = ["read null", "read zero", "read tty", "open-write null", "create null"];
    let options = options(limits(), &[folder_grant("write", Path::new("/dev"), "/w")]);
    all_refused(&both(&options, "/w", &tries), tries.len());
}

#[test]
fn a_denied_path_has_no_other_name() {
    let folder = fixture();
    symlink("private", folder.path().join("root/sub/alias")).expect("linked");
    symlink("sub/private/key", folder.path().join("root/key")).expect("linked");
    let tries = [
        "read sub/private/key",
        "read sub/./private/key",
        "read sub/../sub/private/key",
        "list sub/private",
        "read sub/alias/key",
        "list sub/alias",
        "list sub/alias/",
        "read key",
        "stat key",
        "write sub/private/key text",
        "write sub/private/new text",
        "write key text",
        "make-folder sub/private/new",
        "link sub/private/key free",
        "rename sub/private/key free",
        "rename sub/private free",
        "rename sub free",
        "rename plain sub/private/key",
        "link plain sub/private/new",
        "symlink plain sub/private/new",
        "remove sub/private/key",
        "remove-folder sub/private",
        "set-times sub/private/key",
        "set-times key",
    ];
    refused(folder.path(), "write", &tries);
    let key = std::fs::read_to_string(folder.path().join("root/sub/private/key")).expect("read");
    assert_eq!(key, SECRET);
    // A link to it may be made: it leads to where the guest may not go.
    let made =
        ["symlink sub/private/key own", "read own", "symlink sub hop", "read hop/private/key"];
    let ending = steps(folder.path(), "write", &made);
    let lines: Vec<_> = ending.printed().lines().collect();
    assert!(lines[0].ends_with(": ok ") && !lines[1].contains(": ok"), "{lines:?}");
    assert!(lines[2].ends_with(": ok ") && !lines[3].contains(": ok"), "{lines:?}");
}

#[test]
fn a_folder_for_reading_is_not_written() {
    let folder = fixture();
    let tries = [
        "write plain text",
        "write new text",
        "create new",
        "open-write plain",
        "make-folder new",
        "remove plain",
        "rename plain other",
        "link plain other",
        "symlink plain other",
        "remove-folder sub",
        "set-times plain",
    ];
    refused(folder.path(), "read", &tries);
    assert_eq!(std::fs::read_to_string(folder.path().join("root/plain")).expect("read"), "plain");
}

#[test]
fn a_name_that_is_not_there_is_told_as_such_and_not_as_a_denial() {
    let folder = fixture();
    let options = on_fixture(folder.path(), "read");
    let ending = both(&options, "/w", &["read missing", "read plain/below"]);
    assert_eq!(ending.printed(), "read missing: no-entry\nread plain/below: not-directory\n");
}

#[test]
fn endless_names_are_refused_and_do_not_break_the_journal() {
    let folder = fixture();
    let grants = [folder_grant("write", &folder.path().join("root"), "/w")];
    let ending = |arguments: &[&str]| {
        house().once(misbehave(), &options(limits(), &grants), &command(arguments))
    };
    assert_eq!(ending(&["long-path", "/w", "2000000"]).printed(), "long path: name-too-long\n");
    assert_eq!(ending(&["long-path", "/", "2000000"]).printed(), "long path: name-too-long\n");
    assert_eq!(ending(&["long-link", "/w", "2000000"]).printed(), "long link: name-too-long\n");
    assert_eq!(ending(&["long-names", "/w", "300"]).printed(), "looked for 300\n");
}
