//! The border of an agent to its host, beside that of a tool: generated bindings, and the SDK's
//! types to theirs and back. Nothing of it is in a component that does not call it: imports that
//! nobody uses are dropped.

pub(crate) mod context;
pub(crate) mod model;
mod parts;
pub(crate) mod process;
pub(crate) mod toolbox;

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from the WIT")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "aos:agent/agent",
        with: {
            "aos:tool/types@0.1.0": crate::component::bindings::aos::tool::types,
            "aos:tool/call@0.1.0": crate::component::bindings::aos::tool::call,
            "aos:tool/toolbox@0.1.0": generate,
        },
        pub_export_macro: true,
        export_macro_name: "export_agent",
        default_bindings_module: "aos_sdk::component::agent::bindings",
    });
}

// `program` and `resumable` apart, since one crate cannot generate the same export twice: what an
// agent exports is the union of the worlds that its macros name.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated from the WIT")]
pub mod resumable {
    wit_bindgen::generate!({
        inline: "
            package aos:sdk@0.1.0;

            world resumption {
                export aos:agent/resumable@0.1.0;
            }
        ",
        path: "wit",
        world: "aos:sdk/resumption",
        pub_export_macro: true,
        export_macro_name: "export_resumption",
        default_bindings_module: "aos_sdk::component::agent::resumable",
    });
}

pub use bindings::export_agent as export;
pub use bindings::exports::aos::agent::program::Guest;
pub use resumable::export_resumption as export_resumable;
pub use resumable::exports::aos::agent::resumable::Guest as Resumable;
