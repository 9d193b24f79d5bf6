//! Guests as futures, polled by worker threads that ask the scheduler who is next.
//!
//! It owns the scheduler and does what its actions say: wakes workers, ends turns early, and hands
//! each call's signals to whoever waits for them. It knows nothing of agents, models or tools.
//!
//! # Order
//! Every step takes one short lock. Actions are queued under that lock and carried out after it, by
//! one thread at a time, in the order in which the scheduler gave them; so an action may wake a
//! guest, and the guest's own step finds no lock held.

mod latency;
mod task;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::latency::Histogram;
pub use self::latency::Latency;
use self::task::Task;
pub(super) use self::task::{Activity, Gone};
use crate::sandbox::state::Turn;
use crate::scheduler::{
    Action, Event, Exhausted, Misuse, Moment, Options, Pid, Rejection, Scheduler, Slice, Ticket,
    WorkerId,
};

/// What the scheduler says of one call, to whoever waits for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Signal {
    /// It has its slot. A model call's most output, in tokens; a tool call's is 0.
    Start(u64),
    /// Something far more urgent needs the slot: stop, and wait for the next start.
    Cut,
    /// Stop for good.
    Abort,
    /// It can never be made.
    Reject(Rejection),
    /// It will not be made: its agent ends.
    Withdraw,
}

/// Who is told that an agent waits for a limit, or no longer does.
pub(super) type OnPause = Box<dyn Fn(Pid, Option<Exhausted>) + Send + Sync>;

/// The executor. Cheap to clone; [`Executor::stop`] ends its threads.
#[derive(Clone)]
pub(super) struct Executor(Arc<Shared>);

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

struct Shared {
    began: Instant,
    core: Mutex<Core>,
    /// Held by the one thread that carries out actions.
    delivery: Mutex<()>,
    tasks: Mutex<HashMap<Pid, Arc<Task>>>,
    calls: Mutex<HashMap<Ticket, mpsc::UnboundedSender<Signal>>>,
    workers: Vec<OnceLock<Thread>>,
    /// What ready guests waited for a worker.
    waits: Histogram,
    timer: Mutex<Option<Moment>>,
    timer_changed: Condvar,
    /// Makes running guests look at their turns at once.
    nudge: Box<dyn Fn() + Send + Sync>,
    on_pause: OnceLock<OnPause>,
    stopping: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Core {
    scheduler: Scheduler,
    /// Given by the scheduler, not yet carried out.
    outbox: VecDeque<Action>,
    scratch: Vec<Action>,
    next_ticket: u64,
}

impl Executor {
    /// Starts the workers. `nudge` makes running guests look at their turns. Must be called in a
    /// tokio runtime, whose timers and sockets the guests use.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        options: Options,
        first_ticket: u64,
        nudge: Box<dyn Fn() + Send + Sync>,
    ) -> std::io::Result<Self> {
        let workers = options.workers;
        let core = Core {
            scheduler: Scheduler::new(options),
            outbox: VecDeque::new(),
            scratch: Vec::new(),
            next_ticket: first_ticket,
        };
        let shared = Arc::new(Shared {
            began: Instant::now(),
            core: Mutex::new(core),
            delivery: Mutex::new(()),
            tasks: Mutex::default(),
            calls: Mutex::default(),
            waits: Histogram::default(),
            workers: (0..workers).map(|_| OnceLock::new()).collect(),
            timer: Mutex::new(None),
            timer_changed: Condvar::new(),
            nudge,
            on_pause: OnceLock::new(),
            stopping: AtomicBool::new(false),
            threads: Mutex::default(),
        });
        let executor = Self(shared);
        executor.spawn_threads(workers)?;
        Ok(executor)
    }

    fn spawn_threads(&self, workers: u16) -> std::io::Result<()> {
        let runtime = tokio::runtime::Handle::current();
        let mut threads = Vec::new();
        for number in 0..workers {
            let (shared, runtime) = (Arc::clone(&self.0), runtime.clone());
            let named = std::thread::Builder::new().name(format!("guest-{number}"));
            threads.push(named.spawn(move || {
                // Without it, wasmtime-wasi would start a runtime of its own.
                let _entered = runtime.enter();
                worker::work(&shared, WorkerId(number));
            })?);
        }
        let shared = Arc::clone(&self.0);
        let named = std::thread::Builder::new().name("schedule".into());
        threads.push(named.spawn(move || shared.keep_time())?);
        *lock(&self.0.threads) = threads;
        Ok(())
    }

