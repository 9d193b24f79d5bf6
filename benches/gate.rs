//! The gate's verdict on the way that allows: its time, and that it allocates nothing.
//!
//! `cargo bench --bench gate`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use aos_host::capability::authority::Authority;
use aos_host::capability::files::locate::{Follow, locate};
use aos_host::capability::files::{FileOperation, FileRequest};
use aos_host::capability::gate::Request;
use aos_host::capability::grant::Grant;
use aos_host::capability::names::NameRequest;
use aos_host::capability::network::host::Target;
use aos_host::capability::network::verdict::HttpRequest;
use criterion::{BatchSize, Criterion};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator can only be counted by being one")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An authority of some size: the wanted grant is the last of each kind.
fn authority(folder: &std::path::Path) -> Authority {
    let mut texts = Vec::new();
    for n in 0..20 {
        let below = folder.join(format!("root{n}"));
        std::fs::create_dir_all(&below).expect("mkdir");
        texts.push(format!("read:{}:/r{n}", below.display()));
        texts.push(format!("net:GET https://api{n}.example.org"));
        texts.push(format!("env:VARIABLE_{n}"));
    }
    let grants: Vec<Grant> = texts.iter().map(|text| text.parse().expect("a grant")).collect();
    Authority::for_plugin(&|_| false, None, &grants, &[]).expect("an authority")
}

fn allocations_of<T>(what: impl FnOnce() -> T) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    // What is checked is kept until it was counted, so that dropping it costs nothing here.
    let kept = what();
    let count = ALLOCATIONS.with(Cell::get) - before;
    drop(kept);
    count
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = folder.path().canonicalize().expect("a path");
    let authority = authority(&real);
    let root = real.join("root19");
    std::fs::write(root.join("file"), "x").expect("writes");
    let base =
        cap_std::fs::Dir::open_ambient_dir(&root, cap_std::ambient_authority()).expect("opens");
    let file = || {
        let located = locate(&base, "file", Follow::Yes).expect("is there");
        FileRequest::new(located, FileOperation::Read, authority.files())
    };
    let http = || {
        let uri = "https://api19.example.org/v1".parse().expect("a URI");
        HttpRequest { method: http::Method::GET, target: Target::from_uri(&uri).expect("ok") }
    };
    let counts = [
        ("file", {
            let request = file();
            allocations_of(|| request.check(&authority).expect("allowed"))
        }),
        ("http", {
            let request = http();
            allocations_of(|| request.check(&authority).expect("allowed"))
        }),
        ("name", {
            let request = NameRequest::environment("VARIABLE_19");
            allocations_of(|| request.check(&authority).expect("allowed").len())
        }),
    ];
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("gate");
    group.bench_function("file", |b| {
        // A request holds an open folder, so few are made at once.
        let size = BatchSize::NumIterations(200);
        b.iter_batched(file, |request| black_box(request.check(&authority)), size);
    });
    group.bench_function("http", |b| {
        b.iter_batched(http, |request| black_box(request.check(&authority)), BatchSize::SmallInput);
    });
    group.bench_function("name", |b| {
        b.iter(|| {
            let request = NameRequest::environment(black_box("VARIABLE_19"));
            request.check(&authority).is_ok()
        });
    });
    group.finish();
    criterion.final_summary();
    for (name, count) in counts {
        let verdict = if count == 0 { "met" } else { "MISSED" };
        println!("allocations of the verdict on {name}, allowed: {count} (0): {verdict}");
    }
}
