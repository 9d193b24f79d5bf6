//! Agents: programs whose processor is a language model, as `fn run(task: String) -> Result<…>`.
//!
//! ```
//! use aos_sdk::agent;
//! use aos_sdk::agent::Loop;
//!
//! fn run(task: String) -> Result<String, agent::Error> {
//!     Loop::new().system("You answer briefly.").turns_max(20).run(&task)
//! }
//!
//! agent!(run);
//! # fn main() {}
//! ```
//!
//! What an agent reaches is in [`model`](crate::model) (the processor), [`context`](crate::context)
//! (the memory), [`process`](crate::process) (children and messages), [`toolbox`](crate::toolbox)
//! and [`call`](crate::call). Everything else that it does must follow from these, since after a
//! crash the same run is replayed. How a host keeps these promises is not known here.

mod error;
mod part;
mod turns;

use std::fmt::Display;

pub use error::Error;
pub(crate) use part::text as part_text;
pub use part::{Part, Reasoning, ToolCall, ToolResult};
pub use turns::Loop;

/// Makes the crate's component an agent: a function `program(task)` for native tests, and the
/// component's export.
///
/// `agent!(run)` exports `fn run(task: String) -> Result<String, E>`, where `E` is anything that
/// can be displayed. `agent!(run, resume)` exports a second function as well,
/// `fn resume(task: String, state: Vec<u8>) -> Result<String, E>`: the host calls it instead of
/// `run` when the agent goes on from a [checkpoint](crate::process::checkpoint) with state.
///
/// Use it once in a crate.
#[macro_export]
macro_rules! agent {
    ($run:path $(,)?) => {
        /// The agent as the host runs it.
        ///
        /// # Errors
        /// The agent's own error, as text.
        pub fn program(
            task: ::std::string::String,
        ) -> ::core::result::Result<::std::string::String, ::std::string::String> {
            $crate::agent::ended($run(task))
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::component::agent::Guest for Component {
                fn run(
                    task: ::std::string::String,
                ) -> ::core::result::Result<::std::string::String, ::std::string::String> {
                    program(task)
                }
            }

            $crate::component::agent::export!(
                Component with_types_in $crate::component::agent::bindings
            );
        };
    };
    ($run:path, $resume:path $(,)?) => {
        $crate::agent!($run);

        /// The agent as the host goes on with it from a checkpoint.
        ///
        /// # Errors
        /// The agent's own error, as text.
        pub fn resumed(
            task: ::std::string::String,
            state: ::std::vec::Vec<u8>,
        ) -> ::core::result::Result<::std::string::String, ::std::string::String> {
            $crate::agent::ended($resume(task, state))
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::component::agent::Resumable for Component {
                fn resume(
                    task: ::std::string::String,
                    state: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::string::String, ::std::string::String> {
                    resumed(task, state)
                }
            }

            $crate::component::agent::export_resumable!(
                Component with_types_in $crate::component::agent::resumable
            );
        };
    };
}

/// What the host is told of a run that ended; `agent!` calls it.
///
/// # Errors
/// The agent's own error, as text.
pub fn ended<E: Display>(result: Result<String, E>) -> Result<String, String> {
    result.map_err(|error| error.to_string())
}
