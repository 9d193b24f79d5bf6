//! Plain components: any exported function becomes a tool. WIT types become JSON Schema, JSON
//! becomes [`Val`](wasmtime::component::Val)s, and values become JSON again.
//!
//! All of it is pure: it knows nothing of stores, instances, grants, clocks or the network. The
//! protocol of a call, which the sandbox drives:
//! 1. [`Exports::of`] reads the exports of a compiled component, once.
//! 2. [`Exports::resolve`] finds the export that a user named.
//! 3. [`Exports::plan`] checks and decodes *all* arguments before anything runs.
//! 4. [`Plan::start`] gives a [`Run`]: call what [`Run::next_call`] says, hand the results to
//!    [`Run::answer`], until that returns the [`Outcome`].
//!
//! # How a value looks in JSON
//! | WIT | JSON |
//! |---|---|
//! | `bool`, `string`, `char` | boolean, string, string of one character |
//! | `u8` … `s32`, `f32`, `f64` | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `u64`, `s64` | number; a decimal string is accepted too, for writers that round at 2^53 |
//! | `list<T>`, `list<T, N>`, `tuple` | array |
//! | `list<u8>` | `{"base64": "…"}`; `{"utf8": "…"}` and an array of numbers are accepted too |
//! | `map<string, T>`, other maps | object; array of `[key, value]` |
//! | `record` | object; a field whose type is an option may be left out |
//! | `variant` | `{"case": payload}`, or `"case"` where there is no payload |
//! | `enum`, `flags` | the name; an array of names |
//! | `option<T>` | `null` or the value; where that is an option too, `null` or `{"some": value}` |
//! | `result<T, E>` | `{"ok": value}` or `{"err": value}`, with `null` for no payload |
//! | a resource, as argument | `{"$call": "export that makes it", "arguments": {…}}` |
//! | a resource, in a result | `{"$resource": "bucket#0"}`: only to look at, it ends with the call |

pub mod arguments;
mod decode;
mod encode;
mod exports;
mod names;
mod path;
mod plan;
mod schema;
mod shape;
mod signature;

#[cfg(test)]
mod tests;

pub use encode::Outcome;
pub use exports::{Exports, PlainExport};
pub use names::{Unknown, nearest};
pub use plan::{Call, Plan, Run};

use std::fmt;

/// What one call of a plain component may hold; each field names the error that it causes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nesting of the arguments and of the result: the depth that JSON readers accept, 128.
    pub depth_max: usize,
    /// Values that the arguments decode to, a byte of a `list<u8>` included. A value takes about
    /// 40 bytes of the host's memory, so the default of 1,000,000 bounds it to some 40 MB.
    pub values_max: usize,
    /// Calls in `{"$call": …}`, all together.
    pub calls_max: usize,
    /// Calls inside the arguments of calls.
    pub call_depth_max: usize,
    /// Bytes of the result as compact JSON.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 128,
            values_max: 1_000_000,
            calls_max: 32,
            call_depth_max: 8,
            output_bytes_max: 4 << 20,
        }
    }
}

/// The name of a limit that was reached, as its message says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// [`Limits::depth_max`].
    Depth,
    /// [`Limits::values_max`].
    Values,
    /// [`Limits::calls_max`].
    Calls,
    /// [`Limits::call_depth_max`].
    CallDepth,
    /// [`Limits::output_bytes_max`].
    OutputBytes,
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Depth => "levels of nesting",
            Self::Values => "values in the arguments",
            Self::Calls => "calls in the arguments",
            Self::CallDepth => "calls inside of calls",
            Self::OutputBytes => "bytes of output as JSON",
        })
    }
}

/// Why a plain export could not be called, one variant for each different reaction.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlainError {
    /// The caller's arguments do not fit: blame the caller, no retry.
    #[error("{path}: {problem}")]
    Argument {
        /// Where in the arguments, as a JSON path: `$.items[3].name`.
        path: String,
        /// What was expected there and what was found.
        problem: String,
    },
    /// This export cannot be called through JSON at all.
    #[error("`{export}` cannot be called: {reason}")]
    NotCallable {
        /// The export's name.
        export: String,
        /// One sentence without a full stop.
        reason: String,
    },
    /// A limit of [`Limits`] was reached.
    #[error("{path}: more than {max} {limit}")]
    Limit {
        /// Where it was reached, as a JSON path.
        path: String,
        /// Which limit.
        limit: LimitName,
        /// Its value.
        max: usize,
    },
    /// A call inside the arguments returned its error, so the outer call was not made.
    #[error("{path}: `{export}` returned an error: {error}")]
    Nested {
        /// Where in the arguments the call stands, as a JSON path.
        path: String,
        /// The export that returned the error.
        export: String,
        /// The error as JSON.
        error: serde_json::Value,
    },
    /// A value does not have the type that the component declares: a fault of the host.
    #[error("{path}: the result is not the {expected} that its type declares")]
    Mismatch {
        /// Where in the result, as a JSON path.
        path: String,
        /// The declared type.
        expected: &'static str,
    },
}
