//! What a running call can learn and say about itself. Outside a host the answers come from
//! `testing`, or are empty.

use std::time::Duration;

#[cfg(target_family = "wasm")]
use crate::component::bindings::aos::tool::call as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::fakes as host;

/// The same across a crash and a retry, and different for every other call: send it to the outside
/// world as an idempotency key.
#[must_use]
pub fn id() -> String {
    host::id()
}

/// Time until the host ends the call; none where nothing ends it.
#[must_use]
pub fn remaining() -> Option<Duration> {
    host::remaining_ms().map(Duration::from_millis)
}

/// Tells whoever watches the call how far it is: `done` of `total`, in the tool's own unit.
pub fn progress(done: f64, total: Option<f64>, message: &str) {
    host::progress(done, total, message);
}

/// As the host counts time; what does not fit is as good as for ever.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
