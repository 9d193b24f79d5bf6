//! `wasi:config/store`: the values that the operator set and the gate let through.

use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

use crate::sandbox::state::State;

/// Configuration values of one run.
pub struct ConfigValues(WasiConfigVariables);

impl ConfigValues {
    /// These values and no others.
    pub fn new(values: &[(String, String)]) -> Self {
        Self(values.iter().cloned().collect())
    }

    /// The view that the linker asks for.
    pub(crate) fn view(state: &mut State) -> WasiConfig<'_> {
        WasiConfig::from(&state.config.0)
    }
}
