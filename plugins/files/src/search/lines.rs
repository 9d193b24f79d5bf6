//! The lines of one text: which match, and how they are shown.

use std::borrow::Cow;
use std::fmt::Write as _;

use regex::Regex;

/// Longer lines are made by machines; a reader needs their beginning.
const LINE_CHARACTERS_MAX: usize = 500;

/// A line that matches.
pub(super) struct Found<'a> {
    /// From 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// At most `room` lines that match, and whether there are more.
pub(super) fn find<'a>(regex: &Regex, text: &'a str, room: usize) -> (Vec<Found<'a>>, bool) {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if regex.is_match(line) {
            if found.len() == room {
                return (found, true);
            }
            found.push(Found { line: index + 1, text: line });
        }
    }
    (found, false)
}

/// Writes the lines that match, with those around them; groups are parted by `--`, as grep does.
pub(super) fn write(to: &mut String, path: &str, text: &str, found: &[Found<'_>], context: usize) {
    if context == 0 {
        for Found { line, text } in found {
            // Writing to a String cannot fail.
            writeln!(to, "{path}:{line}: {}", cut(text)).ok();
        }
        return;
    }
    let all: Vec<&str> = text.lines().collect();
    let mut shown_to = 0;
    let mut next = found.iter().peekable();
    while let Some(first) = next.next() {
        let from = first.line.saturating_sub(context).max(1).max(shown_to + 1);
        let mut to_line = first.line + context;
        let mut matching = vec![first.line];
        while let Some(near) = next.next_if(|near| near.line <= to_line + context + 1) {
            to_line = near.line + context;
            matching.push(near.line);
        }
        if shown_to > 0 && from > shown_to + 1 {
            to.push_str("--\n");
        }
        shown_to = to_line.min(all.len());
        for line in from..=shown_to {
            let mark = if matching.contains(&line) { ':' } else { '-' };
            writeln!(to, "{path}{mark}{line}{mark} {}", cut(all[line - 1])).ok();
        }
    }
}

pub(super) fn cut(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(LINE_CHARACTERS_MAX) {
        None => Cow::Borrowed(line),
        Some((end, _)) => Cow::Owned(format!("{}…", &line[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, pattern: &str, context: usize) -> String {
        let regex = Regex::new(pattern).expect("a pattern");
        let (found, _) = find(&regex, text, 100);
        let mut to = String::new();
        write(&mut to, "/t", text, &found, context);
        to
    }

    #[test]
    fn context_that_touches_is_one_group() {
        let text = "a\nX\nb\nc\nX\nd\ne\nf\ng\nh\nX";
        let expected =
            "/t-1- a\n/t:2: X\n/t-3- b\n/t-4- c\n/t:5: X\n/t-6- d\n--\n/t-10- h\n/t:11: X\n";
        assert_eq!(shown(text, "X", 1), expected);
    }

    #[test]
    fn without_context_there_are_only_matches() {
        assert_eq!(shown("a\nX\nb\nX", "^X$", 0), "/t:2: X\n/t:4: X\n");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(cut(&"ä".repeat(600)).chars().count(), LINE_CHARACTERS_MAX + 1);
    }

    #[test]
    fn room_bounds_what_is_found() {
        let regex = Regex::new("X").expect("a pattern");
        let (found, more) = find(&regex, "X\nX\nX", 2);
        assert_eq!((found.len(), more), (2, true));
    }
}
