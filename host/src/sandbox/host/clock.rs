//! The clocks that guests see.

use std::time::{Duration, Instant};

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
