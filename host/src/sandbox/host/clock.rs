//! The clocks that guests see.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// A guest's clocks are no finer than this: enough for any program, too coarse to measure the
/// host's caches by.
const RESOLUTION: Duration = Duration::from_micros(1);

/// Monotonic time since the instance started: the host's uptime is none of its business.
pub struct VirtualMonotonic {
    started: Instant,
}

impl VirtualMonotonic {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl HostMonotonicClock for VirtualMonotonic {
    fn resolution(&self) -> u64 {
        u64::try_from(RESOLUTION.as_nanos()).unwrap_or(1)
    }

    fn now(&self) -> u64 {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        nanos - nanos % self.resolution()
    }
}

/// An agent's clock: it shows the time of the last thing that entered the agent, and one nanosecond
/// more each read, so that a replay sees the same times again.
#[derive(Clone, Debug)]
pub struct AgentClock(Arc<AgentTime>);

#[derive(Debug)]
struct AgentTime {
    /// Since the Unix epoch.
    now_ns: AtomicU64,
    reads: AtomicU64,
    moves: Mutex<Moves>,
    /// A journal is played back to the agent.
    replays: AtomicBool,
}

/// How the clock moves on while nothing enters the agent.
#[derive(Debug, Default)]
struct Moves {
    /// The times of a replay, in order.
    script: VecDeque<u64>,
    /// What it moved to by itself, to be written down with the next question.
    told: Vec<u64>,
    /// How often it has moved since something entered.
    count: u32,
}

/// Reads without anything entering, after which time is let in: whoever only looks at the clock
/// waits for it to move. Each move doubles it, so that what is to be written down stays small
/// however long an agent only looks.
const READS_MAX: u64 = 10_000;

impl AgentClock {
    /// A clock that shows the present time.
    pub fn start() -> Self {
        Self::at(unix_ns())
    }

    /// A clock that shows this time, in nanoseconds since the Unix epoch.
    pub fn at(now_ns: u64) -> Self {
        Self(Arc::new(AgentTime {
            now_ns: AtomicU64::new(now_ns),
            reads: AtomicU64::new(0),
            moves: Mutex::default(),
            replays: AtomicBool::new(false),
        }))
    }

    /// What it shows next, in nanoseconds since the Unix epoch.
    pub fn shows(&self) -> u64 {
        self.0.now_ns.load(Ordering::Relaxed)
    }

    /// The time at which something enters now: the present, and never before what was shown.
    pub fn stamp(&self) -> u64 {
        unix_ns().max(self.shows())
    }

    /// Something entered the agent at this time, which [`AgentClock::stamp`] gave now or then.
    pub fn enter(&self, at_ns: u64) {
        self.0.reads.store(0, Ordering::Relaxed);
        self.0.now_ns.store(at_ns, Ordering::Relaxed);
        let mut moves = self.moves();
        moves.count = 0;
        moves.told.clear();
    }

    /// The times that it will move on to by itself until something enters.
    pub fn script(&self, moves: Vec<u64>) {
        self.moves().script = moves.into();
    }

    /// Whether a journal is played back: then nothing is waited for.
    pub fn replays(&self) -> bool {
        self.0.replays.load(Ordering::Relaxed)
    }

    /// Says whether a journal is played back.
    pub fn set_replays(&self, replays: bool) {
        self.0.replays.store(replays, Ordering::Relaxed);
    }

    /// What it moved on to by itself since something entered.
    pub fn take_moves(&self) -> Vec<u64> {
        std::mem::take(&mut self.moves().told)
    }

    fn moves(&self) -> MutexGuard<'_, Moves> {
        // Whole after every statement: a panic elsewhere harms nothing.
        self.0.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> u64 {
        if self.0.reads.fetch_add(1, Ordering::Relaxed) >= READS_MAX {
            self.look_up();
        }
        self.0.now_ns.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets time in, where it was looked at often enough.
    fn look_up(&self) {
        let mut moves = self.moves();
        let enough = READS_MAX.saturating_mul(1 << moves.count.min(48));
        if self.0.reads.load(Ordering::Relaxed) < enough {
            return;
        }
        self.0.reads.store(0, Ordering::Relaxed);
        moves.count += 1;
        let to = match moves.script.pop_front() {
            Some(then) => then,
            None => {
                let now = self.stamp();
                moves.told.push(now);
                now
            }
        };
        self.0.now_ns.store(to, Ordering::Relaxed);
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl HostMonotonicClock for AgentClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.read()
    }
}

impl HostWallClock for AgentClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.read())
    }
}

/// `--no-clock`: monotonic time stands still.
pub struct FrozenMonotonic;

impl HostMonotonicClock for FrozenMonotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// `--no-clock`: it is always the start of 1970.
pub struct FrozenWall;

impl HostWallClock for FrozenWall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_clock_moves_by_a_nanosecond_a_read_until_something_enters() {
        let clock = AgentClock::start();
        let first = clock.read();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(clock.read(), first + 1);
        clock.enter(clock.stamp());
        assert!(clock.read() >= first + 2_000_000);
    }

    #[test]
    fn a_replayed_clock_moves_where_it_moved_then() {
        let (then, now) = (AgentClock::start(), AgentClock::at(0));
        now.enter(then.shows());
        let live: Vec<u64> = (0..READS_MAX * 8).map(|_| then.read()).collect();
        let moves = then.take_moves();
        assert_eq!(moves.len(), 3, "after 10,000 reads, 20,000 more, 40,000 more");
        now.script(moves);
        let replayed: Vec<u64> = (0..READS_MAX * 8).map(|_| now.read()).collect();
        assert_eq!(replayed, live);
        assert!(now.take_moves().is_empty());
    }

    #[test]
    fn whoever_only_looks_at_the_clock_sees_it_move_at_last() {
        let clock = AgentClock::start();
        let first = clock.read();
        std::thread::sleep(Duration::from_millis(2));
        let last = (0..READS_MAX + 10).fold(first, |_, _| clock.read());
        assert!(last >= first + 2_000_000);
    }
}
