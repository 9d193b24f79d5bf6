//! Loading off the caller's thread and within a budget: compiling a stranger's bytes takes as long
//! and as much as they say.
//!
//! A compile cannot be stopped from outside. One that is over its time is given up, and its thread
//! keeps its slot until it ends by itself: so no more of them run at once than there are slots,
//! however many are given up. Their memory is bounded by what they may be made of.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::sandbox::Sandbox;
use crate::sandbox::limits::{LimitName, Limits};
use crate::sandbox::program::{BadPlugin, COMPONENT_BYTES_MAX, Program};
use crate::types::LimitHit;

/// How many loads run at once, and how long each may take.
#[derive(Debug)]
pub struct Loading {
    sandbox: Arc<Sandbox>,
    slots: Arc<Semaphore>,
    time: LimitHit,
}

impl Loading {
    /// Loads for `sandbox`, each within `time`. As many at once as there are cores: a compile
    /// uses all of them.
    pub fn new(sandbox: Arc<Sandbox>, time: Duration) -> Self {
        let slots = std::thread::available_parallelism().map_or(1, usize::from);
        let time = Limits { load: time, ..Limits::default() }.hit(LimitName::Load);
        Self { sandbox, slots: Arc::new(Semaphore::new(slots)), time }
    }

    /// Where programs run that were loaded.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Makes a program of bytes, as [`Sandbox::load`] does.
    ///
    /// # Errors
    /// As [`Sandbox::load`]; [`BadPlugin::Budget`] when it is too large or takes too long.
    pub async fn load(&self, name: &str, bytes: Bytes) -> Result<Program, BadPlugin> {
        if bytes.len() as u64 > COMPONENT_BYTES_MAX {
            return Err(BadPlugin::Budget(too_large()));
        }
        let over = || BadPlugin::Budget(self.time.clone());
        let time = Duration::from_millis(self.time.value);
        let loading = async {
            let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| over())?;
            let (sandbox, name) = (Arc::clone(&self.sandbox), name.to_owned());
            let loaded = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                guarded(|| sandbox.load(&name, &bytes))
            });
            loaded
                .await
                .map_err(|error| BadPlugin::Invalid(format!("it was not loaded: {error}")))?
        };
        tokio::time::timeout(time, loading).await.unwrap_or_else(|_| Err(over()))
    }
}

fn too_large() -> LimitHit {
    LimitHit {
        name: "component".into(),
        value: COMPONENT_BYTES_MAX,
        unit: "bytes".into(),
        remedy: "no flag".into(),
    }
}

/// A panic of the adapter or the compiler is the plugin's fault as far as its user is concerned,
/// and nobody else's end.
fn guarded<T>(work: impl FnOnce() -> Result<T, BadPlugin>) -> Result<T, BadPlugin> {
    // What is shared is the cache's files and an engine: neither is left half changed.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(BadPlugin::Invalid(format!("the compiler broke on it: {}", words(&*panic))))
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_compiler_is_a_sentence_about_the_plugin() {
        let error = guarded::<()>(|| panic!("index 7\n out of bounds")).expect_err("a panic");
        let wanted = "it is not valid: the compiler broke on it: index 7 out of bounds";
        assert_eq!(error.to_string(), wanted);
    }
}
