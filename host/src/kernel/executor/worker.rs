//! One worker: asks who is next, runs it for its turn, and gives it back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::task::Polled;
use super::{Shared, lock};
use crate::sandbox::meter::thread_cpu_ns;
use crate::scheduler::{Event, Slice, Stop, WorkerId};

/// Works until the executor stops.
pub(super) fn work(shared: &Arc<Shared>, worker: WorkerId) {
    let own = &shared.workers[usize::from(worker.0)];
    let _first = own.set(std::thread::current());
    while !shared.stopping.load(Ordering::Acquire) {
        match shared.next_cpu(worker) {
            Some(slice) => run(shared, worker, slice),
            // A wake that came before this makes it return at once.
            None => std::thread::park(),
        }
    }
}

fn run(shared: &Shared, worker: WorkerId, slice: Slice) {
    let task = lock(&shared.tasks).get(&slice.pid).cloned();
    let began = Instant::now();
    let polled = task.as_ref().map_or(Polled::Waiting, |task| {
        if let Some(wait_ns) = task.take_wait_ns(shared.now().0) {
            shared.waits.add(wait_ns);
        }
        task.turn().until_ns(slice.until.0);
        let before = thread_cpu_ns();
        let polled = task.poll();
        task.turn().ran(thread_cpu_ns().saturating_sub(before));
        polled
    });
    let ran_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let why = match polled {
        Polled::Ready => Stop::StillReady,
        Polled::Waiting | Polled::Ended(_) => Stop::Blocked,
    };
    // It was given out to this worker, so it can be given back.
    let _fits = shared.step(Event::Stopped { worker, ran_ns, why });
    if let (Polled::Ended(how), Some(task)) = (polled, task) {
        task.end(how);
    }
}
