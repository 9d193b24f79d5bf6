//! Secrets at the border: a request has its placeholders replaced, a response its values masked.
//! What a placeholder may become is the gate's to say.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::capability::gate::{Gate, Permit, Refusal};
use crate::capability::network::body::CappedBody;
use crate::capability::network::egress::EgressError;
use crate::capability::network::host::Target;
use crate::capability::secrets::outgoing::{Outgoing, Unfit, ask_for_the_whole};
use crate::capability::secrets::scrub::ScrubbedBody;
use crate::capability::secrets::{SecretRequest, Secrets};

/// The fewest bytes that are counted for a piece of a body: a piece has a cost of its own.
const PIECE_BYTES_MIN: usize = 64;
/// The largest body that is looked through as a whole, in bytes, whatever the limit on bodies is.
const LOOKED_THROUGH_BYTES_MAX: u64 = 1 << 30;

/// Why a request cannot go out with what it carries. No text of it holds a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// A value does not fit where its placeholder stands.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Bodies of requests are held until they are whole, up to this many bytes together.
    #[error("the request bodies are larger than {cap} bytes, and are held to look for secrets")]
    TooLarge {
        /// The cap in bytes.
        cap: u64,
    },
    /// The guest's own body broke.
    #[error("the request's body: {0}")]
    Guest(Error),
    /// The gate could not write the verdict down.
    #[error("{0}")]
    Gate(String),
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::TooLarge { cap } => Self::HttpRequestBodySize(Some(cap)),
            SecretError::Guest(error) => error,
            SecretError::Unfit(_) | SecretError::Gate(_) => {
                Self::InternalError(Some(error.to_string()))
            }
        }
    }
}

/// The border of one call.
#[derive(Clone, Debug)]
pub(super) struct Border {
    secrets: Arc<Secrets>,
    /// Bytes of bodies that may be held at once, by all requests of the call.
    room: Arc<Semaphore>,
    cap: u64,
}

/// What a held body takes up, until it is sent.
pub(super) type Room = Vec<OwnedSemaphorePermit>;

impl Border {
    /// One that holds at most `body_bytes` of requests.
    pub(super) fn new(secrets: Arc<Secrets>, body_bytes: u64) -> Self {
        let cap = body_bytes.min(LOOKED_THROUGH_BYTES_MAX);
        let room = usize::try_from(cap).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { secrets, room: Arc::new(Semaphore::new(room)), cap }
    }

    /// The request as it goes out to `target`, and the room that its body takes.
    pub(super) async fn outward(
        &self,
        gate: &Gate,
        target: &Target,
        request: http::Request<WasiBody>,
    ) -> Result<(http::Request<WasiBody>, Room), SecretError> {
        if self.secrets.is_empty() {
            return Ok((request, Room::new()));
        }
        let (mut parts, body) = request.into_parts();
        let mut held = self.hold(body).await?;
        let mut whole = Outgoing {
            uri: &mut parts.uri,
            fields: &mut parts.headers,
            body: &mut held.bytes,
            trailers: held.trailers.as_mut(),
        };
        let mut allowed = Vec::new();
        for at in self.secrets.named_in(&whole) {
            let name = &self.secrets.held()[at].name;
            let wish = SecretRequest { name, method: &parts.method, target };
            let give = async |permit: Permit<()>| {
                permit.spend();
                Ok::<_, std::convert::Infallible>(())
            };
            match gate.perform(wish, give).await {
                Ok(()) => allowed.push(at),
                // The request goes on without it, and the denial is in the journal.
                Err(Refusal::Denied(_)) => {}
                Err(Refusal::Limit(limit)) => return Err(SecretError::Gate(limit.to_string())),
                Err(Refusal::Journal(error)) => {
                    tracing::warn!("a request was not sent: {error}");
                    return Err(SecretError::Gate("the host's journal failed".into()));
                }
                Err(Refusal::Effect(never)) => match never {},
            }
        }
        self.secrets.put_in(&mut whole, &allowed)?;
        ask_for_the_whole(&mut parts.headers);
        // What it was before values were put in; the body that goes out knows its own.
        parts.headers.remove(CONTENT_LENGTH);
        let Held { bytes, trailers, room } = held;
        Ok((http::Request::from_parts(parts, body_of(bytes, trailers)), room))
    }

    /// The whole body, within the room that there is.
    async fn hold(&self, mut body: WasiBody) -> Result<Held, SecretError> {
        let mut held = Held { bytes: Vec::new(), trailers: None, room: Room::new() };
        let mut pieces = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(SecretError::Guest)?.into_data() {
                Ok(data) => {
                    held.room.push(self.take(data.len())?);
                    pieces.extend_from_slice(&data);
                }
                Err(frame) => held.trailers = frame.into_trailers().ok(),
            }
        }
        held.bytes = pieces.into();
        Ok(held)
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, SecretError> {
        let full = SecretError::TooLarge { cap: self.cap };
        let Ok(count) = u32::try_from(bytes.max(PIECE_BYTES_MIN)) else { return Err(full) };
        let taken = Arc::clone(&self.room).try_acquire_many_owned(count);
        taken.map_err(|_| full)
    }

    /// The response as the guest may see it. One whose bytes cannot be read as they are is refused.
    pub(super) fn inward(
        &self,
        response: http::Response<CappedBody>,
    ) -> Result<http::Response<UnsyncBoxBody<Bytes, EgressError>>, EgressError> {
        let Some(scrubber) = self.secrets.scrubber() else {
            return Ok(response.map(BodyExt::boxed_unsync));
        };
        let (mut parts, body) = response.into_parts();
        if !body.is_end_stream() {
            as_it_is(&parts.headers)?;
        }
        scrubber.mask_fields(&mut parts.headers);
        let body = ScrubbedBody::new(body, scrubber).boxed_unsync();
        Ok(http::Response::from_parts(parts, body))
    }
}

struct Held {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    room: Room,
}

fn body_of(bytes: Vec<u8>, trailers: Option<HeaderMap>) -> WasiBody {
    let whole = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    match trailers {
        None => whole.boxed_unsync(),
        Some(trailers) => {
            whole.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync()
        }
    }
}

/// It was asked to send nothing compressed: what comes compressed all the same could hold a value.
fn as_it_is(fields: &HeaderMap) -> Result<(), EgressError> {
    for (name, plain) in [(CONTENT_ENCODING, "identity"), (TRANSFER_ENCODING, "chunked")] {
        for value in fields.get_all(&name) {
            let words = value.to_str().unwrap_or("?");
            if !words.split(',').all(|word| word.trim().eq_ignore_ascii_case(plain)) {
                let what = format!(
                    "the response's {name} is not {plain}, so a secret could not be seen in it"
                );
                return Err(EgressError::Protocol(what.into()));
            }
        }
    }
    Ok(())
}
