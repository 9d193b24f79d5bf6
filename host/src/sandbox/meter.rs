//! Time of one run: CPU time while it is polled, wall time from its start.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Not being polled.
const IDLE: u64 = u64::MAX;

/// The time that one run has used. Written by the thread that polls it, read from inside too.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu_ns: AtomicU64,
    poll_began_ns: AtomicU64,
}

impl Meter {
    /// A meter that starts now.
    pub fn start() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            cpu_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(IDLE),
        })
    }

    /// Wall time since the start.
    pub fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    /// CPU time so far; from inside a poll the running one is counted too.
    pub fn cpu(&self) -> Duration {
        let done = self.cpu_ns.load(Ordering::Relaxed);
        let running = match self.poll_began_ns.load(Ordering::Relaxed) {
            IDLE => 0,
            began => thread_cpu_ns().saturating_sub(began),
        };
        Duration::from_nanos(done + running)
    }

    /// Runs `future` and counts the CPU time of each of its polls.
    pub fn measure<'a, F: Future>(&'a self, future: Pin<&'a mut F>) -> Measured<'a, F> {
        Measured { meter: self, future }
    }
}

/// CPU time of this thread so far, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A future whose polls are counted.
pub struct Measured<'a, F> {
    meter: &'a Meter,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Measured<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_cpu_ns();
        self.meter.poll_began_ns.store(began, Ordering::Relaxed);
        let outcome = self.future.as_mut().poll(context);
        let spent = thread_cpu_ns().saturating_sub(began);
        self.meter.cpu_ns.fetch_add(spent, Ordering::Relaxed);
        self.meter.poll_began_ns.store(IDLE, Ordering::Relaxed);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_costs_wall_time_and_no_cpu_time() {
        let meter = Meter::start();
        meter.measure(std::pin::pin!(tokio::time::sleep(Duration::from_millis(30)))).await;
        assert!(meter.wall() >= Duration::from_millis(30));
        assert!(meter.cpu() < Duration::from_millis(20), "{:?}", meter.cpu());
    }

    #[tokio::test]
    async fn computing_costs_cpu_time_that_is_seen_from_inside() {
        let meter = Meter::start();
        let inside = meter
            .measure(std::pin::pin!(async {
                let began = meter.cpu();
                while meter.cpu() < began + Duration::from_millis(5) {}
                meter.cpu()
            }))
            .await;
        assert!(inside >= Duration::from_millis(5));
        assert!(meter.cpu() >= inside);
    }
}
