//! The words of WASI for what happens here, and back: a table, without decisions.
//!
//! wasmtime-wasi-http 48 has one hook and one error for `wasi:http` 0.2 and 0.3, so this is written
//! once.

use crate::capability::network::egress::{EgressError, Message, Stage, Times};
use crate::capability::network::host::HostError;
use crate::capability::network::request::is_forbidden;
use crate::capability::network::resolve::Refusal;
use crate::capability::network::sockets::{Intent, Transport};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode as SocketError;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody};

/// The answer to `WasiHttpHooks::forbidden_header_filter`.
pub fn forbidden_headers() -> ForbiddenHeaderFilter {
    Arc::new(is_forbidden)
}

/// A response as `WasiHttpHooks::send_request` returns it; `broken` is told why its body broke.
pub fn response(
    response: Response<impl Body<Data = Bytes, Error = EgressError> + Send + 'static>,
    mut broken: impl FnMut(&EgressError) + Send + 'static,
) -> Response<WasiBody> {
    let error = move |error| {
        broken(&error);
        Error::from(error)
    };
    response.map(|body| body.map_err(error).boxed_unsync())
}

/// The times a guest asked for, never longer than the host's.
pub fn times(asked: Option<RequestOptions>, most: Times) -> Times {
    let asked = asked.unwrap_or_default();
    let shorter = |asked: Option<Duration>, most: Duration| asked.map_or(most, |a| a.min(most));
    Times {
        connect: shorter(asked.connect_timeout, most.connect),
        first_byte: shorter(asked.first_byte_timeout, most.first_byte),
        between_bytes: shorter(asked.between_bytes_timeout, most.between_bytes),
    }
}

/// What `WasiCtxBuilder::socket_addr_check` asks about.
pub fn intent(usage: SocketAddrUse) -> Intent {
    match usage {
        SocketAddrUse::TcpBind => Intent::Bind(Transport::Tcp),
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => Intent::Serve(Transport::Tcp),
        SocketAddrUse::TcpConnect => Intent::Talk(Transport::Tcp),
        SocketAddrUse::UdpBind => Intent::Bind(Transport::Udp),
        SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => Intent::Talk(Transport::Udp),
    }
}

/// A refusal in the words of `wasi:sockets` 0.2.
pub fn socket_error(refusal: &Refusal) -> SocketError {
    match refusal {
        Refusal::NotGranted { .. } | Refusal::Address { .. } => SocketError::AccessDenied,
        Refusal::Lookup { .. } | Refusal::NoAddress(_) => SocketError::NameUnresolvable,
        Refusal::Timeout { .. } => SocketError::TemporaryResolverFailure,
        Refusal::TooMany { .. } => SocketError::PermanentResolverFailure,
    }
}

/// A refusal in the words of `wasi:sockets` 0.3.
pub fn lookup_error(refusal: &Refusal) -> LookupError {
    match refusal {
        Refusal::NotGranted { .. } | Refusal::Address { .. } => LookupError::AccessDenied,
        Refusal::Lookup { .. } | Refusal::NoAddress(_) => LookupError::NameUnresolvable,
        Refusal::Timeout { .. } => LookupError::TemporaryResolverFailure,
        Refusal::TooMany { .. } => LookupError::PermanentResolverFailure,
    }
}

impl From<HostError> for Error {
    fn from(_: HostError) -> Self {
        Self::HttpRequestUriInvalid
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotGranted { .. } => Self::HttpRequestDenied,
            Refusal::Address { .. } => Self::DestinationIpProhibited,
            Refusal::Lookup { .. } => {
                Self::DnsError { rcode: Some("name not resolved".to_owned()), info_code: None }
            }
            Refusal::NoAddress(_) => Self::DestinationNotFound,
            Refusal::Timeout { .. } => Self::DnsTimeout,
            Refusal::TooMany { .. } => Self::ConnectionLimitReached,
        }
    }
}

impl From<EgressError> for Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Connect { source, .. } => connect_error(source.kind()),
            EgressError::Timeout { stage: Stage::Connect, .. } => Self::ConnectionTimeout,
            EgressError::Timeout { stage: Stage::FirstByte, .. } => Self::HttpResponseTimeout,
            EgressError::Timeout { stage: Stage::BetweenBytes, .. } => Self::ConnectionReadTimeout,
            EgressError::Tls(source) => tls_error(&source),
            EgressError::Roots(_) => Self::ConfigurationError,
            EgressError::Request(_) => Self::HttpRequestDenied,
            EgressError::RequestTooLarge { cap } => Self::HttpRequestBodySize(Some(cap)),
            EgressError::ResponseTooLarge { cap } => Self::HttpResponseBodySize(Some(cap)),
            EgressError::Head { of: Message::Request, cap } => {
                Self::HttpRequestHeaderSectionSize(u32::try_from(cap).ok())
            }
            EgressError::Head { of: Message::Response, cap } => {
                Self::HttpResponseHeaderSectionSize(u32::try_from(cap).ok())
            }
            EgressError::Connections { .. } => Self::ConnectionLimitReached,
            EgressError::Protocol(source) => protocol_error(source.downcast_ref()),
        }
    }
}

