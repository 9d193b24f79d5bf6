//! One guest: its future, and what it is doing.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::{Shared, lock};
use crate::sandbox::state::Turn;
use crate::scheduler::{Event, Pid};

/// What a guest is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Activity {
    /// It waits for something.
    Waiting,
    /// It could go on.
    Ready,
    /// A worker runs it.
    Running,
    /// It is gone.
    Gone,
}

/// How a guest's future came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Gone {
    /// By itself.
    Finished,
    /// It was dropped.
    Killed,
    /// It panicked: the host's own mistake, and only this guest's end.
    Panicked,
}

/// What came of one turn.
pub(super) enum Polled {
    /// It waits for something.
    Waiting,
    /// It could go on at once.
    Ready,
    /// It is over.
    Ended(Gone),
}

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;
type OnGone = Box<dyn FnOnce(Gone) + Send>;

const WAITING: u8 = 0;
const READY: u8 = 1;
const RUNNING: u8 = 2;
/// Woken while it ran: it goes on after this turn.
const WOKEN: u8 = 3;
const GONE: u8 = 4;

/// One guest.
pub(super) struct Task {
    pid: Pid,
    turn: Arc<Turn>,
    state: AtomicU8,
    /// When it became ready, on the executor's clock.
    ready_ns: AtomicU64,
    killed: AtomicBool,
    body: Mutex<Option<(Future, OnGone)>>,
    shared: Weak<Shared>,
}

impl Task {
    pub(super) fn new(
        pid: Pid,
        turn: Arc<Turn>,
        future: Future,
        gone: OnGone,
        shared: Weak<Shared>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pid,
            turn,
            state: AtomicU8::new(WAITING),
            ready_ns: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            body: Mutex::new(Some((future, gone))),
            shared,
        })
    }

    pub(super) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// How long it has been ready, in nanoseconds, where it was woken since the last look.
    pub(super) fn take_wait_ns(&self, now_ns: u64) -> Option<u64> {
        let ready = self.ready_ns.swap(0, Ordering::Relaxed);
        (ready > 0).then(|| now_ns.saturating_sub(ready))
    }

    pub(super) fn activity(&self) -> Activity {
        match self.state.load(Ordering::Acquire) {
            WAITING => Activity::Waiting,
            READY => Activity::Ready,
            RUNNING | WOKEN => Activity::Running,
            _ => Activity::Gone,
        }
    }

    pub(super) fn wake_first(self: &Arc<Self>) {
        self.clone().wake();
    }

    /// Polls the guest once. What has ended is still to be told by [`Task::end`], after the worker
    /// has given it back.
    pub(super) fn poll(self: &Arc<Self>) -> Polled {
        self.state.store(RUNNING, Ordering::Release);
        let mut body = lock(&self.body);
        let Some((future, _)) = body.as_mut() else { return Polled::Waiting };
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        let polled = std::panic::AssertUnwindSafe(|| future.as_mut().poll(&mut context));
        let polled = std::panic::catch_unwind(polled);
        drop(body);
        match polled {
            Ok(Poll::Ready(())) => Polled::Ended(Gone::Finished),
            Err(_panic) => Polled::Ended(Gone::Panicked),
            // A kill that found the future in use left it to this worker.
            Ok(Poll::Pending) if self.killed.load(Ordering::Acquire) => Polled::Ended(Gone::Killed),
            Ok(Poll::Pending) => {
                let (from, to) = (RUNNING, WAITING);
                match self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => Polled::Waiting,
                    Err(_woken) => {
                        self.state.store(READY, Ordering::Release);
                        Polled::Ready
                    }
                }
            }
        }
    }

    /// Ends the guest: here, or where it runs as soon as it yields.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.turn.until_ns(0);
        match self.body.try_lock() {
            Ok(body) => {
                drop(body);
                self.end(Gone::Killed);
            }
            Err(TryLockError::Poisoned(_)) => self.end(Gone::Killed),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Drops the future and tells so, once.
    pub(super) fn end(&self, how: Gone) {
        let Some((future, gone)) = lock(&self.body).take() else { return };
        self.state.store(GONE, Ordering::Release);
        drop(future);
        if let Some(shared) = self.shared.upgrade() {
            shared.forget(self.pid);
        }
        gone(how);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| match state {
            WAITING => Some(READY),
            RUNNING => Some(WOKEN),
            _ => None,
        };
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        if before == Ok(WAITING)
            && let Some(shared) = self.shared.upgrade()
        {
            self.ready_ns.store(shared.now().0, Ordering::Relaxed);
            // Refused only when the guest has left.
            let _left = shared.step(Event::Ready(self.pid));
        }
    }
}
