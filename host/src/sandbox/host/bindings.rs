//! The contract's types, generated from `wit/`.
#![expect(missing_docs, reason = "generated; the documentation is in the WIT")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "aos:tool/tool",
    imports: { default: async | trappable },
    exports: { default: async },
    // What enters an agent is written down and read again.
    additional_derives: [serde::Serialize, serde::Deserialize],
});

/// The world of agents; what it shares with tools is the same type.
pub mod agent {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "aos:agent/agent",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "aos:tool/types": super::aos::tool::types,
            "aos:tool/call": super::aos::tool::call,
        },
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}
