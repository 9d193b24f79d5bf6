//! Files by streams.

use std::collections::BTreeSet;

use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_stream;

use crate::output::say;

/// The folder that the host calls `name`.
fn root(name: &str) -> Descriptor {
    let found = get_directories().into_iter().find(|(_, known)| known == name);
    found.unwrap_or_else(|| panic!("no folder {name}")).0
}

/// The error's name, as WIT has it.
fn name(error: &ErrorCode) -> String {
    let debug = format!("{error:?}");
    let mut name = String::new();
    for letter in debug.rsplit("::").next().unwrap_or_default().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// One operation a step: its name and its paths, as in `rename a b`. Fails when a step was refused.
pub async fn steps(name_of_root: &str, steps: &[&str]) -> Result<(), ()> {
    let root = root(name_of_root);
    let mut ended = Ok(());
    for step in steps {
        let words: Vec<&str> = step.split(' ').collect();
        match one(&root, &words).await {
            Ok(said) => say(&format!("{step}: ok {said}")).await,
            Err(error) => {
                say(&format!("{step}: {}", name(&error))).await;
                ended = Err(());
            }
        }
    }
    ended
}

async fn one(root: &Descriptor, words: &[&str]) -> Result<String, ErrorCode> {
    let (follow, write) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::WRITE);
    let done = |()| String::new();
    let path = |word: &str| word.to_owned();
    match *words {
        ["read", p] => read(root, p).await,
        ["write", p, text] => self::write(root, p, text).await.map(done),
        ["open-write", p] => {
            let opened = root.open_at(follow, path(p), OpenFlags::empty(), write);
            opened.await.map(|_| String::new())
        }
        ["create", p] => {
            let opened = root.open_at(follow, path(p), OpenFlags::CREATE, write);
            opened.await.map(|_| String::new())
        }
        ["list", p] => list(root, p).await,
        ["stat", p] => {
            root.stat_at(follow, path(p)).await.map(|stat| format!("{} bytes", stat.size))
        }
        ["read-link", p] => root.readlink_at(path(p)).await,
        ["make-folder", p] => root.create_directory_at(path(p)).await.map(done),
        ["remove-folder", p] => root.remove_directory_at(path(p)).await.map(done),
        ["remove", p] => root.unlink_file_at(path(p)).await.map(done),
        ["rename", from, to] => root.rename_at(path(from), root, path(to)).await.map(done),
        ["link", from, to] => {
            root.link_at(PathFlags::empty(), path(from), root, path(to)).await.map(done)
        }
        ["symlink", to, p] => root.symlink_at(path(to), path(p)).await.map(done),
        ["set-times", p] => {
            let now = NewTimestamp::Now;
            root.set_times_at(follow, path(p), now, now).await.map(done)
        }
        ["resize", p, bytes] => {
            let file = root.open_at(follow, path(p), OpenFlags::empty(), write).await?;
            file.set_size(bytes.parse().expect("a number")).await.map(done)
        }
        // Writing to what was opened for reading.
        ["sneak", p, text] => {
            let read = DescriptorFlags::READ;
            let file = root.open_at(follow, path(p), OpenFlags::empty(), read).await?;
            put(&file, text.as_bytes(), Some(0)).await.map(done)
        }
        _ => panic!("no such step: {words:?}"),
    }
}

async fn read(root: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let flags = DescriptorFlags::READ;
    let opened = root.open_at(PathFlags::SYMLINK_FOLLOW, path.into(), OpenFlags::empty(), flags);
    let (bytes, ended) = opened.await?.read_via_stream(0);
    let text = String::from_utf8_lossy(&bytes.collect().await).into_owned();
    ended.await.map(|()| text)
}

/// Writes bytes by a stream: at an offset, or at the end.
async fn put(file: &Descriptor, bytes: &[u8], offset: Option<u64>) -> Result<(), ErrorCode> {
    let (mut sending, receiving) = wit_stream::new();
    let written = match offset {
        Some(offset) => file.write_via_stream(receiving, offset),
        None => file.append_via_stream(receiving),
    };
    sending.write_all(bytes.to_vec()).await;
    drop(sending);
    written.await
}

/// Creates or empties, and writes in two pieces.
async fn write(root: &Descriptor, path: &str, text: &str) -> Result<(), ErrorCode> {
    let open = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let flags = DescriptorFlags::WRITE;
    let file = root.open_at(PathFlags::SYMLINK_FOLLOW, path.into(), open, flags).await?;
    let (head, tail) = text.as_bytes().split_at(text.len() / 2);
    put(&file, head, Some(0)).await?;
    put(&file, tail, Some(head.len() as u64)).await
}

async fn list(root: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let flags = DescriptorFlags::READ;
    let opened = root.open_at(PathFlags::SYMLINK_FOLLOW, path.into(), OpenFlags::DIRECTORY, flags);
    let (names, ended) = opened.await?.read_directory();
    let names: BTreeSet<_> = names.collect().await.into_iter().map(|entry| entry.name).collect();
    ended.await.map(|()| names.into_iter().collect::<Vec<_>>().join(","))
}

/// Many small writes by one stream.
pub async fn append(name_of_root: &str, path: &str, count: usize) {
    let root = root(name_of_root);
    let flags = DescriptorFlags::WRITE;
    let opened = root.open_at(PathFlags::empty(), path.into(), OpenFlags::CREATE, flags);
    let file = opened.await.expect("opens");
    let (mut sending, receiving) = wit_stream::new();
    let written = file.append_via_stream(receiving);
    for _ in 0..count {
        assert!(sending.write_all(vec![b'x']).await.is_empty());
    }
    drop(sending);
    written.await.expect("written");
    say(&format!("appended {count}")).await;
}

/// Opens a file often and keeps a stream of each, but not the file.
pub async fn hold(name_of_root: &str, path: &str, count: usize) {
    let root = root(name_of_root);
    let mut held = Vec::new();
    for _ in 0..count {
        let flags = DescriptorFlags::READ;
        let opened = root.open_at(PathFlags::empty(), path.into(), OpenFlags::empty(), flags);
        held.push(opened.await.expect("opens").read_via_stream(0));
    }
    say(&format!("held {}", held.len())).await;
}

/// Lists a folder often and keeps the lists, of which nothing is read.
pub async fn lists(name_of_root: &str, count: usize) {
    let root = root(name_of_root);
    let held: Vec<_> = (0..count).map(|_| root.read_directory()).collect();
    say(&format!("held {}", held.len())).await;
}

/// Opens a file often, all at once, and keeps what it gets.
pub async fn open_at_once(name_of_root: &str, path: &str, count: usize) {
    let root: &'static Descriptor = Box::leak(Box::new(root(name_of_root)));
    let opening: Vec<_> = (0..count)
        .map(|_| {
            let flags = DescriptorFlags::READ;
            let opened = root.open_at(PathFlags::empty(), path.into(), OpenFlags::empty(), flags);
            spawn_local(opened)
        })
        .collect();
    let mut held = Vec::new();
    for opened in opening {
        held.push(opened.await.expect("not dropped").expect("opens"));
    }
    say(&format!("held {}", held.len())).await;
}
