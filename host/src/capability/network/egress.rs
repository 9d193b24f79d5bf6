//! One outgoing HTTP request: connect to the checked address, send, and stream the answer.
//!
//! It knows nothing of grants, guests or WASI. It follows no redirect, keeps no connection for
//! another request, sends nothing of the host's own (no user agent, no cookies, no proxy settings)
//! and reads no environment but the certificate store's. Every wait and every size has a bound.

use super::body::{BodyError, CappedBody, Connection, MeteredBody, RequestCap};
use super::host::Scheme;
use super::request::prepare;
use super::resolve::Destination;
use super::tls::Tls;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// hyper's smallest read buffer; a smaller cap on heads is raised to it in the buffer alone.
const READ_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// The bounds on sizes and numbers, for every request of one [`Egress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// A request's body and trailers, in bytes.
    pub request_body_bytes: u64,
    /// A request's path, query and fields, in bytes.
    pub request_head_bytes: usize,
    /// A response's body and trailers, in bytes.
    pub response_body_bytes: u64,
    /// A response's status line and fields, in bytes.
    pub response_head_bytes: usize,
    /// A response's fields.
    pub response_fields: usize,
    /// Connections that one call may have at once.
    pub connections: usize,
}

impl Default for Caps {
    /// Sizes that large APIs and pages stay under: 16 MiB out, 64 MiB in, heads of 64 KiB.
    fn default() -> Self {
        Self {
            request_body_bytes: 16 << 20,
            request_head_bytes: 64 << 10,
            response_body_bytes: 64 << 20,
            response_head_bytes: 64 << 10,
            response_fields: 128,
            connections: 32,
        }
    }
}

/// The bounds on waiting. The time of the whole call is bounded elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For connecting to any of the addresses, TLS included.
    pub connect: Duration,
    /// From then until the head of the response, the sending of the request included.
    pub first_byte: Duration,
    /// Between two pieces of the response's body, while somebody waits for it.
    pub between_bytes: Duration,
}

impl Default for Times {
    /// Longer than any healthy server needs, shorter than people wait.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(30),
        }
    }
}

/// What a request waited for when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A connection.
    Connect,
    /// The head of the response.
    FirstByte,
    /// More of the response's body.
    BetweenBytes,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connection was made",
            Self::FirstByte => "response began",
            Self::BetweenBytes => "more of the response came",
        })
    }
}

/// One of the two messages of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// What goes out.
    Request,
    /// What comes back.
    Response,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
        })
    }
}

/// Why a request got no response, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// None of the addresses took the connection; the reason of the last one.
    #[error("{address} took no connection: {source}")]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A wait was longer than its bound.
    #[error("no {stage} within {after:?}")]
    Timeout {
        /// What was waited for.
        stage: Stage,
        /// How long.
        after: Duration,
    },
    /// The TLS handshake failed; a bad certificate is within.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// The trusted roots could not be loaded: the operator's to repair.
    #[error("the trusted certificates could not be loaded: {0}")]
    Roots(String),
    /// The request is one that is not sent.
    #[error("the request is not sent: {0}")]
    Request(String),
    /// The request's body is over its cap.
    #[error("the request body is larger than {cap} bytes")]
    RequestTooLarge {
        /// The cap in bytes.
        cap: u64,
    },
    /// The response's body is over its cap; what came before it was delivered.
    #[error("the response body is larger than {cap} bytes")]
    ResponseTooLarge {
        /// The cap in bytes.
        cap: u64,
    },
    /// The address and fields of a request, or the status line and fields of a response, are over
    /// their cap, or the response has too many of them.
    #[error("the {of}'s head is over its cap of {cap} bytes")]
    Head {
        /// Whose head.
        of: Message,
        /// The cap in bytes.
        cap: usize,
    },
    /// The call has as many connections open as it may.
    #[error("a call may have at most {limit} connections at once")]
    Connections {
        /// The cap.
        limit: usize,
    },
    /// What came is not HTTP, or it ended early.
    #[error("the exchange failed: {0}")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
}

impl EgressError {
    /// Finds the reason in what hyper reports.
    pub(super) fn from_hyper(error: hyper::Error) -> Self {
        let mut source = error.source();
        while let Some(inner) = source {
            if let Some(reached) = inner.downcast_ref::<RequestCap>() {
                return Self::RequestTooLarge { cap: reached.cap };
            }
            source = inner.source();
        }
        Self::Protocol(Box::new(error))
    }
}

