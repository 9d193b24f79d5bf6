//! `wasi:http` outgoing, 0.2 and 0.3: a guest's request becomes a wish, and goes out only as the
//! gate let it through, to the address that was checked.

mod secret;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use self::secret::{Border, SecretError};
use crate::capability::gate::{Gate, Refusal};
use crate::capability::network::egress::{Caps, Egress, EgressError, Times};
use crate::capability::network::host::Target;
use crate::capability::network::resolve::{self, Resolver};
use crate::capability::network::verdict::{HttpRequest, UnreachableRequest};
use crate::capability::secrets::Secrets;
use crate::sandbox::host::network as words;
use crate::sandbox::limits::{LimitName, Limits};

/// A name is looked up within this time, or the request fails.
const LOOKUP: Duration = Duration::from_secs(5);

/// Bytes of a request's body that the host holds at once, for each request of 0.3.
const BODY_PIECE_BYTES_MAX: usize = 64 * 1024;

/// The hooks of one call.
pub struct GatedHttp {
    gate: Arc<Gate>,
    /// Requests that have no answer yet.
    under_way: Arc<Semaphore>,
    limits: Arc<Limits>,
    egress: Egress,
    resolver: Arc<dyn Resolver>,
    border: Border,
}

impl GatedHttp {
    /// Hooks that ask `gate` and go out through `egress` within `limits`, with `secrets` put in
    /// where they are granted.
    pub fn new(
        gate: Arc<Gate>,
        egress: &Egress,
        resolver: Arc<dyn Resolver>,
        limits: &Limits,
        secrets: Arc<Secrets>,
    ) -> Self {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let fields = limits.http_fields_bytes;
        let caps = Caps {
            request_body_bytes: limits.http_body_bytes,
            request_head_bytes: count(fields),
            response_body_bytes: limits.http_body_bytes,
            response_head_bytes: count(fields),
            response_fields: count(fields / Limits::FIELD_BYTES),
            ..Caps::default()
        };
        Self {
            gate,
            under_way: Arc::new(Semaphore::new(caps.connections)),
            limits: Arc::new(limits.clone()),
            egress: egress.for_call(caps),
            resolver,
            border: Border::new(secrets, limits.http_body_bytes),
        }
    }
}

/// Tells the gate when it was a limit that refused or broke an exchange.
fn note_limit(gate: &Gate, limits: &Limits, error: &EgressError) {
    let name = match error {
        EgressError::Head { .. } => LimitName::HttpFields,
        EgressError::RequestTooLarge { .. } | EgressError::ResponseTooLarge { .. } => {
            LimitName::HttpBody
        }
        EgressError::Connect { .. }
        | EgressError::Timeout { .. }
        | EgressError::Tls(_)
        | EgressError::Roots(_)
        | EgressError::Request(_)
        | EgressError::Connections { .. }
        | EgressError::Protocol(_) => return,
    };
    gate.note_limit(limits.hit(name));
}

/// What the engine awaits: the response, and the end of its connection.
type Exchange = Result<
    (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>),
    wasmtime_wasi_http::Error,
>;

impl WasiHttpHooks for GatedHttp {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        crate::capability::network::request::is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        words::forbidden_headers()
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_PIECE_BYTES_MAX
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Exchange> + Send> {
        let (gate, egress) = (Arc::clone(&self.gate), self.egress.clone());
        let limits = Arc::clone(&self.limits);
        let (resolver, border) = (Arc::clone(&self.resolver), self.border.clone());
        let Ok(place) = Arc::clone(&self.under_way).try_acquire_owned() else {
            return Box::new(std::future::ready(Err(Error::ConnectionLimitReached)));
        };
        let times = words::times(options, Times::default());
        Box::new(async move {
            let exchanged = exchange(&gate, (&egress, &border), &*resolver, request, times).await;
            drop(place);
            let response = exchanged.map_err(|error| match error {
                Exchanged::Broken(error) => {
                    note_limit(&gate, &limits, &error);
                    error.into()
                }
                Exchanged::Refused(error) => *error,
            })?;
            // The body drives its connection, so there is nothing else to wait for.
            let ended: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(std::future::ready(Ok(())));
            let broken = move |error: &EgressError| note_limit(&gate, &limits, error);
            Ok((words::response(response, broken), ended))
        })
    }
}

/// An error of the exchange itself, in words for the journal and in WASI's.
enum Failed {
    Unreachable(resolve::Refusal),
    Exchange(EgressError),
    Secret(SecretError),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(refusal) => refusal.fmt(f),
            Self::Exchange(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
        }
    }
}

/// Why there is no response.
enum Exchanged {
    /// The request went out, or would have.
    Broken(EgressError),
    /// It may not go out.
    Refused(Box<Error>),
}

fn refused(error: Error) -> Exchanged {
    Exchanged::Refused(Box::new(error))
}

async fn exchange(
    gate: &Gate,
    (egress, border): (&Egress, &Border),
    resolver: &dyn Resolver,
    request: http::Request<WasiBody>,
    times: Times,
) -> Result<http::Response<UnsyncBoxBody<Bytes, EgressError>>, Exchanged> {
    let target = Target::from_uri(request.uri()).map_err(|error| refused(error.into()))?;
    let wish = HttpRequest { method: request.method().clone(), target };
    let exchanged = gate.perform(wish, |permit| async {
        let (target, reach) = permit.spend();
        let destination =
            resolve::check(target, reach, resolver, LOOKUP).await.map_err(Failed::Unreachable)?;
        let (request, room) =
            border.outward(gate, destination.target(), request).await.map_err(Failed::Secret)?;
        let sent = egress.send(destination, request, times).await;
        drop(room);
        border.inward(sent.map_err(Failed::Exchange)?).map_err(Failed::Exchange)
    });
    match exchanged.await {
        Ok(response) => Ok(response),
        Err(Refusal::Denied(_)) => Err(refused(Error::HttpRequestDenied)),
        Err(Refusal::Limit(limit)) => Err(refused(Error::InternalError(Some(limit.to_string())))),
        Err(Refusal::Journal(error)) => {
            tracing::warn!("a request was not sent: {error}");
            Err(refused(Error::InternalError(Some("the host's journal failed".into()))))
        }
        Err(Refusal::Effect(Failed::Exchange(error))) => Err(Exchanged::Broken(error)),
        Err(Refusal::Effect(Failed::Secret(SecretError::TooLarge { cap }))) => {
            Err(Exchanged::Broken(EgressError::RequestTooLarge { cap }))
        }
        Err(Refusal::Effect(Failed::Secret(error))) => Err(refused(error.into())),
        Err(Refusal::Effect(Failed::Unreachable(refusal))) => {
            if let Some(denied) = UnreachableRequest::of(&refusal) {
                // A verdict too, though it could only be known after the name was looked up.
                let _always_denied = gate
                    .perform(denied, |permit| async {
                        match permit.spend() {}
                        #[expect(unreachable_code, reason = "gives the effect its error type")]
                        Ok::<(), std::fmt::Error>(())
                    })
                    .await;
            }
            Err(refused(refusal.into()))
        }
    }
}
