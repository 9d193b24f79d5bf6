//! The pager's bookkeeping: what an append, a render and a page cost beside tokens and hashes.
//!
//! `cargo bench --bench pager`, or one of its figures: `cargo bench --bench pager -- swap-in`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aos_host::pager::layout::BreakpointRules;
use aos_host::pager::policy::{self, Policy};
use aos_host::pager::recall::{Document, Index};
use aos_host::pager::{
    Budget, Chars4, Context, Kind, Measured, NewPage, PageId, Part, Relation, TailBlock, Tokenizer,
    record,
};
use aos_host::storage::pages::{ContextRecord, PageBatch};
use aos_host::storage::{ChainId, Digest, StoreUrl};

/// Counts the bytes that are held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator can only be counted by being one")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds of each figure; the best is told, since others may use the machine.
const ROUNDS: usize = 7;
/// Sixteen words, 80 to 90 characters: a turn of talk.
const WORDS: [&str; 16] = [
    "flight",
    "seat",
    "booking",
    "reservation",
    "lisbon",
    "morning",
    "bag",
    "price",
    "card",
    "gold",
    "window",
    "refund",
    "monday",
    "passenger",
    "delay",
    "hotel",
];

fn text(n: usize) -> String {
    let word = |at: usize| WORDS[(n.wrapping_mul(2_654_435_761) >> at) % WORDS.len()];
    let words: Vec<&str> = (0..12).map(word).collect();
    format!("{n} {}", words.join(" "))
}

fn pages(count: usize) -> Vec<Measured> {
    (0..count)
        .map(|n| {
            let kind = if n % 2 == 0 { Kind::User } else { Kind::Assistant };
            NewPage::text(kind, text(n)).measure(&Chars4)
        })
        .collect()
}

fn context(window_tokens: u64) -> Context {
    let mut context = Context::new(Budget::tokens(window_tokens), Arc::new(Chars4));
    let head = NewPage::text(Kind::System, "You help.").measure(&Chars4);
    context.append(head).expect("a head");
    context
}

fn best(mut round: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

fn a_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn append_without_eviction() {
    const COUNT: usize = 100_000;
    let took = best(|| {
        let (mut context, new) = (context(u64::MAX / 2), pages(COUNT));
        let start = Instant::now();
        for page in new {
            black_box(context.append(page).expect("appends"));
            black_box(context.plan(0).expect("plans"));
        }
        start.elapsed()
    });
    println!("append, no eviction    {:>10.0} pages/s   (budget 500,000)", a_second(COUNT, took));
}

/// Ten thousand pages are resident when the window is full.
fn append_with_eviction() {
    const COUNT: usize = 60_000;
    let tokens = pages(1_000).iter().map(|page| page.tokens).sum::<u64>() / 1_000;
    let (mut most, mut evictions) = (0, 0);
    let took = best(|| {
        let (mut context, new) = (context(tokens * 10_500), pages(COUNT));
        let start = Instant::now();
        for page in new {
            context.append(page).expect("appends");
            context.sent();
            if let Some(eviction) = context.plan(0).expect("plans") {
                most = most.max(context.entries().len());
                context.apply(&eviction).expect("applies");
            }
        }
        let took = start.elapsed();
        evictions = context.usage().evictions;
        took
    });
    println!(
        "append, {most} resident {:>10.0} pages/s   (budget 200,000; {evictions} evictions)",
        a_second(COUNT, took)
    );
}

fn measure() {
    const COUNT: usize = 20_000;
    for tokenizer in Tokenizer::ALL {
        let counter = tokenizer.counter();
        let took = best(|| {
            let new: Vec<NewPage> =
                (0..COUNT).map(|n| NewPage::text(Kind::User, text(n))).collect();
            let start = Instant::now();
            for page in new {
                black_box(page.measure(&*counter));
            }
            start.elapsed()
        });
        let name = tokenizer.name();
        println!("measured by {name:8}   {:>10.0} pages/s   (apart)", a_second(COUNT, took));
    }
}

/// A page that has left the window, from the file it is in: what `read` of such a page waits for.
fn swap_in() {
    const COUNT: usize = 10_000;
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("pages.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let store = url.parse::<StoreUrl>().expect("a store").open().await.expect("opens");
        let all = pages(COUNT);
        for some in all.chunks(1_000) {
            let context = ContextRecord {
                id: ChainId([1; 16]),
                pid: 1,
                name: "bench".into(),
                updated_us: 0,
                state: "{}".into(),
                layout: "{}".into(),
            };
            let content = |page: &Measured| (Digest(page.hash.0), record::encode(&page.page.parts));
            let contents = some.iter().map(content).collect();
            let batch = PageBatch { context, pages: Vec::new(), contents, pages_end: None };
            store.pages().put(&batch).await.expect("writes");
        }
        let mut took = Vec::with_capacity(2_000);
        for n in 0..2_000 {
            let hash = all[n * 7_919 % COUNT].hash;
            let start = Instant::now();
            let body = store.pages().content(Digest(hash.0)).await.expect("reads");
            let body = body.expect("is there");
            black_box(record::decode(&body, &hash).expect("as it was"));
            took.push(start.elapsed());
        }
        took.sort_unstable();
        let (p50, p95) = (took[took.len() / 2], took[took.len() * 95 / 100]);
        let us = |took: Duration| took.as_secs_f64() * 1e6;
        println!(
            "swap-in from SQLite    {:>10.0} µs p50, {:.0} µs p95 (budget 300)",
            us(p50),
            us(p95)
        );
    });
}

