//! Names that change their address between being checked and being used.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aos_host::capability::network::resolve::Resolver;
use aos_host::kernel::{Fault, Kernel, Session, Streams};
use aos_host::sandbox::Ended;
use aos_host::sandbox::limits::Limits;
use aos_host::sandbox::state::Input;
use aos_host::sandbox::stdio::Sink;
use aos_host::types::{Content, Reply, Syscall, ToolError};
use futures::future::BoxFuture;
use serde_json::json;

use super::house::{guest_path, limits, options};
use super::network::{Server, request};
use crate::support;

/// The name of the attacker's zone.
const NAME: &str = "rebind.test";

/// Gives each question the next of its answers, the last for ever, and counts the questions.
struct Rebinding {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Rebinding {
    fn new(answers: &[&[IpAddr]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolver for Rebinding {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        assert_eq!(name, NAME);
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[turn.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ok() -> Server {
    Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into())
}

/// An address of this machine that a `private:` grant opens; none where it has none.
fn own_private_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only picks the way.
    socket.connect("192.0.2.1:9").ok()?;
    let IpAddr::V4(own) = socket.local_addr().ok()?.ip() else { return None };
    own.is_private().then_some(own.into())
}

/// A kernel whose names are this resolver's, with one session of the `http` plugin in it.
async fn session(resolver: &Arc<Rebinding>, limits: Limits, grant: &str) -> (Kernel, Session) {
    let kernel = kernel(resolver).await;
    let bytes = std::fs::read(support::plugin("http")).expect("reads");
    let plugin = kernel.load("http", bytes).await.expect("loads");
    let session = kernel.session(plugin, options(limits, &[grant.to_owned()])).expect("opens");
    (kernel, session)
}

async fn kernel(resolver: &Arc<Rebinding>) -> Kernel {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let resolver = Arc::clone(resolver);
    let built = Kernel::builder().resolver(resolver).cache(cache, None).build().await;
    built.expect("a kernel")
}

/// Fetches, with a neighbour beside it on the same kernel who must answer meanwhile.
async fn fetch(kernel: &Kernel, session: &Session, port: u16) -> Result<Reply, Fault> {
    let arguments = json!({ "url": format!("http://{NAME}:{port}/") });
    let call = Syscall::Call { tool: Some("fetch".into()), arguments };
    let (fetched, ()) = tokio::join!(kernel.submit(session, call), neighbour(kernel));
    fetched
}

async fn neighbour(kernel: &Kernel) {
    let bytes = std::fs::read(support::plugin("calculator")).expect("reads");
    let plugin = kernel.load("calculator", bytes).await.expect("loads");
    let session = kernel.session(plugin, options(Limits::default(), &[])).expect("opens");
    let arguments = json!({ "expression": "(2+3)*4^2" });
    let reply = kernel.submit(&session, Syscall::Call { tool: None, arguments }).await;
    let Ok(Reply::Output(output, _)) = &reply else { panic!("the neighbour noticed: {reply:?}") };
    assert!(matches!(&output.content[..], [Content::Text(text)] if text == "80"), "{output:?}");
}

#[track_caller]
fn is_denied(reply: &Result<Reply, Fault>) {
    assert!(matches!(reply, Err(Fault::Tool(ToolError::Denied(_)))), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_asked_for_once_and_what_it_says_later_is_not_connected_to() {
    let server = ok();
    // An address where nobody is, and then this machine.
    let resolver = Rebinding::new(&[&[address("10.255.255.1")], &[LOOPBACK]]);
    let port = server.address.port();
    let grant = format!("net:private:http://{NAME}:{port}");
    let limits = Limits { wall: Duration::from_secs(2), ..limits() };
    let (kernel, session) = session(&resolver, limits, &grant).await;
    let reply = fetch(&kernel, &session, port).await;
    let failed = matches!(
        reply,
        Err(Fault::Tool(ToolError::Unavailable(_) | ToolError::Failed(_)))
            | Err(Fault::Ended(Ended::Limit(_)))
    );
    assert!(failed, "{reply:?}");
    assert_eq!((resolver.asked(), server.connections()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_goes_to_the_address_that_was_checked() {
    let Some(own) = own_private_address() else {
        eprintln!("left out: this machine has no private address to be found at");
        return;
    };
    let checked = Server::at(SocketAddr::new(own, 0), |stream| {
        use std::io::Write;
        request(stream)?;
        stream.write_all(b"HTTP/1.1 204 OK\r\n\r\n")
    });
    let port = checked.address.port();
    let other = Server::at(SocketAddr::new(LOOPBACK, port), request);
    let resolver = Rebinding::new(&[&[own], &[LOOPBACK]]);
    let grant = format!("net:private:http://{NAME}:{port}");
    let (kernel, session) = session(&resolver, limits(), &grant).await;
    let reply = fetch(&kernel, &session, port).await;
    let Ok(Reply::Output(output, _)) = &reply else { panic!("{reply:?}") };
    assert_eq!(output.structured.as_ref().expect("structured")["status"], 204);
    assert_eq!((resolver.asked(), checked.connections(), other.connections()), (1, 1, 0));
    // The next request is checked anew, and the name has moved.
    is_denied(&fetch(&kernel, &session, port).await);
    assert_eq!((resolver.asked(), checked.connections(), other.connections()), (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_one_address_that_is_not_open_is_denied() {
    for hidden in ["127.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "::1"] {
        let server = ok();
        let port = server.address.port();
        for answer in [&[address(hidden)][..], &[address("8.8.8.8"), address(hidden)]] {
            let resolver = Rebinding::new(&[answer]);
            let grant = format!("net:http://{NAME}:{port}");
            let (kernel, session) = session(&resolver, limits(), &grant).await;
            is_denied(&fetch(&kernel, &session, port).await);
            let denials = session.denials();
            assert!(denials.iter().any(|denial| denial.target.contains(NAME)), "{denials:?}");
            assert_eq!(server.connections(), 0, "{hidden}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_told_the_addresses_that_were_checked_and_connects_to_no_others() {
    told_what_was_checked(
        "dist/misbehave.wasm",
        "look-up",
        "Ok(Some(IpAddress::Ipv4((10, 255, 255, 1))))",
        "access-denied",
    )
    .await;
    told_what_was_checked(
        "dist/overlap.wasm",
        "addresses",
        "[IpAddress::Ipv4((10, 255, 255, 1)), IpAddress::Ipv4((10, 255, 255, 2))]",
        "ErrorCode::AccessDenied",
    )
    .await;
}

/// Looks the name up twice and connects to where it has moved by then.
async fn told_what_was_checked(guest: &str, look_up: &str, told: &str, denied: &str) {
    let server = ok();
    let port = server.address.port();
    let resolver =
        Rebinding::new(&[&[address("10.255.255.1"), address("10.255.255.2")], &[LOOPBACK]]);
    let kernel = kernel(&resolver).await;
    let bytes = std::fs::read(guest_path(guest)).expect("reads");
    let plugin = kernel.load("guest", bytes).await.expect("loads");
    let mut options = options(limits(), &[format!("tcp:private:{NAME}:{port}")]);
    let (stdout, printed) = Sink::memory();
    options.streams = Streams { stdin: Input::Empty, stdout, stderr: Sink::memory().0 };
    let session = kernel.session(plugin, options).expect("opens");
    let run = async |words: &[&str]| {
        let arguments = words.iter().map(ToString::to_string).collect();
        let reply = kernel.submit(&session, Syscall::Run { arguments }).await;
        assert!(matches!(reply, Ok(Reply::Exit(0, _))), "{reply:?}");
        let printed = std::mem::take(&mut *printed.lock().expect("not poisoned"));
        String::from_utf8(printed).expect("text")
    };
    assert_eq!(run(&[look_up, NAME]).await, format!("{told}\n"));
    // The name has moved here since, where the grant does not reach.
    let refused = format!("refused: {denied}\n");
    assert_eq!(run(&[look_up, NAME]).await, refused);
    assert_eq!(run(&["tcp", &server.address.to_string()]).await, refused);
    assert_eq!(server.connections(), 0);
}
