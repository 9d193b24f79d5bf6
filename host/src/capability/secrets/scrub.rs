//! Masks values in what comes back: each byte of a form of a value becomes `*`, so lengths stay
//! as they were said to be.
//!
//! A body is masked as it streams. What could be the beginning of a value is held back until more
//! came, and nothing else is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, MatchKind};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::forms::forms;

/// What is put in the place of every byte of a value.
const MASK: u8 = b'*';

/// Finds every form of some values.
#[derive(Clone, Debug)]
pub struct Scrubber {
    values: AhoCorasick,
    /// Names of fields are in lower case when they come to a guest.
    names: AhoCorasick,
    patterns: Arc<[Vec<u8>]>,
    longest: usize,
}

impl Scrubber {
    /// One for these values.
    ///
    /// # Errors
    /// When they are too many or too long for the automaton.
    pub fn new<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, BuildError> {
        let mut patterns: Vec<Vec<u8>> = values.flat_map(forms).collect();
        patterns.sort_unstable();
        patterns.dedup();
        let built = |fold: bool| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .ascii_case_insensitive(fold)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&patterns)
        };
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let (values, names) = (built(false)?, built(true)?);
        Ok(Self { values, names, patterns: patterns.into(), longest })
    }

    /// Masks everything that is in a text as a whole; true when something was.
    pub fn mask(&self, text: &mut [u8]) -> bool {
        let found: Vec<_> = self.values.find_iter(&*text).map(|found| found.range()).collect();
        for range in &found {
            text[range.clone()].fill(MASK);
        }
        !found.is_empty()
    }

    /// Masks the fields of a message. A field whose name holds a value is left out.
    pub fn mask_fields(&self, fields: &mut HeaderMap) {
        let named: Vec<_> =
            fields.keys().filter(|name| self.names.is_match(name.as_str())).cloned().collect();
        for name in named {
            fields.remove(name);
        }
        for value in fields.values_mut() {
            let mut bytes = value.as_bytes().to_vec();
            if self.mask(&mut bytes) {
                // Stars are taken everywhere; were they not, nothing is better than the value.
                *value = HeaderValue::from_bytes(&bytes)
                    .unwrap_or_else(|_| HeaderValue::from_static("***"));
            }
        }
    }

    /// A stream of bytes.
    pub fn stream(&self) -> ScrubStream {
        ScrubStream { scrubber: self.clone(), held: Vec::new() }
    }

    /// Where the longest end of `text` begins that is a beginning of a pattern.
    fn open_end(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |end: &[u8]| {
            self.patterns
                .iter()
                .any(|pattern| pattern.len() > end.len() && pattern.starts_with(end))
        };
        (from..text.len()).find(|at| begins(&text[*at..])).unwrap_or(text.len())
    }
}

/// A body on its way through a [`Scrubber`].
#[derive(Debug)]
pub struct ScrubStream {
    scrubber: Scrubber,
    /// What could be the beginning of a value.
    held: Vec<u8>,
}

impl ScrubStream {
    /// Takes the next bytes in and gives what is known to hold no value.
    pub fn next(&mut self, chunk: &[u8]) -> Bytes {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(chunk);
        let open = self.scrubber.open_end(&text);
        let found: Vec<_> = self
            .scrubber
            .values
            .find_iter(&text)
            .map(|found| found.range())
            .take_while(|range| range.start < open)
            .collect();
        for range in found {
            text[range].fill(MASK);
        }
        self.held = text.split_off(open);
        text.into()
    }

    /// What was held back, at the end.
    pub fn end(&mut self) -> Bytes {
        let mut text = std::mem::take(&mut self.held);
        self.scrubber.mask(&mut text);
        text.into()
    }

    /// Bytes that are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// A response's body that is masked while it is read.
#[derive(Debug)]
pub struct ScrubbedBody<B> {
    inner: B,
    stream: ScrubStream,
    /// What comes after the bytes that were held back: trailers, an error, the end.
    last: Option<Frame<Bytes>>,
    ended: bool,
}

impl<B> ScrubbedBody<B> {
    /// Masks `inner`.
    pub fn new(inner: B, scrubber: &Scrubber) -> Self {
        Self { inner, stream: scrubber.stream(), last: None, ended: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ScrubbedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            if self.ended {
                return Poll::Ready(self.last.take().map(Ok));
            }
            let next = ready!(Pin::new(&mut self.inner).poll_frame(cx));
            let frame = match next {
                None => None,
                // What is held back of a body that broke is part of no whole value.
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => Some(frame),
            };
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => {
                    let masked = self.stream.next(&data);
                    if !masked.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(masked))));
                    }
                }
                Some(Err(frame)) => {
                    self.ended = true;
                    self.last = frame.into_trailers().ok().map(|mut trailers| {
                        self.stream.scrubber.mask_fields(&mut trailers);
                        Frame::trailers(trailers)
                    });
                }
                None => self.ended = true,
            }
            if self.ended && self.stream.held() > 0 {
                return Poll::Ready(Some(Ok(Frame::data(self.stream.end()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let empty = self.stream.held() == 0 && self.last.is_none();
        empty && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.stream.held() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
