//! The contract's types, generated from `wit/`.
#![expect(missing_docs, reason = "generated; the documentation is in the WIT")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "aos:tool/tool",
    imports: { default: async | trappable },
    exports: { default: async },
});
