//! A wire to the server that can be cut, or lose an answer, where a test says so.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use url::Url;

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Pass,
    /// After this many answers the next one is lost with its connection, and the rest passes.
    LoseAnswer {
        after: usize,
    },
    /// Each new connection is closed.
    Away,
    /// Each answer comes so much later.
    Slow(Duration),
}

/// The wire.
pub(super) struct Proxy {
    /// The server's address with the wire in between.
    pub(super) url: Url,
    mode: Arc<Mutex<Mode>>,
    cut: Arc<Notify>,
}

impl Proxy {
    pub(super) async fn start(server: &Url) -> Self {
        let (host, port) = (server.host_str().unwrap(), server.port().unwrap_or(5432));
        let to = format!("{host}:{port}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = server.clone();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        // What passes must be readable only to whoever counts answers, and it counts reads.
        url.query_pairs_mut().append_pair("sslmode", "disable");
        let (mode, cut) = (Arc::new(Mutex::new(Mode::Pass)), Arc::new(Notify::new()));
        let proxy = Self { url, mode: Arc::clone(&mode), cut: Arc::clone(&cut) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *mode.lock().unwrap() != Mode::Away {
                    let server = TcpStream::connect(&to).await.unwrap();
                    tokio::spawn(carry(client, server, Arc::clone(&mode), Arc::clone(&cut)));
                }
            }
        });
        proxy
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Cuts all connections there are.
    pub(super) fn cut(&self) {
        self.cut.notify_waiters();
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mode: Arc<Mutex<Mode>>,
    cut: Arc<Notify>,
) {
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            () = cut.notified() => return,
            read = client.read(&mut up) => match read {
                Ok(bytes @ 1..) => if server.write_all(&up[..bytes]).await.is_err() { return },
                Ok(0) | Err(_) => return,
            },
            read = server.read(&mut down) => match read {
                Ok(bytes @ 1..) => {
                    let now = *mode.lock().unwrap();
                    if let Mode::Slow(by) = now {
                        tokio::time::sleep(by).await;
                    }
                    if lost(&mode) || client.write_all(&down[..bytes]).await.is_err() { return }
                }
                Ok(0) | Err(_) => return,
            },
        }
    }
}

/// Whether the answer at hand is the one to lose.
fn lost(mode: &Mutex<Mode>) -> bool {
    let mut mode = mode.lock().unwrap();
    match *mode {
        Mode::Pass | Mode::Away | Mode::Slow(_) => false,
        Mode::LoseAnswer { after: 0 } => {
            *mode = Mode::Pass;
            true
        }
        Mode::LoseAnswer { after } => {
            *mode = Mode::LoseAnswer { after: after - 1 };
            false
        }
    }
}
