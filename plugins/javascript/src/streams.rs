//! What code prints, kept up to a bound, and counted beyond it.

use std::cell::RefCell;

/// Bytes of each stream that are kept.
pub const BYTES_MAX: usize = 256 * 1024;

/// The beginning of a text, and how many bytes came after it.
#[derive(Default)]
pub struct Kept {
    text: String,
    left_out: usize,
}

impl Kept {
    /// Adds as much as there is room for.
    pub fn push(&mut self, text: &str) {
        let room = BYTES_MAX.saturating_sub(self.text.len());
        let fits = if self.left_out > 0 { 0 } else { text.floor_char_boundary(room) };
        self.text.push_str(&text[..fits]);
        self.left_out += text.len() - fits;
    }

    /// The text, with a line about what was left out.
    pub fn into_text(self) -> String {
        match self.left_out {
            0 => self.text,
            more => format!("{}\n[{more} bytes more]\n", self.text),
        }
    }
}

/// A text cut to the bound.
pub fn cut(text: &str) -> String {
    let mut kept = Kept::default();
    kept.push(text);
    kept.into_text()
}

/// Standard output and error of one call.
#[derive(Default)]
pub struct Streams {
    /// Standard output.
    pub stdout: RefCell<Kept>,
    /// Standard error.
    pub stderr: RefCell<Kept>,
}
