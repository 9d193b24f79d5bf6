//! Server-sent events: bytes in, events out. Pure; knows nothing of what an event means.
//!
//! The rules are those of the HTML standard (9.2.6): lines end in LF, CR or CRLF, `data` lines of
//! one event are joined by LF, lines that begin with a colon are comments (pings of some servers).
//! A character may be cut anywhere between two pieces of bytes: nothing is decoded before its line
//! is whole.

/// The largest event, in bytes. A whole tool call can arrive in one event, so it is as large as
/// what 128,000 tokens of output can be, with room for escapes.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// An event is larger than [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one event is larger than {EVENT_BYTES_MAX} bytes")]
pub struct EventTooLarge;

/// Cuts a stream of bytes into events. Its memory is bounded by [`EVENT_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    begun: bool,
    after_cr: bool,
}

impl Events {
    /// Takes the next bytes and hands each whole event's data on, in order. Bytes that are no
    /// UTF-8 become replacement characters.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<String>) -> Result<(), EventTooLarge> {
        while let Some((first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = rest;
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.keep(bytes);
            };
            self.keep(&bytes[..end])?;
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(out)?;
        }
        Ok(())
    }

    /// The data of an event that the stream ended in without an empty line: some servers forget it.
    pub fn finish(mut self) -> Result<Vec<String>, EventTooLarge> {
        let mut out = Vec::new();
        self.end_line(&mut out)?;
        self.end_event(&mut out);
        Ok(out)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        if self.line.len() + self.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, out: &mut Vec<String>) -> Result<(), EventTooLarge> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            self.end_event(out);
        } else if let Some(value) = value_of(&line, b"data") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data.extend_from_slice(value);
        }
        line.clear();
        // Its room is used again: a stream has as many lines as tokens.
        self.line = line;
        if self.data.len() > EVENT_BYTES_MAX { Err(EventTooLarge) } else { Ok(()) }
    }

    fn end_event(&mut self, out: &mut Vec<String>) {
        if std::mem::take(&mut self.has_data) {
            let data = std::mem::take(&mut self.data);
            out.push(String::from_utf8_lossy(&data).into_owned());
        }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut out) = (Events::default(), Vec::new());
        for piece in pieces {
            events.push(piece, &mut out).expect("small");
        }
        out.extend(events.finish().expect("small"));
        out
    }

    #[test]
    fn every_line_end_is_a_line_end() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("event: x{end}data: one{end}data:two{end}{end}: ping{end}{end}");
            assert_eq!(all(&[text.as_bytes()]), ["one\ntwo"], "{end:?}");
        }
    }

    #[test]
    fn an_event_without_its_empty_line_still_counts() {
        assert_eq!(all(&[b"data: a\n\ndata: b"]), ["a", "b"]);
        assert_eq!(all(&[b"\xef\xbb\xbfdata: a\n"]), ["a"]);
        assert!(all(&[b"event: end\n\n", b":\n\n"]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_bound() {
        let (mut events, mut out) = (Events::default(), Vec::new());
        let piece = vec![b'x'; 1 << 20];
        let pushed: Vec<_> = (0..10).map(|_| events.push(&piece, &mut out)).collect();
        assert_eq!(pushed.iter().filter(|one| one.is_ok()).count(), 4);
        let mut many = Events::default();
        let line = format!("data: {}\n", "y".repeat(1 << 20));
        let pushed: Vec<_> = (0..10).map(|_| many.push(line.as_bytes(), &mut out)).collect();
        assert!(pushed.iter().any(Result::is_err));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            text in "(data: [a-zé日🦀]{0,9}(\n|\r|\r\n){1,2}){0,9}",
            cuts in prop::collection::vec(1usize..7, 0..40),
        ) {
            let whole = all(&[text.as_bytes()]);
            let (mut rest, mut pieces) = (text.as_bytes(), Vec::new());
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            prop_assert_eq!(all(&pieces), whole);
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..999),
        ) {
            all(&[&bytes]);
        }
    }
}
