//! What stands in the brackets of `#[tool(…)]`.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitStr, Result, Token};

/// The parsed brackets. Everything in them is optional.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    pub(crate) read_only: bool,
    pub(crate) destructive: bool,
    pub(crate) idempotent: bool,
    pub(crate) open_world: bool,
}

impl Parse for Attributes {
    fn parse(input: ParseStream) -> Result<Self> {
        let mut parsed = Attributes::default();
        let mut said_destructive = false;
        let mut additive = false;
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "name" => parsed.name = Some(value(input)?),
                "title" => parsed.title = Some(value(input)?),
                "read_only" => parsed.read_only = true,
                "destructive" => said_destructive = true,
                "additive" => additive = true,
                "idempotent" => parsed.idempotent = true,
                "open_world" => parsed.open_world = true,
                other => return Err(Error::new(key.span(), unknown(other))),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if [parsed.read_only, said_destructive, additive].iter().filter(|said| **said).count() > 1 {
            let message = "say one of `read_only`, `additive` and `destructive`, not two";
            return Err(Error::new(Span::call_site(), message));
        }
        parsed.destructive = !parsed.read_only && !additive;
        Ok(parsed)
    }
}

fn value(input: ParseStream) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn unknown(key: &str) -> String {
    format!(
        "`{key}` is no key of #[tool]: use read_only, additive, destructive, idempotent, \
         open_world, title = \"…\" or name = \"…\""
    )
}
