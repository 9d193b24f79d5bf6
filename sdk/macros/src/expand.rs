//! From a function to the function and its `Tool`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericArgument, Ident, ItemFn, Lit, Meta,
    PathArguments, Result, ReturnType, Type, parse_quote,
};

use crate::attributes::Attributes;

/// What a tool function hands back.
struct Returns {
    value: Type,
    /// Whether it is wrapped in a `Result`.
    fallible: bool,
}

pub(crate) fn expand(attributes: &Attributes, function: &ItemFn) -> Result<TokenStream> {
    let ident = &function.sig.ident;
    check_signature(function)?;
    let name = name(attributes, ident)?;
    let description = description(function)?;
    let title = match &attributes.title {
        Some(title) => quote!(::core::option::Option::Some(#title)),
        None => quote!(::core::option::Option::None),
    };
    let definition = definition(attributes, function)?;
    let call = call(function)?;
    let visibility = &function.vis;
    Ok(quote! {
        #function

        // A struct with braces lives beside a function of its name: one is a type, one a value.
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it carries the function's name")]
        #visibility struct #ident {}

        impl ::aos_sdk::Tool for #ident {
            const NAME: &'static str = #name;
            const TITLE: ::core::option::Option<&'static str> = #title;
            const DESCRIPTION: &'static str = #description;
            #definition
            #call
        }
    })
}

fn check_signature(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(Error::new(token.span(), "a tool is an ordinary function, not an async one"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a tool has no generic parameters"));
    }
    if signature.inputs.len() > 1 {
        let message = "a tool takes no argument, or one struct that holds them all";
        return Err(Error::new(signature.inputs.span(), message));
    }
    Ok(())
}

/// The rule of `aos:tool`: `[a-z][a-z0-9_]{0,47}`.
fn name(attributes: &Attributes, ident: &Ident) -> Result<String> {
    let (name, span) = match &attributes.name {
        Some(name) => (name.value(), name.span()),
        None => (ident.to_string(), ident.span()),
    };
    let mut characters = name.chars();
    let starts = characters.next().is_some_and(|first| first.is_ascii_lowercase());
    let goes_on = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts && goes_on && name.len() <= 48 {
        return Ok(name);
    }
    let message = "a tool's name is 1 to 48 of a-z, 0-9 and _, and starts with a letter";
    Err(Error::new(span, message))
}

/// The doc comment, without the one space that follows `///`.
fn description(function: &ItemFn) -> Result<String> {
    let lines: Vec<String> = function.attrs.iter().filter_map(doc_line).collect();
    let text = lines.join("\n").trim().to_owned();
    if text.is_empty() {
        let message = "a tool needs a doc comment: it tells the caller what the tool does";
        return Err(Error::new(function.sig.ident.span(), message));
    }
    Ok(text)
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    if !pair.path.is_ident("doc") {
        return None;
    }
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    let line = text.value();
    Some(line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
}

fn definition(attributes: &Attributes, function: &ItemFn) -> Result<TokenStream> {
    let Attributes { read_only, destructive, idempotent, open_world, .. } = attributes;
    let arguments = arguments(function)?.unwrap_or_else(|| parse_quote!(::aos_sdk::NoArguments));
    let value = returns(function).value;
    Ok(quote! {
        const BEHAVIOUR: ::aos_sdk::Behaviour = ::aos_sdk::Behaviour {
            read_only: #read_only,
            destructive: #destructive,
            idempotent: #idempotent,
            open_world: #open_world,
        };

        fn input_schema() -> ::std::string::String {
            ::aos_sdk::schema::arguments::<#arguments>()
        }

        fn output_schema() -> ::core::option::Option<::std::string::String> {
            #[allow(unused_imports, reason = "one of the two answers, by the result's type")]
            use ::aos_sdk::schema::{Described as _, Undescribed as _};
            (&::aos_sdk::schema::Probe::<#value>::new()).output_schema()
        }
    })
}

fn call(function: &ItemFn) -> Result<TokenStream> {
    let ident = &function.sig.ident;
    let called = match arguments(function)? {
        Some(arguments) => quote_spanned! { arguments.span() =>
            #ident(::aos_sdk::arguments::parse::<#arguments>(arguments)?)
        },
        None => quote!({
            ::aos_sdk::arguments::parse::<::aos_sdk::NoArguments>(arguments)?;
            #ident()
        }),
    };
    let value = if returns(function).fallible { quote!(#called?) } else { called };
    Ok(quote! {
        fn call(
            arguments: &str,
        ) -> ::core::result::Result<::aos_sdk::Output, ::aos_sdk::ToolError> {
            ::aos_sdk::IntoOutput::into_output(#value)
        }
    })
}

fn arguments(function: &ItemFn) -> Result<Option<Type>> {
    match function.sig.inputs.first() {
        None => Ok(None),
        Some(FnArg::Typed(argument)) => Ok(Some((*argument.ty).clone())),
        Some(FnArg::Receiver(receiver)) => {
            Err(Error::new(receiver.span(), "a tool is a free function, without self"))
        }
    }
}

fn returns(function: &ItemFn) -> Returns {
    let ReturnType::Type(_, whole) = &function.sig.output else {
        return Returns { value: parse_quote!(()), fallible: false };
    };
    let fallible = result_value(whole);
    Returns {
        value: fallible.clone().unwrap_or_else(|| (**whole).clone()),
        fallible: fallible.is_some(),
    }
}

/// `T` of anything that is spelt `Result<T, …>`.
fn result_value(whole: &Type) -> Option<Type> {
    let Type::Path(path) = whole else { return None };
    let last = path.path.segments.last()?;
    if last.ident != "Result" {
        return None;
    }
    let PathArguments::AngleBracketed(generics) = &last.arguments else { return None };
    match generics.args.first()? {
        GenericArgument::Type(value) => Some(value.clone()),
        _ => None,
    }
}