/// Anything bytes go over: TCP, or TLS on top of it.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Performs requests. One for the host; [`Egress::for_call`] gives each call its own.
#[derive(Clone, Debug)]
pub struct Egress {
    caps: Caps,
    tls: Arc<Tls>,
    slots: Arc<Semaphore>,
}

impl Egress {
    /// An egress with these caps that trusts the system's roots.
    pub fn new(caps: Caps) -> Self {
        Self::trusting(caps, Vec::new())
    }

    /// An egress that trusts these roots besides the system's.
    pub fn trusting(caps: Caps, own_roots: Vec<CertificateDer<'static>>) -> Self {
        let slots = Arc::new(Semaphore::new(caps.connections));
        Self { caps, tls: Arc::new(Tls::with_roots(own_roots)), slots }
    }

    /// The same for one call, with caps of its own: calls do not take each other's connections.
    pub fn for_call(&self, caps: Caps) -> Self {
        let slots = Arc::new(Semaphore::new(caps.connections));
        Self { caps, tls: Arc::clone(&self.tls), slots }
    }

    /// Sends one request to a checked destination and returns the response with its body to come.
    ///
    /// A redirect is a response like any other. Dropping the future or the body ends the
    /// connection.
    pub async fn send<B>(
        &self,
        destination: Destination,
        request: Request<B>,
        times: Times,
    ) -> Result<Response<CappedBody>, EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let request = prepare(&destination, request, &self.caps)?;
        let limit = self.caps.connections;
        let slot = Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_| EgressError::Connections { limit })?;
        let connecting = self.connect(&destination, times.connect);
        let wire = within(times.connect, Stage::Connect, connecting).await?;
        let (mut sender, connection) = self.drive(wire, slot).await?;
        let answering =
            async { sender.send_request(request).await.map_err(|error| self.no_response(error)) };
        let response = within(times.first_byte, Stage::FirstByte, answering).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Protocol(
                "it changed the protocol without being asked".into(),
            ));
        }
        let cap = self.caps.response_body_bytes;
        Ok(response.map(|body| CappedBody::new(body, connection, cap, times.between_bytes)))
    }

    /// Why there is no head of a response.
    fn no_response(&self, error: hyper::Error) -> EgressError {
        match error.is_parse_too_large() {
            true => EgressError::Head { of: Message::Response, cap: self.caps.response_head_bytes },
            false => EgressError::from_hyper(error),
        }
    }

    async fn connect(
        &self,
        destination: &Destination,
        time: Duration,
    ) -> Result<Box<dyn Wire>, EgressError> {
        let stream = connect_in_order(destination.addresses(), time).await?;
        let target = destination.target();
        match target.scheme {
            Scheme::Http => Ok(Box::new(stream)),
            Scheme::Https => Ok(Box::new(self.tls.connect(&target.host, stream).await?)),
        }
    }

    async fn drive<B>(
        &self,
        wire: Box<dyn Wire>,
        slot: OwnedSemaphorePermit,
    ) -> Result<(http1::SendRequest<MeteredBody<B>>, Connection), EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let head_bytes = self.caps.response_head_bytes;
        let (sender, connection) = http1::Builder::new()
            .max_headers(self.caps.response_fields)
            .max_header_size(head_bytes)
            .max_buf_size(head_bytes.max(READ_BUFFER_BYTES_MIN))
            .handshake(TokioIo::new(wire))
            .await
            .map_err(EgressError::from_hyper)?;
        let task = tokio::spawn(async move {
            // The same error reaches whoever waits for the response or reads its body.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an outgoing connection ended");
            }
        });
        Ok((sender, Connection::new(task, slot)))
    }
}

async fn within<T>(
    after: Duration,
    stage: Stage,
    work: impl Future<Output = Result<T, EgressError>>,
) -> Result<T, EgressError> {
    timeout(after, work).await.map_err(|_| EgressError::Timeout { stage, after })?
}

/// Tries the addresses in order. Each gets an equal share of the time that is left, so one that
/// does not answer cannot use up the others'.
async fn connect_in_order(
    addresses: &[SocketAddr],
    time: Duration,
) -> Result<TcpStream, EgressError> {
    let end = Instant::now() + time;
    let mut failure = EgressError::Timeout { stage: Stage::Connect, after: time };
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written in few large pieces: waiting to merge them only delays.
                let nodelay = stream.set_nodelay(true);
                nodelay.map_err(|source| EgressError::Connect { address: *address, source })?;
                return Ok(stream);
            }
            Ok(Err(source)) => failure = EgressError::Connect { address: *address, source },
            Err(_) => failure = EgressError::Timeout { stage: Stage::Connect, after: time },
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests;
