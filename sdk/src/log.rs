//! Lines for the operator. They go to stderr, which the host keeps apart from results and bounds.

use std::fmt;

/// Writes one line, as `println!` does, to the operator's log.
#[macro_export]
macro_rules! log {
    ($($argument:tt)+) => { $crate::log::line(::core::format_args!($($argument)+)) };
}

/// Writes one line; `log!` is the way to call it.
pub fn line(line: fmt::Arguments<'_>) {
    #[cfg(target_family = "wasm")]
    eprintln!("{line}");
    #[cfg(not(target_family = "wasm"))]
    crate::testing::fakes::log(line.to_string());
}
