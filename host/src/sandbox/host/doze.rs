//! WASI's timers, for agents: in a replay, what was slept then is not slept again.
//!
//! An agent that waits for one timer goes on when that is over, then and now. Of several timers in
//! one poll, all that were asked for are over in a replay.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::sandbox::state::State;

const CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";

/// A timer that is over.
struct Over;

#[wasmtime_wasi::async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

/// Puts timers in place that know of replays. The linker must allow shadowing.
///
/// # Errors
/// When the interface has another version: a mistake in this file.
pub(super) fn replace(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut clock = linker.instance(CLOCK)?;
    clock.func_wrap(
        "subscribe-duration",
        |mut store: StoreContextMut<'_, State>, (ns,): (u64,)| match over(&mut store)? {
            Some(over) => Ok((over,)),
            None => Ok((Host::subscribe_duration(&mut store.data_mut().clocks(), ns)?,)),
        },
    )?;
    clock.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, State>, (when,): (u64,)| {
            // Looks at the clock, in a replay too.
            let timer = Host::subscribe_instant(&mut store.data_mut().clocks(), when)?;
            Ok((over(&mut store)?.unwrap_or(timer),))
        },
    )
}

fn over(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Option<Resource<DynPollable>>> {
    let state = store.data_mut();
    if !state.replays() {
        return Ok(None);
    }
    let over = state.table.push(Over)?;
    Ok(Some(subscribe(&mut state.table, over)?))
}