fn render() {
    let mut context = context(u64::MAX / 2);
    pages(1_000).into_iter().for_each(|page| drop(context.append(page).expect("appends")));
    context.sent();
    let tail = [TailBlock { page: None, text: "it is Monday".into() }];
    let took = best(|| {
        let start = Instant::now();
        for _ in 0..100 {
            black_box(context.render(&tail, &BreakpointRules::default()).expect("renders"));
        }
        start.elapsed() / 100
    });
    println!("render of 1,000 pages  {:>10.1} µs        (budget 200)", took.as_secs_f64() * 1e6);
}

/// Bytes that a page takes beside its words, in the window and out of it.
fn bookkeeping() {
    const COUNT: usize = 50_000;
    let page = |n: usize| {
        let relation = Relation { reply: Some(n as u64), call: None };
        let parts = vec![Part::text(text(n))];
        NewPage { parts, relation, ..NewPage::text(Kind::Assistant, "") }.measure(&Chars4)
    };
    let words: usize = (0..COUNT).map(|n| text(n).len()).sum();
    let before = HELD.load(Ordering::Relaxed);
    let mut context = context(u64::MAX / 2);
    (0..COUNT).for_each(|n| drop(context.append(page(n)).expect("appends")));
    let held = HELD.load(Ordering::Relaxed) - before;
    let resident = (held - words) / COUNT;
    let mut index = Index::new();
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..COUNT {
        let (speaker, session, said_at) = (None, None, None);
        index.add(Document { id: PageId(n as u64), text: &text(n), speaker, session, said_at });
    }
    let indexed = (HELD.load(Ordering::Relaxed) - before) / COUNT;
    black_box((&context, &index));
    println!("bookkeeping of a page  {resident:>10} bytes     (budget 1,024; beside its text)");
    println!("recall index of a page {indexed:>10} bytes     (built on demand)");
}

fn recall() {
    const COUNT: usize = 20_000;
    let mut index = Index::new();
    let start = Instant::now();
    for n in 0..COUNT {
        let (speaker, session, said_at) = (None, None, None);
        index.add(Document { id: PageId(n as u64), text: &text(n), speaker, session, said_at });
    }
    println!("recall index           {:>10.0} pages/s", a_second(COUNT, start.elapsed()));
    let mut took: Vec<Duration> = (0..200)
        .map(|n| {
            let query = format!("what about the {} and {}?", WORDS[n % 16], text(n * 7));
            let start = Instant::now();
            black_box(index.rank(&query, 50));
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("query of 20,000 pages  {:>10.2} ms p50, {:.2} ms p99", ms(p50), ms(p99));
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Misses of each policy on a skewed trace with scans in it.
fn policies() {
    let trace: Vec<u64> = (0..400_000_u64)
        .scan(7_u64, |state, at| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = *state >> 33;
            let hot = (draw % 20_000) * (draw / 20_000 % 20_000) / 20_000;
            Some(if at % 5_000 < 1_000 { 100_000 + at } else { hot })
        })
        .collect();
    let all: [(&str, Box<dyn Policy>); 5] = [
        ("LRU", Box::new(policy::Lru::new(2_000))),
        ("LFU", Box::new(policy::Lfu::new(2_000))),
        ("ARC", Box::new(policy::Arc::new(2_000))),
        ("S3-FIFO", Box::new(policy::S3Fifo::new(2_000))),
        ("worth", Box::new(policy::Worth::new(2_000))),
    ];
    for (name, mut policy) in all {
        let start = Instant::now();
        let missed = policy::misses(&mut *policy, trace.iter().copied());
        let ratio = 100.0 * missed as f64 / trace.len() as f64;
        let speed = a_second(trace.len(), start.elapsed());
        println!("policy {name:8} {ratio:>5.1} % misses, {speed:>10.0} accesses/s");
    }
}

/// All figures, or those whose names begin with the first argument: `-- swap-in`.
fn main() {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with('-')).unwrap_or_default();
    let figures: [(&str, fn()); 8] = [
        ("append", append_without_eviction),
        ("append-evicting", append_with_eviction),
        ("measure", measure),
        ("swap-in", swap_in),
        ("render", render),
        ("bookkeeping", bookkeeping),
        ("recall", recall),
        ("policies", policies),
    ];
    for (_, figure) in figures.into_iter().filter(|(name, _)| name.starts_with(&wanted)) {
        figure();
    }
}
