//! The `#[tool]` attribute of `aos-sdk`; use it from there.
//!
//! It reads the signature, the doc comment and the behaviours, and writes one `Tool` beside the
//! function. What a tool means (schemas, dispatch, errors) lives in `aos-sdk`, not here.

mod attributes;
mod expand;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

use attributes::Attributes;

/// Makes a tool of a function: its doc comment is the description, its one argument the schema.
///
/// ```ignore
/// /// Adds two numbers.
/// #[tool(read_only, idempotent)]
/// fn add(arguments: Add) -> Result<f64, ToolError> { … }
/// ```
///
/// In the brackets, in any order:
/// - `read_only`: changes nothing outside the plugin
/// - `additive`: writes, but never removes or overwrites; without it and `read_only` a tool is
///   destructive, and `destructive` says so aloud
/// - `idempotent`: a second equal call changes nothing more
/// - `open_world`: reaches things the host does not know
/// - `title = "…"`, `name = "…"`: instead of the function's name
#[proc_macro_attribute]
pub fn tool(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let attributes = parse_macro_input!(attributes as Attributes);
    let function = parse_macro_input!(item as ItemFn);
    expand::expand(&attributes, &function).unwrap_or_else(syn::Error::into_compile_error).into()
}