    /// Who is told of pauses; only the first call counts.
    pub(super) fn on_pause(&self, tell: OnPause) {
        let _first = self.0.on_pause.set(tell);
    }

    /// Ends the threads: guests that run are asked to yield, and none runs again.
    pub(super) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        for task in lock(&self.0.tasks).values() {
            task.turn().until_ns(0);
        }
        (self.0.nudge)();
        self.0.workers.iter().filter_map(OnceLock::get).for_each(Thread::unpark);
        drop(lock(&self.0.timer));
        self.0.timer_changed.notify_all();
        let threads = std::mem::take(&mut *lock(&self.0.threads));
        let this_one = std::thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != this_one) {
            // A worker that panicked has told so on stderr; there is nothing to add.
            let _panicked = thread.join();
        }
    }

    /// Now, on the scheduler's clock.
    pub(super) fn now(&self) -> Moment {
        self.0.now()
    }

    /// Tells the scheduler what happened.
    ///
    /// # Errors
    /// When it does not fit what went before.
    pub(super) fn step(&self, event: Event) -> Result<(), Misuse> {
        self.0.step(event)
    }

    /// A turn for a guest that this executor will run.
    pub(super) fn turn(&self) -> Arc<Turn> {
        Arc::new(Turn::new(self.0.began))
    }

    /// Runs a guest that was admitted: from now on the scheduler decides when. `gone` is called
    /// once, when the future has ended or was dropped because of [`Executor::kill`].
    pub(super) fn run(
        &self,
        pid: Pid,
        turn: Arc<Turn>,
        future: impl Future<Output = ()> + Send + 'static,
        gone: impl FnOnce(Gone) + Send + 'static,
    ) {
        let shared = Arc::downgrade(&self.0);
        let task = Task::new(pid, turn, Box::pin(future), Box::new(gone), shared);
        lock(&self.0.tasks).insert(pid, Arc::clone(&task));
        task.wake_first();
    }

    /// Ends a guest, also one that is asleep in a host call: its future is dropped.
    pub(super) fn kill(&self, pid: Pid) {
        let task = lock(&self.0.tasks).get(&pid).cloned();
        // Withdraws and aborts its calls; a guest that has left already has none.
        let _left_before = self.0.step(Event::Killed(pid));
        if let Some(task) = task {
            task.kill();
            (self.0.nudge)();
        }
    }

    /// What a guest is doing; none when it is not here.
    pub(super) fn activity(&self, pid: Pid) -> Option<Activity> {
        lock(&self.0.tasks).get(&pid).map(|task| task.activity())
    }

    /// What ready guests waited for a worker since the last look.
    pub(super) fn latency(&self) -> Latency {
        self.0.waits.take()
    }

    /// Asks the scheduler something that changes nothing.
    pub(super) fn look<T>(&self, ask: impl FnOnce(&Scheduler, Moment) -> T) -> T {
        let now = self.0.now();
        ask(&lock(&self.0.core).scheduler, now)
    }

    /// A new call: its number, and where its signals come.
    pub(super) fn call(&self) -> Call {
        let ticket = {
            let mut core = lock(&self.0.core);
            core.next_ticket += 1;
            Ticket(core.next_ticket)
        };
        let (sender, signals) = mpsc::unbounded_channel();
        lock(&self.0.calls).insert(ticket, sender);
        Call { ticket, signals, shared: Arc::clone(&self.0) }
    }
}

/// One model or tool call that waits for its slot or holds it. Dropped, it is given up.
pub(super) struct Call {
    ticket: Ticket,
    signals: mpsc::UnboundedReceiver<Signal>,
    shared: Arc<Shared>,
}

impl Call {
    /// Its number.
    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The next signal.
    pub(super) async fn signal(&mut self) -> Signal {
        // The sender is dropped with the executor: then nothing will be made any more.
        self.signals.recv().await.unwrap_or(Signal::Withdraw)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Fails where the call has ended, as it usually has.
        let _ended = self.shared.step(Event::GivenUp(self.ticket));
        lock(&self.shared.calls).remove(&self.ticket);
    }
}

