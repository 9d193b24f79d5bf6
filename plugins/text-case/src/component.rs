//! The border to the component model: generated bindings, and nothing decided here.

#![allow(unsafe_code, reason = "the generated export is called with raw pointers")]

#[allow(clippy::all, reason = "generated from the WIT")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "text-case" });
}

use bindings::exports::demo::text::case::{Converted, Error, Guest, Options, Style};

struct Component;

impl Guest for Component {
    fn upper(text: String) -> String {
        text.to_uppercase()
    }

    fn lower(text: String) -> String {
        text.to_lowercase()
    }

    fn title(text: String) -> String {
        crate::title(&text)
    }

    fn words(text: String) -> Vec<String> {
        crate::words(&text)
    }

    fn convert(texts: Vec<String>, options: Options) -> Result<Vec<Converted>, Error> {
        let style = match options.style {
            Style::Pascal => crate::Style::Pascal,
            Style::Camel => crate::Style::Camel,
            Style::Delimited(between) => crate::Style::Delimited(between),
        };
        let limit = options.limit.map(|limit| limit as usize);
        let convert = |(index, text): (u32, String)| {
            let converted = crate::convert(&text, &style, &options.keep, limit);
            let converted = converted.ok_or(Error::NoWords(index))?;
            Ok(Converted {
                text: converted.text,
                words: u32::try_from(converted.words).unwrap_or(u32::MAX),
                cut: converted.cut,
            })
        };
        (0..).zip(texts).map(convert).collect()
    }
}

bindings::export!(Component with_types_in bindings);
