//! Where in a JSON document the work stands. A path is a list on the stack that is written out only
//! for an error, so it costs nothing on the way.

use std::fmt;

/// Longest field name written out in a path, in characters: names come from hostile input.
const NAME_CHARS_MAX: usize = 80;

/// One step of a path.
#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Field(&'a str),
    Index(usize),
}

/// A place in a JSON document, shown as `$.items[3].name`.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
    /// Steps from the root.
    pub(super) depth: usize,
}

impl Path<'_> {
    /// The document itself, `$`.
    pub(super) fn root() -> Self {
        Path {
            parent: None,
            segment: Segment::Root,
            depth: 0,
        }
    }

    /// A field of the object that stands here.
    pub(super) fn field<'b>(&'b self, name: &'b str) -> Path<'b> {
        self.step(Segment::Field(name))
    }

    /// An element of the array that stands here.
    pub(super) fn index(&self, index: usize) -> Path<'_> {
        self.step(Segment::Index(index))
    }

    fn step<'b>(&'b self, segment: Segment<'b>) -> Path<'b> {
        Path {
            parent: Some(self),
            segment,
            depth: self.depth + 1,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => f.write_str("$"),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Field(name) if is_plain(name) => write!(f, ".{name}"),
            Segment::Field(name) => {
                let short: String = name.chars().take(NAME_CHARS_MAX).collect();
                let cut = if short.len() < name.len() { "…" } else { "" };
                write!(f, "[{short:?}{cut}]")
            }
        }
    }
}

/// Every WIT name is plain; so is `$call`.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$');
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_json_path() {
        let root = Path::root();
        let items = root.field("items");
        let third = items.index(3);
        let name = third.field("max-size");
        assert_eq!(name.to_string(), "$.items[3].max-size");
        assert_eq!(name.depth, 3);
    }

    #[test]
    fn a_hostile_field_name_is_quoted_and_cut() {
        let root = Path::root();
        assert_eq!(root.field("a\"b\n").to_string(), r#"$["a\"b\n"]"#);
        let long = "x".repeat(10_000);
        assert!(root.field(&long).to_string().len() < 100);
    }
}
