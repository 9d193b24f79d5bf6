//! Write tools and agents for aos-host in Rust.
//!
//! A tool is a function with a doc comment and one typed argument struct; [`plugin!`] makes a
//! component of several. An agent is a function from a task to a result; [`agent!`] makes a
//! component of it. The guide, from nothing to running ones, is this crate's README.
//!
//! ```
//! use aos_sdk::{ToolError, plugin, tool};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Add {
//!     /// The first number.
//!     a: f64,
//!     /// The second number.
//!     b: f64,
//! }
//!
//! /// Adds two numbers.
//! #[tool(read_only, idempotent)]
//! fn add(arguments: Add) -> Result<f64, ToolError> {
//!     Ok(arguments.a + arguments.b)
//! }
//!
//! plugin!(add);
//! # fn main() {}
//! ```
//!
//! | module | knows |
//! |---|---|
//! | [`Tool`], [`Plugin`] | one tool, several of them, dispatch by name |
//! | [`arguments`], [`schema`] | JSON to typed arguments, types to JSON Schema |
//! | [`Answer`], [`Output`], [`IntoOutput`], [`ToolError`] | what a call hands back |
//! | [`call`], [`mod@log`] | what a running call can learn and say |
//! | [`fs`], [`http`] | files and requests, with errors that name the missing grant |
//! | [`mod@agent`] | the loop of a tool-using agent; what messages are made of |
//! | [`model`], [`context`] | an agent's processor and memory |
//! | [`process`], [`toolbox`] | its children and messages, its tools |
//! | `component` | the component's export and imports; compiled for WebAssembly only |
//! | `testing` | tools and agents natively, with fakes; compiled natively only |

pub mod agent;
pub mod arguments;
pub mod call;
pub mod context;
mod denial;
mod error;
pub mod fs;
pub mod http;
pub mod log;
pub mod model;
mod output;
pub mod process;
pub mod schema;
mod tool;
pub mod toolbox;

#[cfg(target_family = "wasm")]
pub mod component;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use aos_sdk_macros::tool;
pub use denial::{Denial, Limit, MissingIn};
pub use error::ToolError;
pub use output::{Answer, Blob, Content, IntoOutput, Output};
pub use schemars;
pub use serde;
pub use serde_json;
pub use tool::{Behaviour, Definition, NoArguments, Plugin, Tool};

/// What a tool function usually returns.
pub type Result<T, E = ToolError> = std::result::Result<T, E>;

/// Makes a plugin of tools: a function `plugin()` for native tests, and the component's export.
///
/// Use it once in a crate, with the names of functions that carry `#[tool]`.
#[macro_export]
macro_rules! plugin {
    ($($tool:path),+ $(,)?) => {
        /// The tools of this plugin.
        #[must_use]
        pub fn plugin() -> $crate::Plugin {
            $crate::Plugin::new()$(.with::<$tool>())+
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::component::Guest for Component {
                fn definitions() -> ::std::vec::Vec<$crate::component::Definition> {
                    $crate::component::definitions(&plugin())
                }

                fn call(
                    name: ::std::string::String,
                    arguments: ::std::string::String,
                ) -> ::core::result::Result<
                    $crate::component::Output,
                    $crate::component::Error,
                > {
                    $crate::component::call(&plugin(), &name, &arguments)
                }
            }

            $crate::component::export!(
                Component with_types_in $crate::component::bindings
            );
        };
    };
}
