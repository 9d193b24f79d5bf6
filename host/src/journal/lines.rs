//! Reads lines of bounded length, with their numbers, for head files and exports.

use super::JournalError;
use std::io::{BufRead, Read};

/// The longest line of an export or head file, in bytes: a row of [`super::ROW_BYTES_MAX`] with
/// every byte escaped, and room.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// The lines of a file.
pub(super) struct Lines<R> {
    input: R,
    file: &'static str,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// `file` is what to call the input in errors.
    pub(super) fn new(input: R, file: &'static str) -> Self {
        Self { input, file, number: 0, line: Vec::new() }
    }

    /// The next line without its end; `None` after the last. Fails on a line that is too long or
    /// not UTF-8.
    pub(super) fn next(&mut self) -> Result<Option<&str>, JournalError> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if read as u64 == LINE_BYTES_MAX {
            return Err(self.error("it is too long"));
        }
        match std::str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(self.error("it is not UTF-8")),
        }
    }

    /// An error about the line that was read last.
    pub(super) fn error(&self, what: impl Into<String>) -> JournalError {
        JournalError::Input { file: self.file, line: self.number, what: what.into() }
    }
}
