//! Bodies with a cap: bytes are counted on both ways, and a response that stalls ends.

use super::egress::{EgressError, Stage};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

/// Any error of a request body, as hyper wants it.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// A request body gave more bytes than its cap; found again in hyper's chain of sources.
#[derive(Debug, thiserror::Error)]
#[error("the request body is larger than {cap} bytes")]
pub struct RequestCap {
    /// The cap in bytes.
    pub cap: u64,
}

/// A request body that fails once it has given more bytes than its cap.
pub struct MeteredBody<B> {
    /// Boxed, so that a body which must not move needs no unsafe code here.
    inner: Pin<Box<B>>,
    sent: u64,
    cap: u64,
}

impl<B> MeteredBody<B> {
    /// Counts a body against a cap in bytes.
    pub fn new(inner: B, cap: u64) -> Self {
        Self {
            inner: Box::pin(inner),
            sent: 0,
            cap,
        }
    }
}

impl<B> Body for MeteredBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(frame) = ready!(self.inner.as_mut().poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Into::into)?;
        self.sent = self.sent.saturating_add(weight(&frame));
        if self.sent > self.cap {
            return Poll::Ready(Some(Err(RequestCap { cap: self.cap }.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a connection holds while its response lives: the task that drives it, and its slot.
#[derive(Debug)]
pub(super) struct Connection {
    task: JoinHandle<()>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(task: JoinHandle<()>, slot: OwnedSemaphorePermit) -> Self {
        Self { task, _slot: slot }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A response body with a cap in bytes and a longest wait between them. Dropping it ends the
/// connection, whatever either side still had to say.
#[derive(Debug)]
pub struct CappedBody {
    incoming: Incoming,
    /// Gone as soon as the body has ended, well or badly: the end is told once.
    connection: Option<Connection>,
    read: u64,
    cap: u64,
    between: Duration,
    /// Runs only while a read waits, so a guest that thinks between reads is not timed out.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl CappedBody {
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        cap: u64,
        between: Duration,
    ) -> Self {
        Self {
            incoming,
            connection: Some(connection),
            read: 0,
            cap,
            between,
            waiting: None,
        }
    }

    /// Bytes that came so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let Poll::Ready(next) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            return self.poll_stalled(cx).map(|error| Some(Err(error)));
        };
        self.waiting = None;
        let Some(frame) = next else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(EgressError::from_hyper)?;
        self.read = self.read.saturating_add(weight(&frame));
        if self.read > self.cap {
            return Poll::Ready(Some(Err(EgressError::ResponseTooLarge { cap: self.cap })));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<EgressError> {
        let between = self.between;
        let deadline = || Box::pin(tokio::time::sleep_until(Instant::now() + between));
        let waiting = self.waiting.get_or_insert_with(deadline);
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(EgressError::Timeout {
            stage: Stage::BetweenBytes,
            after: between,
        })
    }
}

impl Body for CappedBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.connection.is_none() {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_incoming(cx));
        if !matches!(next, Some(Ok(_))) {
            self.connection = None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none() || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.connection.is_none() {
            SizeHint::with_exact(0)
        } else {
            self.incoming.size_hint()
        }
    }
}

/// The bytes of a frame; trailers count with their names, so they are no way around a cap.
fn weight(frame: &Frame<Bytes>) -> u64 {
    let bytes = match (frame.data_ref(), frame.trailers_ref()) {
        (Some(data), _) => data.len(),
        (None, Some(trailers)) => trailers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum(),
        (None, None) => 0,
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
