//! Paths that ought to lead nowhere.

use std::collections::BTreeSet;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasip2::io::streams::StreamError;

/// The folder that the host calls `name`.
fn root(name: &str) -> Descriptor {
    let found = get_directories().into_iter().find(|(_, known)| known == name);
    found.unwrap_or_else(|| panic!("no folder {name}")).0
}

/// One operation a step: its name and its paths, as in `rename a b`. Ends with 1 when a step
/// was refused.
pub fn steps(name: &str, steps: &[&str]) {
    let root = root(name);
    let mut refused = 0;
    for step in steps {
        let words: Vec<&str> = step.split(' ').collect();
        match one(&root, &words) {
            Ok(said) => println!("{step}: ok {said}"),
            Err(error) => {
                println!("{step}: {}", error.name());
                refused = 1;
            }
        }
    }
    std::process::exit(refused);
}

fn one(root: &Descriptor, words: &[&str]) -> Result<String, ErrorCode> {
    let follow = PathFlags::SYMLINK_FOLLOW;
    let done = |()| String::new();
    match *words {
        ["read", path] => read(root, path),
        ["write", path, text] => write(root, path, text).map(done),
        ["open-write", path] => {
            let flags = DescriptorFlags::WRITE;
            root.open_at(follow, path, OpenFlags::empty(), flags).map(|_| String::new())
        }
        ["create", path] => {
            let flags = DescriptorFlags::WRITE;
            root.open_at(follow, path, OpenFlags::CREATE, flags).map(|_| String::new())
        }
        ["list", path] => list(root, path),
        ["stat", path] => {
            Ok(root.stat_at(follow, path).map(|stat| format!("{} bytes", stat.size))?)
        }
        ["read-link", path] => root.readlink_at(path),
        ["make-folder", path] => root.create_directory_at(path).map(done),
        ["remove-folder", path] => root.remove_directory_at(path).map(done),
        ["remove", path] => root.unlink_file_at(path).map(done),
        ["rename", from, to] => root.rename_at(from, root, to).map(done),
        ["link", from, to] => root.link_at(PathFlags::empty(), from, root, to).map(done),
        ["symlink", to, path] => root.symlink_at(to, path).map(done),
        ["set-times", path] => {
            let now = NewTimestamp::Now;
            root.set_times_at(follow, path, now, now).map(done)
        }
        _ => panic!("no such step: {words:?}"),
    }
}

fn read(root: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let flags = DescriptorFlags::READ;
    let file = root.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), flags)?;
    let (bytes, _) = file.read(4096, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Creates or empties, and writes in two pieces.
fn write(root: &Descriptor, path: &str, text: &str) -> Result<(), ErrorCode> {
    let open = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = root.open_at(PathFlags::SYMLINK_FOLLOW, path, open, DescriptorFlags::WRITE)?;
    let (head, tail) = text.as_bytes().split_at(text.len() / 2);
    file.write(head, 0)?;
    file.write(tail, head.len() as u64)?;
    Ok(())
}

fn list(root: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let flags = DescriptorFlags::READ;
    let folder = root.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::DIRECTORY, flags)?;
    let stream = folder.read_directory()?;
    let mut names = BTreeSet::new();
    while let Some(entry) = stream.read_directory_entry()? {
        names.insert(entry.name);
    }
    Ok(names.into_iter().collect::<Vec<_>>().join(","))
}

/// Opens one file often and keeps all of it.
pub fn hold(name: &str, path: &str, count: usize) {
    let root = root(name);
    let flags = DescriptorFlags::READ;
    let mut held = Vec::new();
    for _ in 0..count {
        match root.open_at(PathFlags::empty(), path, OpenFlags::empty(), flags) {
            Ok(file) => held.push(file),
            Err(error) => {
                println!("{} files: {}", held.len(), error.name());
                break;
            }
        }
    }
    println!("held {}", held.len());
    crate::resources::sleep();
}

/// Begins to list a folder often and keeps all of it.
pub fn lists(name: &str, count: usize) {
    let root = root(name);
    let held: Vec<_> = (0..count).map(|_| root.read_directory()).collect();
    println!("held {}", held.iter().filter(|list| list.is_ok()).count());
}

/// Reads one path over and over, at least `count` times and until it has given two different
/// things, and tells everything that it ever gave.
pub fn race(name: &str, path: &str, count: usize) {
    let root = root(name);
    let mut seen = BTreeSet::new();
    let mut reads = 0;
    while reads < count || seen.len() < 2 {
        reads += 1;
        seen.insert(match read(&root, path) {
            Ok(text) => text,
            Err(error) => error.name().to_owned(),
        });
    }
    println!("{}", seen.into_iter().collect::<Vec<_>>().join("|"));
}

/// Many small writes by a stream.
pub fn append(name: &str, path: &str, count: usize) {
    let flags = DescriptorFlags::WRITE;
    let file = root(name).open_at(PathFlags::empty(), path, OpenFlags::CREATE, flags);
    let stream = file.expect("opens").append_via_stream().expect("a stream");
    for _ in 0..count {
        match stream.blocking_write_and_flush(b"x") {
            Ok(()) => {}
            Err(StreamError::Closed) => panic!("closed"),
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
    println!("appended {count}");
}

/// Looks for `count` files with long names of which none is there.
pub fn long_names(name: &str, count: usize) {
    let root = root(name);
    for number in 0..count {
        let path = format!("{number}{}", "\u{1}".repeat(4000));
        assert!(root.stat_at(PathFlags::empty(), &path).is_err());
    }
    println!("looked for {count}");
}

pub fn long_path(name: &str, bytes: usize) {
    let path = "x".repeat(bytes);
    let flags = DescriptorFlags::READ;
    let opened = root(name).open_at(PathFlags::empty(), &path, OpenFlags::empty(), flags);
    println!("long path: {}", opened.map_or_else(|error| error.name(), |_| "opened"));
}

pub fn long_link(name: &str, bytes: usize) {
    let made = root(name).symlink_at(&"x".repeat(bytes), "long");
    println!("long link: {}", made.map_or_else(|error| error.name(), |()| "made"));
}