fn connect_error(kind: ErrorKind) -> Error {
    match kind {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            Error::DestinationIpUnroutable
        }
        ErrorKind::TimedOut => Error::ConnectionTimeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
        // Every other reason that a system has means the same to a guest.
        _ => Error::DestinationUnavailable,
    }
}

fn tls_error(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) | None => Error::TlsProtocolError,
    }
}

fn protocol_error(error: Option<&hyper::Error>) -> Error {
    let Some(error) = error else {
        return Error::HttpProtocolError;
    };
    // The guest's own body broke its promise of a length: wasmtime's word for it stands.
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(Error::HttpRequestBodySize(size)) = inner.downcast_ref::<Error>() {
            return Error::HttpRequestBodySize(*size);
        }
        if inner.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::UnexpectedEof) {
            return Error::HttpResponseIncomplete;
        }
        source = inner.source();
    }
    if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_closed() || error.is_canceled() {
        Error::ConnectionTerminated
    } else {
        Error::HttpProtocolError
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::network::address::Reach;
    use crate::capability::network::egress::{Caps, Egress};
    use crate::capability::network::host::Target;
    use crate::capability::network::resolve::{SystemResolver, check};
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use wasmtime_wasi_http::WasiHttpHooks;

    type Driving = Box<dyn Future<Output = Result<(), Error>> + Send>;
    type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Driving), Error>> + Send>;

    /// The hook as the sandbox writes it, without its gate.
    struct Hooks(Egress);

    impl WasiHttpHooks for Hooks {
        fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
            forbidden_headers()
        }

        fn send_request(
            &mut self,
            request: Request<WasiBody>,
            options: Option<RequestOptions>,
            _: Driving,
        ) -> Sending {
            let egress = self.0.clone();
            Box::new(async move {
                let target = Target::from_uri(request.uri())?;
                let (reach, resolver) = (Reach::NAMED_ADDRESS, SystemResolver::default());
                let times = times(options, Times::default());
                let destination = check(target, reach, &resolver, times.connect).await?;
                let answer = egress.send(destination, request, times).await?;
                let driven: Driving = Box::new(async { Ok(()) });
                Ok((response(answer, |_| ()), driven))
            })
        }
    }

    #[tokio::test]
    async fn a_hook_sends_wasi_bodies_both_ways() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
        });
        let body: WasiBody = Empty::<Bytes>::new().map_err(Error::from).boxed_unsync();
        let request = Request::get(uri).body(body).expect("a request");
        let mut hooks = Hooks(Egress::new(Caps::default()));
        let sending = hooks.send_request(request, None, Box::new(async { Ok(()) }));
        let (answer, _) = Box::into_pin(sending).await.expect("a response");
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(bytes, "ok");
    }

    #[test]
    fn a_guest_shortens_times_and_never_lengthens_them() {
        let most = Times::default();
        let asked = RequestOptions {
            connect_timeout: Some(Duration::from_millis(1)),
            first_byte_timeout: Some(Duration::MAX),
            between_bytes_timeout: None,
        };
        let times = times(Some(asked), most);
        assert_eq!(times, Times { connect: Duration::from_millis(1), ..most });
        assert_eq!(super::times(None, most), most);
    }

    #[test]
    fn an_unroutable_address_and_a_bad_certificate_have_their_own_words() {
        let address = ([127, 0, 0, 1], 1).into();
        let connect = |kind: ErrorKind| EgressError::Connect { address, source: kind.into() };
        let refused = Error::from(connect(ErrorKind::ConnectionRefused));
        assert!(matches!(refused, Error::ConnectionRefused));
        let unreachable = Error::from(connect(ErrorKind::HostUnreachable));
        assert!(matches!(unreachable, Error::DestinationIpUnroutable));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let tls = Error::from(EgressError::Tls(io::Error::other(expired)));
        assert!(matches!(tls, Error::TlsCertificateError));
    }

    #[test]
    fn serving_is_told_from_talking() {
        assert_eq!(intent(SocketAddrUse::TcpListen), Intent::Serve(Transport::Tcp));
        assert_eq!(intent(SocketAddrUse::TcpAccept), Intent::Serve(Transport::Tcp));
        assert_eq!(intent(SocketAddrUse::UdpReceive), Intent::Talk(Transport::Udp));
    }
}
