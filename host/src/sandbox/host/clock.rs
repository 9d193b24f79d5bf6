//! The clocks that guests see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
}

/// Reads without anything entering, after which time is let in: whoever only looks at the clock
/// waits for it to move.
const READS_MAX: u64 = 10_000;

impl AgentClock {
    /// A clock that shows the present time.
    pub fn start() -> Self {
        Self(Arc::new(AgentTime { now_ns: AtomicU64::new(unix_ns()), reads: AtomicU64::new(0) }))
    }

    /// Something entered the agent now. Time never goes back.
    pub fn advance(&self) {
        self.0.reads.store(0, Ordering::Relaxed);
        self.0.now_ns.fetch_max(unix_ns(), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        if self.0.reads.fetch_add(1, Ordering::Relaxed) >= READS_MAX {
            self.advance();
        }
        self.0.now_ns.fetch_add(1, Ordering::Relaxed)
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
        clock.advance();
        assert!(clock.read() >= first + 2_000_000);
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
