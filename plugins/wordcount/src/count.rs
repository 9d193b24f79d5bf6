//! Counting, in one pass and constant memory.

use std::fmt::Write as _;
use std::io::{self, Read};

/// What is counted, whatever is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
    pub(crate) characters: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
        self.characters += other.characters;
    }
}

/// Which counts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    lines: bool,
    words: bool,
    bytes: bool,
    characters: bool,
}

impl Columns {
    pub(crate) fn add(&mut self, flag: char) -> Option<()> {
        match flag {
            'l' => self.lines = true,
            'w' => self.words = true,
            'c' => self.bytes = true,
            'm' => self.characters = true,
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn or_default(self) -> Self {
        if self == Self::default() {
            return Self { lines: true, words: true, bytes: true, characters: false };
        }
        self
    }

    pub(crate) fn line(self, counts: Counts, name: &str) -> String {
        let shown = [
            (self.lines, counts.lines),
            (self.words, counts.words),
            (self.characters, counts.characters),
            (self.bytes, counts.bytes),
        ];
        let mut line = String::new();
        for (_, count) in shown.iter().filter(|(shown, _)| *shown) {
            let gap = if line.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            write!(line, "{gap}{count:>7}").ok();
        }
        if name.is_empty() { line } else { format!("{line} {name}") }
    }
}

/// Words are parted by ASCII white space; a character starts at every byte that goes on no other.
pub(crate) fn count(mut input: impl Read) -> io::Result<Counts> {
    let mut buffer = vec![0; 64 * 1024];
    let mut counts = Counts::default();
    let mut inside_word = false;
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => return Ok(counts),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for &byte in &buffer[..read] {
            counts.bytes += 1;
            counts.lines += u64::from(byte == b'\n');
            counts.characters += u64::from(byte & 0b1100_0000 != 0b1000_0000);
            let space = byte.is_ascii_whitespace() || byte == 0x0b;
            counts.words += u64::from(!space && !inside_word);
            inside_word = !space;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_wc() {
        let counts = count("grün is\n a  word\nlast".as_bytes()).expect("counts");
        assert_eq!(counts, Counts { lines: 2, words: 5, bytes: 22, characters: 21 });
    }

    #[test]
    fn an_empty_input_has_nothing() {
        assert_eq!(count(&b""[..]).expect("counts"), Counts::default());
    }
}
