//! HTML to Markdown, for readers: headings, lists, links, tables, code. It reads tokens, not a
//! tree, so broken pages give text too, and it takes memory for the page and the text alone.

mod writer;

use html5gum::{StartTag, Token, Tokenizer};

use crate::url;
use writer::Writer;

/// A page as Markdown.
pub(crate) struct Page {
    pub(crate) title: Option<String>,
    pub(crate) markdown: String,
}

/// Elements whose content is for machines.
const SKIPPED: [&str; 8] =
    ["script", "style", "noscript", "template", "svg", "iframe", "object", "canvas"];

/// `base` is the page's own URL, which relative links start from.
pub(crate) fn from_html(html: &str, base: &str) -> Page {
    let mut reader = Reader { base, writer: Writer::default(), skipped: None, title: None };
    for Ok(token) in Tokenizer::new(html) {
        if reader.writer.is_full() {
            break;
        }
        match token {
            Token::StartTag(tag) => {
                let name = text(&tag.name);
                reader.start(&name, &tag);
                if tag.self_closing {
                    reader.end(&name);
                }
            }
            Token::EndTag(tag) => reader.end(&text(&tag.name)),
            Token::String(string) => reader.text(&text(&string)),
            _ => {}
        }
    }
    Page {
        title: reader.title.map(|title| title.split_whitespace().collect::<Vec<_>>().join(" ")),
        markdown: reader.writer.finish(),
    }
}

struct Reader<'a> {
    base: &'a str,
    writer: Writer,
    /// The element that is left out, and how many of its kind are open.
    skipped: Option<(String, usize)>,
    title: Option<String>,
}

impl Reader<'_> {
    fn start(&mut self, name: &str, tag: &StartTag<()>) {
        if let Some((skipped, open)) = &mut self.skipped {
            if skipped == name {
                *open += 1;
            }
            return;
        }
        if SKIPPED.contains(&name) || name == "title" {
            self.skipped = Some((name.to_owned(), 1));
            return;
        }
        let writer = &mut self.writer;
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => writer.heading(level(name)),
            "br" => writer.line(),
            "hr" => writer.rule(),
            "ul" => writer.open_list(None),
            "ol" => {
                let first = attribute(tag, "start").and_then(|start| start.parse().ok());
                writer.open_list(Some(first.unwrap_or(1)));
            }
            "li" => writer.item(),
            "blockquote" => writer.open_quote(),
            "pre" => writer.open_code_block(),
            "code" | "kbd" | "samp" => writer.open_mark("`"),
            "strong" | "b" => writer.open_mark("**"),
            "em" | "i" => writer.open_mark("*"),
            "a" => {
                let link = attribute(tag, "href").map(|link| url::join(self.base, &link));
                writer.open_link(link.filter(|link| !link.starts_with("javascript:")));
            }
            "img" => self.image(tag),
            "tr" => writer.open_row(),
            "td" | "th" => writer.open_cell(),
            _ if is_block(name) => writer.paragraph(),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, open)) = &mut self.skipped {
            if skipped == name {
                *open -= 1;
                if *open == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        let writer = &mut self.writer;
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => writer.paragraph(),
            "ul" | "ol" => writer.close_list(),
            "li" => writer.close_item(),
            "blockquote" => writer.close_quote(),
            "pre" => writer.close_code_block(),
            "code" | "kbd" | "samp" => writer.close_mark("`"),
            "strong" | "b" => writer.close_mark("**"),
            "em" | "i" => writer.close_mark("*"),
            "a" => writer.close_link(),
            "tr" => writer.close_row(),
            "td" | "th" => writer.close_cell(),
            "table" => writer.close_table(),
            _ if is_block(name) => writer.paragraph(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        match &self.skipped {
            Some((name, _)) if name == "title" => {
                self.title.get_or_insert_default().push_str(text);
            }
            Some(_) => {}
            None => self.writer.text(text),
        }
    }

    fn image(&mut self, tag: &StartTag<()>) {
        let alt = attribute(tag, "alt").unwrap_or_default();
        let source = attribute(tag, "src").unwrap_or_default();
        // Without a description a reader learns nothing, and data: is all of the picture.
        if !alt.trim().is_empty() && !source.starts_with("data:") {
            let source = url::join(self.base, &source);
            self.writer.text(&format!("![{}]({source})", alt.trim()));
        }
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "section"
            | "article"
            | "main"
            | "header"
            | "footer"
            | "nav"
            | "aside"
            | "form"
            | "fieldset"
            | "figure"
            | "figcaption"
            | "address"
            | "details"
            | "summary"
            | "dl"
            | "dt"
            | "dd"
            | "table"
            | "caption"
            | "body"
            | "title"
    )
}

fn level(name: &str) -> usize {
    name[1..].parse().unwrap_or(1)
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    tag.attributes.get(name.as_bytes()).map(|value| text(value))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
