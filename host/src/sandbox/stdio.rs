//! Standard streams of a guest: where its bytes go, counted against a budget.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::AsyncWrite;
use tokio::time::Sleep;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::sandbox::limits::ByteBudget;
use crate::types::LimitHit;

/// Where the bytes of stdout or stderr go.
#[derive(Clone, Debug)]
pub enum Sink {
    /// The host's own stdout.
    Stdout,
    /// The host's own stderr, byte for byte.
    Stderr,
    /// The host's own stderr as a log: on a terminal control characters are shown, not obeyed.
    Log,
    /// Nowhere.
    Discard,
    /// Memory, for a caller that reads it afterwards.
    Memory(Arc<Mutex<Vec<u8>>>),
}

impl Sink {
    /// A sink in memory, and the handle to read it by.
    pub fn memory() -> (Self, Arc<Mutex<Vec<u8>>>) {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        (Self::Memory(Arc::clone(&bytes)), bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => write_all(io::stdout().lock(), bytes),
            Self::Stderr => write_all(io::stderr().lock(), bytes),
            Self::Log if io::IsTerminal::is_terminal(&io::stderr()) => {
                let text = visible(&String::from_utf8_lossy(bytes));
                write_all(io::stderr().lock(), text.as_bytes())
            }
            Self::Log => write_all(io::stderr().lock(), bytes),
            Self::Discard => Ok(()),
            Self::Memory(memory) => {
                memory.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// How much can be written now without waiting for a reader.
    fn room(&self) -> usize {
        match self {
            Self::Stdout => room(io::stdout().as_fd()),
            Self::Stderr | Self::Log => room(io::stderr().as_fd()),
            Self::Discard | Self::Memory(_) => WRITE_BYTES_MAX,
        }
    }
}

/// Control characters as their pictures: `␛` for escape. A terminal obeys them, and what a guest
/// writes there must not move the cursor or forge a line.
pub fn visible(text: &str) -> String {
    let picture = |c: char| match c {
        '\n' | '\t' => c,
        '\u{7f}' => '\u{2421}',
        c if (c as u32) < 0x20 => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        // Marks that change the direction of what follows are no letters either.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(picture).collect()
}

/// Past the standard library's buffer: flushing it would wait for a reader, however late.
fn write_all(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&to, bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// A pipe that takes a byte takes as many as this (POSIX: `PIPE_BUF` is at least 512, and 4,096 in
/// Linux).
const PIPE_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

fn room(fd: BorrowedFd<'_>) -> usize {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    match rustix::event::poll(&mut fds, Some(&Timespec::default())) {
        // Nothing to wait for: not ready.
        Ok(0) | Err(rustix::io::Errno::INTR) => 0,
        // What is wrong with it, its write will tell.
        Ok(_) | Err(_) => PIPE_BYTES,
    }
}

/// How often a full pipe is looked at again.
const ROOM_AGAIN: Duration = Duration::from_millis(2);

/// What a guest may write in one call of the stream, so that a flood is met in small bites.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// A sink with a budget. All streams a guest opens on it share both.
#[derive(Clone, Debug)]
pub struct BoundedSink {
    sink: Sink,
    budget: Arc<ByteBudget>,
    limit: LimitHit,
    /// What the last `check-write` allowed and was not written yet: more could wait for a reader,
    /// and with it the thread, its timer and its epochs.
    permit: usize,
}

impl BoundedSink {
    /// `sink` until `limit.value` bytes; after that the guest is ended by `limit`.
    pub fn new(sink: Sink, limit: LimitHit) -> Self {
        Self { sink, budget: Arc::new(ByteBudget::new(limit.value)), limit, permit: 0 }
    }

    fn put(&self, bytes: &[u8]) -> StreamResult<()> {
        let granted = self.budget.take(bytes.len() as u64);
        let (head, rest) = bytes.split_at(usize::try_from(granted).unwrap_or(bytes.len()));
        self.sink.write(head).map_err(stream_error)?;
        if rest.is_empty() {
            return Ok(());
        }
        Err(StreamError::Trap(self.limit.clone().into()))
    }
}

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        // The reader went away, as in `aos-host run … | head`.
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

impl IsTerminal for BoundedSink {
    fn is_terminal(&self) -> bool {
        match self.sink {
            Sink::Stdout => io::IsTerminal::is_terminal(&io::stdout()),
            Sink::Stderr => io::IsTerminal::is_terminal(&io::stderr()),
            Sink::Log | Sink::Discard | Sink::Memory(_) => false,
        }
    }
}

impl StdoutStream for BoundedSink {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(SinkWriter::new(self.clone()))
    }
}

impl OutputStream for BoundedSink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.permit.checked_sub(bytes.len()) {
            Some(left) => self.permit = left,
            None => {
                return Err(StreamError::Trap(wasmtime::Error::msg(
                    "write beyond what check-write allowed",
                )));
            }
        }
        self.put(&bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        // Nothing is kept back.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit = self.sink.room();
        Ok(self.permit)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for BoundedSink {
    /// A reader that does not read holds its guest and not the thread, so the guest's time counts.
    async fn ready(&mut self) {
        while self.sink.room() == 0 {
            tokio::time::sleep(ROOM_AGAIN).await;
        }
    }
}

/// One of a sink's streams, for writers that wait by being polled.
#[derive(Debug)]
pub struct SinkWriter {
    sink: BoundedSink,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl SinkWriter {
    /// A stream of its own on `sink`.
    pub fn new(sink: BoundedSink) -> Self {
        Self { sink, waiting: None }
    }

    /// Writes some of `bytes`, and says how many, once there is room for any.
    pub fn poll_put(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<StreamResult<usize>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                std::task::ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            let bytes = &bytes[..bytes.len().min(self.sink.sink.room())];
            if !bytes.is_empty() {
                return Poll::Ready(self.sink.put(bytes).map(|()| bytes.len()));
            }
            self.waiting = Some(Box::pin(tokio::time::sleep(ROOM_AGAIN)));
        }
    }
}

impl AsyncWrite for SinkWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_put(context, bytes).map(|put| match put {
            Ok(count) => Ok(count),
            Err(StreamError::Closed) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(StreamError::LastOperationFailed(error) | StreamError::Trap(error)) => {
                Err(io::Error::other(error.to_string()))
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
