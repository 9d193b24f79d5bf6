//! From what a compiler left to a component: a core module that speaks the contract's canonical
//! ABI gets its types and the WASI adapter. Knows nothing of languages and toolchains.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::Parser;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// The contract of tools, as `wit/` has it.
pub const TOOL_WIT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/deps/aos-tool/tool.wit"));
/// The contract of agents.
pub const AGENT_WIT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/world.wit"));

/// Where the adapter finds room for what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realloc {
    /// The module's own allocator.
    Own,
    /// Pages of its own: the module's allocator cannot run before its runtime does.
    Pages,
}

/// Makes a component with the world `aos:tool/tool` of a core module that exports its functions.
///
/// # Errors
/// One sentence: what the module lacks or has too much.
pub fn tool(module: &[u8], realloc: Realloc) -> Result<Vec<u8>, String> {
    if !Parser::is_core_wasm(module) {
        return Err("the compiler left no core module".into());
    }
    let mut module = module.to_vec();
    let (resolve, world) = tool_world()?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| flat(&format!("{error:#}")))?;
    encode(&module, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER, realloc)
}

/// Makes a component of a command of WASI 0.1.
///
/// # Errors
/// One sentence: what the module lacks.
pub fn command(module: &[u8], realloc: Realloc) -> Result<Vec<u8>, String> {
    let led = super::program::with_exit_codes(module)?;
    encode(led.as_deref().unwrap_or(module), WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, realloc)
}

fn encode(module: &[u8], adapter: &[u8], realloc: Realloc) -> Result<Vec<u8>, String> {
    // The adapter trusts what it is given: it was made for the output of compilers.
    wasmparser::Validator::new().validate_all(module).map_err(|e| e.message().to_owned())?;
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|encoder| {
            encoder.realloc_via_memory_grow(realloc == Realloc::Pages).validate(true).encode()
        })
        .map_err(|error| flat(&format!("{error:#}")))
}

fn tool_world() -> Result<(Resolve, WorldId), String> {
    let mut resolve = Resolve::default();
    let world = resolve
        .push_source("tool.wit", TOOL_WIT)
        .and_then(|package| resolve.select_world(&[package], Some("tool")))
        .map_err(|error| flat(&format!("{error:#}")))?;
    Ok((resolve, world))
}

/// An error with its causes as one line.
fn flat(error: &str) -> String {
    error.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_the_contracts_functions_is_one_sentence() {
        let module = wat::parse_str("(module (memory (export \"memory\") 1))").expect("parses");
        let error = tool(&module, Realloc::Own).expect_err("it exports nothing");
        assert!(error.contains("aos:tool/tools@0.1.0"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let error = tool(b"\0asm\x0d\0\x01\0", Realloc::Own).expect_err("a component");
        assert!(error.contains("no core module"), "{error}");
    }

    #[test]
    fn a_command_becomes_a_component() {
        let text = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";
        let component = command(&wat::parse_str(text).expect("parses"), Realloc::Own);
        assert!(Parser::is_component(&component.expect("encodes")));
    }
}
