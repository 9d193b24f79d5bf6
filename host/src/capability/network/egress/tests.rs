//! Requests over real sockets, all on loopback, against servers that behave badly on purpose.

use super::super::address::Reach;
use super::super::host::Target;
use super::super::pattern::{HttpPattern, reach};
use super::super::resolve::tests::{Rebinding, SOON};
use super::super::resolve::{Refusal, check};
use super::*;
use http::Method;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// For waits that a test wants to end.
const SHORT: Duration = Duration::from_millis(400);

const PATIENT: Times = Times { connect: SOON, first_byte: SOON, between_bytes: SOON };

const BETWEEN: Times = Times { between_bytes: SHORT, ..PATIENT };

const IMPATIENT: Times = Times { first_byte: SHORT, ..PATIENT };

/// A server on loopback: it reads one request's head, then does what the test says.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start<F, W>(answer: F) -> Self
    where
        F: Fn(TcpStream, String) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let head = read_head(&mut stream).await;
                tokio::spawn(answer(stream, head));
            }
        });
        Self { address, connections }
    }

    /// Says these bytes and closes.
    async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |mut stream, _| {
            let bytes = Arc::clone(&bytes);
            async move {
                let _ = stream.write_all(&bytes).await;
            }
        })
        .await
    }

    fn target(&self) -> Target {
        Target::from_authority(Scheme::Http, &self.address.to_string()).expect("a target")
    }

    async fn destination(&self) -> Destination {
        let resolver = Rebinding::new(&[]);
        check(self.target(), Reach::NAMED_ADDRESS, &resolver, SOON).await.expect("named")
    }

    async fn get(&self, caps: Caps) -> Result<Response<CappedBody>, EgressError> {
        self.get_within(caps, PATIENT).await
    }

    async fn get_within(
        &self,
        caps: Caps,
        times: Times,
    ) -> Result<Response<CappedBody>, EgressError> {
        let request = Request::new(Empty::<Bytes>::new());
        Egress::new(caps).send(self.destination().await, request, times).await
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 1 << 20 {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn text(response: Response<CappedBody>) -> Result<String, EgressError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads to the end or the error, and how many bytes came before it.
async fn drain(response: Response<CappedBody>) -> (u64, Option<EgressError>) {
    let mut body = response.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
            Err(error) => {
                assert!(body.frame().await.is_none(), "an error is told once");
                return (read, Some(error));
            }
        }
    }
    (read, None)
}