impl Shared {
    fn now(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn step(&self, event: Event) -> Result<(), Misuse> {
        let (done, deadline) = {
            let mut core = lock(&self.core);
            let Core { scheduler, outbox, scratch, .. } = &mut *core;
            // Read under the lock: the scheduler's time never goes back.
            let done = scheduler.step(event, self.now(), scratch);
            outbox.extend(scratch.drain(..));
            (done, scheduler.next_deadline())
        };
        self.arm(deadline);
        self.deliver();
        done
    }

    fn next_cpu(&self, worker: WorkerId) -> Option<Slice> {
        let (slice, deadline) = {
            let mut core = lock(&self.core);
            let slice = core.scheduler.next_cpu(worker, self.now());
            (slice, core.scheduler.next_deadline())
        };
        self.arm(deadline);
        slice
    }

    /// Carries out what is in the outbox, unless another thread is doing so: that one will find it.
    fn deliver(&self) {
        loop {
            let guard = match self.delivery.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            loop {
                let batch = std::mem::take(&mut lock(&self.core).outbox);
                if batch.is_empty() {
                    break;
                }
                batch.into_iter().for_each(|action| self.act(action));
            }
            drop(guard);
            // What came between the last look and the unlocking found the lock taken.
            if lock(&self.core).outbox.is_empty() {
                return;
            }
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::WakeWorker(worker) => {
                if let Some(thread) =
                    self.workers.get(usize::from(worker.0)).and_then(OnceLock::get)
                {
                    thread.unpark();
                }
            }
            Action::Preempt { pid, .. } => {
                if let Some(task) = lock(&self.tasks).get(&pid) {
                    task.turn().until_ns(0);
                }
                (self.nudge)();
            }
            Action::StartModel { ticket, output_tokens_max, .. } => {
                self.signal(ticket, Signal::Start(output_tokens_max));
            }
            Action::StartTool { ticket, .. } => self.signal(ticket, Signal::Start(0)),
            Action::CutModel(ticket) => self.signal(ticket, Signal::Cut),
            Action::Abort(ticket) => self.signal(ticket, Signal::Abort),
            Action::Reject { ticket, why, .. } => self.signal(ticket, Signal::Reject(why)),
            Action::Withdraw { ticket, .. } => self.signal(ticket, Signal::Withdraw),
            // The ledger is read where it is needed; making it durable is the journal's matter.
            Action::Settled { .. } => {}
            Action::Pause { pid, why, .. } => self.tell_pause(pid, Some(why)),
            Action::Resume { pid, .. } => self.tell_pause(pid, None),
        }
    }

    fn signal(&self, ticket: Ticket, signal: Signal) {
        // Whoever waited may be gone: then its call was given up in its drop.
        if let Some(sender) = lock(&self.calls).get(&ticket) {
            let _gone = sender.send(signal);
        }
    }

    fn tell_pause(&self, pid: Pid, why: Option<Exhausted>) {
        if let Some(tell) = self.on_pause.get() {
            tell(pid, why);
        }
    }

    /// Sees to it that the timer's thread wakes by `deadline`.
    fn arm(&self, deadline: Option<Moment>) {
        let Some(deadline) = deadline else { return };
        let mut armed = lock(&self.timer);
        if armed.is_none_or(|armed| deadline < armed) {
            *armed = Some(deadline);
            self.timer_changed.notify_one();
        }
    }

    /// The timer's thread.
    fn keep_time(&self) {
        /// A wait without a deadline looks around so often, which costs nothing.
        const IDLE: Duration = Duration::from_secs(1);
        let mut armed = lock(&self.timer);
        while !self.stopping.load(Ordering::Acquire) {
            let now = self.now();
            let wait = match *armed {
                Some(deadline) if deadline <= now => {
                    *armed = None;
                    drop(armed);
                    // Time alone never misfits.
                    let _fits = self.step(Event::Timer);
                    armed = lock(&self.timer);
                    continue;
                }
                Some(deadline) => Duration::from_nanos(deadline.since_ns(now)).min(IDLE),
                None => IDLE,
            };
            let waited = self.timer_changed.wait_timeout(armed, wait);
            armed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A guest's future has ended or was dropped.
    fn forget(&self, pid: Pid) {
        lock(&self.tasks).remove(&pid);
        // It was admitted, and nobody else says that it left.
        let _left = self.step(Event::Left(pid));
    }
}

/// What the executor keeps is whole after every statement, so a panic elsewhere harms nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
