//! The bare thing beside which wake-ups are printed: a parked thread that is unparked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a parked thread takes to run after it is unparked, in so many tries: p99.
pub(crate) fn bare_p99(tries: usize) -> Duration {
    let woken = Arc::new(AtomicU64::new(0));
    let (began, seen) = (Instant::now(), Arc::clone(&woken));
    let thread = std::thread::spawn(move || {
        let mut waits = Vec::with_capacity(tries);
        while waits.len() < tries {
            std::thread::park();
            let at = seen.swap(0, Ordering::AcqRel);
            if at > 0 {
                waits.push(began.elapsed().saturating_sub(Duration::from_nanos(at)));
            }
        }
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    });
    while !thread.is_finished() {
        std::thread::sleep(Duration::from_micros(200));
        let now = u64::try_from(began.elapsed().as_nanos()).expect("short");
        woken.store(now.max(1), Ordering::Release);
        thread.thread().unpark();
    }
    thread.join().expect("no panic")
}