#[tokio::test]
async fn a_granted_literal_is_requested_as_written() {
    let server = Server::start(|mut stream, head| async move {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let port = server.address.port();
    let grant: HttpPattern = format!("GET http://127.0.0.1:{port}").parse().expect("a grant");
    let request = Request::get(format!("http://2130706433:{port}/a?b=c"))
        .header("x-own", "1")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let target = Target::from_uri(request.uri()).expect("a target");
    let reach = reach([&grant], request.method(), &target).expect("granted");
    let destination = check(target, reach, &Rebinding::new(&[]), SOON).await.expect("open");
    let egress = Egress::new(Caps::default());
    let sent = egress.send(destination, request, Times::default()).await;
    let head = text(sent.expect("a response")).await.expect("a body");
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
    assert!(head.contains("x-own: 1\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("user-agent"), "{head}");
}

#[tokio::test]
async fn a_request_body_arrives() {
    let server = Server::start(|mut stream, head| async move {
        let mut body = [0; 5];
        let _ = stream.read_exact(&mut body).await;
        let answer = format!("{head}{}", String::from_utf8_lossy(&body));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
    })
    .await;
    let request = Request::post("/").body(Full::new(Bytes::from_static(b"hello"))).expect("one");
    let egress = Egress::new(Caps::default());
    let sent = egress.send(server.destination().await, request, PATIENT).await;
    let answer = text(sent.expect("a response")).await.expect("a body");
    assert!(answer.contains("content-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn a_body_over_its_cap_ends_with_that_error() {
    let body = "x".repeat(100);
    let server = Server::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{body}"));
    let server = server.await;
    let small = Caps { response_body_bytes: 99, ..Caps::default() };
    let (_, error) = drain(server.get(small).await.expect("a head")).await;
    assert!(matches!(error, Some(EgressError::ResponseTooLarge { cap: 99 })), "{error:?}");
    let exact = Caps { response_body_bytes: 100, ..Caps::default() };
    let (read, error) = drain(server.get(exact).await.expect("a head")).await;
    assert!(read == 100 && error.is_none(), "{read} {error:?}");
}

#[tokio::test]
async fn a_response_that_never_ends_reaches_the_cap() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = [b"400\r\n".as_slice(), &[b'x'; 0x400], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let caps = Caps { response_body_bytes: 100_000, ..Caps::default() };
    let (read, error) = drain(server.get(caps).await.expect("a head")).await;
    assert!(matches!(error, Some(EgressError::ResponseTooLarge { .. })), "{error:?}");
    assert!(read <= 100_000, "{read}");
}

#[tokio::test]
async fn endless_trailers_reach_a_cap() {
    let server = Server::start(|mut stream, _| async move {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
        let _ = stream.write_all(head).await;
        while stream.write_all(b"x-trailer: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    })
    .await;
    let (_, error) = drain(server.get(Caps::default()).await.expect("a head")).await;
    assert!(error.is_some());
}

#[tokio::test]
async fn a_stalled_response_times_out_between_bytes() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart").await;
        std::future::pending::<()>().await;
    })
    .await;
    let (read, error) =
        drain(server.get_within(Caps::default(), BETWEEN).await.expect("a head")).await;
    let stalled = EgressError::Timeout { stage: Stage::BetweenBytes, after: SHORT };
    assert_eq!(error.map(|e| e.to_string()), Some(stalled.to_string()));
    assert_eq!(read, 5);
}

#[tokio::test]
async fn a_guest_that_reads_slowly_is_not_the_servers_fault() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na").await;
        tokio::time::sleep(SHORT * 2 + SHORT / 2).await;
        let _ = stream.write_all(b"b").await;
    })
    .await;
    let mut body = server.get_within(Caps::default(), BETWEEN).await.expect("a head").into_body();
    assert!(body.frame().await.expect("a frame").is_ok());
    tokio::time::sleep(SHORT * 2).await;
    assert!(body.frame().await.expect("a frame").is_ok());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_server_that_says_nothing_or_only_100_times_out() {
    let silent = Server::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let continuing = Server::start(|mut stream, _| async move {
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {}
    });
    for server in [silent.await, continuing.await] {
        let error = server.get_within(Caps::default(), IMPATIENT).await.expect_err("no response");
        assert!(matches!(error, EgressError::Timeout { stage: Stage::FirstByte, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let server = Server::saying(
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\n\
         Content-Length: 0\r\n\r\n",
    )
    .await;
    let response = server.get(Caps::default()).await.expect("a response");
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "http://169.254.169.254/latest/meta-data/");
    assert_eq!(text(response).await.expect("empty"), "");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_that_rebinds_is_asked_once_and_the_checked_address_is_used() {
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let uri = format!("http://rebind.example:{}/", server.address.port());
    let target = || Target::from_uri(&uri.parse().expect("a URI")).expect("a target");
    // The second answer would lead elsewhere: nothing listens there.
    let resolver = Rebinding::new(&[&["127.0.0.1"], &["127.0.0.9"]]);
    let destination = check(target(), Reach::LOOPBACK, &resolver, SOON).await.expect("open");
    let request = Request::get(&uri).body(Empty::<Bytes>::new()).expect("a request");
    let sent = Egress::new(Caps::default()).send(destination, request, PATIENT).await;
    assert_eq!(text(sent.expect("a response")).await.expect("a body"), "ok");
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);

    let resolver = Rebinding::new(&[&["8.8.8.8"], &["127.0.0.1"]]);
    let destination = check(target(), Reach::PUBLIC, &resolver, SOON).await.expect("public");
    assert!(destination.addresses().iter().all(|address| !address.ip().is_loopback()));
    let refused = check(target(), Reach::PUBLIC, &resolver, SOON).await;
    assert!(matches!(refused, Err(Refusal::Address { .. })));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_takes_no_connection() {
    let server = Server::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let authority = format!("two.example:{}", server.address.port());
    let target = || Target::from_authority(Scheme::Http, &authority).expect("a target");
    let send = async |answers: &[&[&str]]| {
        let resolver = Rebinding::new(answers);
        let destination = check(target(), Reach::LOOPBACK, &resolver, SOON).await.expect("open");
        let request = Request::new(Empty::<Bytes>::new());
        Egress::new(Caps::default()).send(destination, request, PATIENT).await
    };
    let response = send(&[&["127.0.0.2", "127.0.0.1"]]).await.expect("a response");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let error = send(&[&["127.0.0.2", "127.0.0.3"]]).await.expect_err("nobody there");
    assert!(matches!(error, EgressError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_flood_of_fields_is_refused() {
    let fields: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = Server::saying(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let endless = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'y'; 1024]).await.is_ok() {}
    });
    for server in [many.await, Server::saying(long).await, endless.await] {
        let error = server.get(Caps::default()).await.expect_err("refused");
        assert!(matches!(error, EgressError::Head { of: Message::Response, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_or_ends_early_is_an_error() {
    for garbage in ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\nbad field\r\n\r\n", "HTTP/1.1 abc"] {
        let error = Server::saying(garbage).await.get(Caps::default()).await.expect_err(garbage);
        assert!(matches!(error, EgressError::Protocol(_)), "{garbage}: {error:?}");
    }
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert!(Server::saying(switched).await.get(Caps::default()).await.is_err());
    let cut = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let (read, error) = drain(cut.get(Caps::default()).await.expect("a head")).await;
    assert_eq!(read, 4);
    let error = wasmtime_wasi_http::Error::from(error.expect("cut"));
    assert!(matches!(error, wasmtime_wasi_http::Error::HttpResponseIncomplete), "{error:?}");
}

/// A request whose body never ends.
fn endless_upload() -> Request<impl Body<Data = Bytes, Error = io::Error> + Send + 'static> {
    let chunks = futures::stream::repeat_with(|| {
        Ok::<_, io::Error>(http_body::Frame::data(Bytes::from_static(&[b'x'; 1000])))
    });
    Request::post("/").body(StreamBody::new(chunks)).expect("a request")
}

#[tokio::test]
async fn dropping_the_body_ends_the_connection_and_an_upload_with_it() {
    let (told, closed) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let server = Server::start(move |mut stream, _| {
        let told = told.lock().expect("one thread").take();
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            let _ = told.map(|told| told.send(()));
        }
    })
    .await;
    let egress = Egress::new(Caps { request_body_bytes: u64::MAX, ..Caps::default() });
    let sent = egress.send(server.destination().await, endless_upload(), PATIENT).await;
    drop(sent.expect("a head"));
    timeout(SOON, closed).await.expect("in time").expect("told");
}

#[tokio::test]
async fn a_request_body_over_its_cap_is_cut() {
    let server = Server::start(|mut stream, _| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let request = endless_upload();
    let egress = Egress::new(Caps { request_body_bytes: 10_000, ..Caps::default() });
    let error = egress.send(server.destination().await, request, PATIENT).await.expect_err("cut");
    assert!(matches!(error, EgressError::RequestTooLarge { cap: 10_000 }), "{error:?}");
}

#[tokio::test]
async fn connections_of_one_call_are_counted() {
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let egress = Egress::new(Caps { connections: 1, ..Caps::default() });
    let send = async |egress: &Egress| {
        let request = Request::new(Empty::<Bytes>::new());
        egress.send(server.destination().await, request, PATIENT).await
    };
    let first = send(&egress).await.expect("a response");
    let second = send(&egress).await.expect_err("one too many");
    assert!(matches!(second, EgressError::Connections { limit: 1 }), "{second}");
    let caps = Caps { connections: 1, ..Caps::default() };
    assert!(send(&egress.for_call(caps)).await.is_ok());
    drop(first);
    assert!(send(&egress).await.is_ok());
}

/// A certificate authority of this test, and what it signs.
struct Authority {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a root");
        Self { certificate, key }
    }

    fn acceptor(&self, name: &str) -> tokio_rustls::TlsAcceptor {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        let mut root = rcgen::CertificateParams::default();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(root, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("signed");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
            )
            .expect("a pair");
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    /// Asks `https://asked` at a loopback server whose certificate is for `proven`.
    async fn ask(&self, asked: &str, proven: &str, egress: &Egress) -> Result<String, EgressError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let acceptor = self.acceptor(proven);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await?;
            stream.shutdown().await
        });
        let target = Target::from_authority(Scheme::Https, &format!("{asked}:{port}"));
        let reach = Reach::NAMED_ADDRESS;
        let resolver = Rebinding::new(&[&["127.0.0.1"]]);
        let destination = check(target.expect("a target"), reach, &resolver, SOON).await;
        let request = Request::builder().method(Method::GET).body(Empty::<Bytes>::new());
        let request = request.expect("a request");
        text(egress.send(destination.expect("open"), request, PATIENT).await?).await
    }
}

#[tokio::test]
async fn tls_proves_the_original_name_to_a_trusted_root() {
    let authority = Authority::new();
    let trusting = Egress::trusting(Caps::default(), vec![authority.certificate.der().clone()]);
    let good = authority.ask("api.example.org", "api.example.org", &trusting).await;
    assert_eq!(good.expect("proven"), "secret");
    let address = authority.ask("127.0.0.1", "127.0.0.1", &trusting).await;
    assert_eq!(address.expect("proven"), "secret");
    let untrusting = Egress::new(Caps::default());
    for failed in [
        authority.ask("api.example.org", "other.example.org", &trusting).await,
        authority.ask("127.0.0.1", "api.example.org", &trusting).await,
        authority.ask("api.example.org", "api.example.org", &untrusting).await,
    ] {
        let error = failed.expect_err("not proven");
        assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
        let error = wasmtime_wasi_http::Error::from(error);
        assert!(matches!(error, wasmtime_wasi_http::Error::TlsCertificateError), "{error:?}");
    }
}
