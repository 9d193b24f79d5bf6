//! `aos:tool/call`: what a running call can learn and say about itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::sandbox::host::bindings::aos::tool::call;
use crate::sandbox::meter::Meter;
use crate::sandbox::state::State;
use crate::types::CallId;

/// One report of a guest's progress.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressReport {
    /// How much is done, in the guest's own unit; never below zero, always finite.
    pub done: f64,
    /// Of how much, where the guest knows.
    pub total: Option<f64>,
    /// What it says, cut to 200 characters.
    pub message: String,
}

/// Who is told of progress.
#[derive(Clone)]
pub struct Progress(pub Arc<dyn Fn(ProgressReport) + Send + Sync>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// A report longer than this is cut: it is one line for a person.
const MESSAGE_CHARS_MAX: usize = 200;
/// Reports of one call after which the rest is dropped.
const REPORTS_MAX: u32 = 10_000;

/// What a call knows about itself.
pub struct CallContext {
    id: CallId,
    wall: Duration,
    meter: Arc<Meter>,
    progress: Option<Progress>,
    reports: u32,
}

impl CallContext {
    /// Of call `id`, which may take `wall`.
    pub fn new(id: CallId, wall: Duration, meter: Arc<Meter>, progress: &Option<Progress>) -> Self {
        Self { id, wall, meter, progress: progress.clone(), reports: 0 }
    }
}

impl call::Host for State {
    async fn id(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.id.to_string())
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<Option<u64>> {
        if self.call.wall == Duration::MAX {
            return Ok(None);
        }
        let left = self.call.wall.saturating_sub(self.call.meter.wall());
        Ok(Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
    }

    async fn progress(
        &mut self,
        done: f64,
        total: Option<f64>,
        message: String,
    ) -> wasmtime::Result<()> {
        self.call.reports = self.call.reports.saturating_add(1);
        if let (Some(progress), true) = (&self.call.progress, self.call.reports <= REPORTS_MAX) {
            let sane = |number: f64| if number.is_finite() { number.max(0.0) } else { 0.0 };
            (progress.0)(ProgressReport {
                done: sane(done),
                total: total.map(sane),
                message: message
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MESSAGE_CHARS_MAX)
                    .collect(),
            });
        }
        Ok(())
    }
}
