//! A plain component: WIT of its own, wit-bindgen, and no SDK, as a stranger's component would be.
//! The host calls its exports as tools, with schemas that it makes from the WIT types.

mod words;

#[cfg(target_family = "wasm")]
mod component;

pub use words::{title, words};

/// How the words of a text are put together.
#[derive(Clone, Debug)]
pub enum Style {
    /// `HelloWorld`
    Pascal,
    /// `helloWorld`
    Camel,
    /// Lower case with this text between the words.
    Delimited(String),
}

/// One name made of a text's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    pub text: String,
    pub words: usize,
    pub cut: bool,
}

/// A name of the text's words, except `keep` in the given style; none where there are no words.
pub fn convert(
    text: &str,
    style: &Style,
    keep: &[String],
    characters_max: Option<usize>,
) -> Option<Converted> {
    let words = words(text);
    if words.is_empty() {
        return None;
    }
    let parts = words.iter().enumerate().map(|(index, word)| match style {
        _ if keep.contains(word) => word.clone(),
        Style::Delimited(_) => word.to_lowercase(),
        Style::Camel if index == 0 => word.to_lowercase(),
        Style::Camel | Style::Pascal => title(word),
    });
    let between = match style {
        Style::Delimited(between) => between.as_str(),
        Style::Pascal | Style::Camel => "",
    };
    let whole = parts.collect::<Vec<_>>().join(between);
    let text: String = whole.chars().take(characters_max.unwrap_or(usize::MAX)).collect();
    Some(Converted { cut: text.len() < whole.len(), text, words: words.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(style: Style) -> String {
        let keep = ["NASA".to_owned()];
        convert("the NASA web-site", &style, &keep, None).expect("words").text
    }

    #[test]
    fn styles_put_words_together() {
        assert_eq!(converted(Style::Pascal), "TheNASAWebSite");
        assert_eq!(converted(Style::Camel), "theNASAWebSite");
        assert_eq!(converted(Style::Delimited("_".to_owned())), "the_NASA_web_site");
    }

    #[test]
    fn a_limit_cuts_and_says_so() {
        let cut = convert("hello world", &Style::Pascal, &[], Some(4)).expect("words");
        assert_eq!(cut, Converted { text: "Hell".to_owned(), words: 2, cut: true });
    }

    #[test]
    fn a_text_without_words_has_no_name() {
        assert_eq!(convert("?!", &Style::Camel, &[], None), None);
    }
}
