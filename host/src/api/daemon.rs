//! The daemon's life: it listens, answers whoever is its own user, and lets its agents end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tower_service::Service;

use super::address::{Held, own_user};
use super::routes::{closing, router};
use super::words::{Blame, Hello, POLL, PROTOCOL, Problem};
use super::{ApiError, address};
use crate::config::Config;
use crate::kernel::Kernel;
use crate::kernel::agents::Agents;
use crate::model::Models;

/// Connections at once; more wait in the socket's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// The head of a request must come within this, also on a connection that is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A request is answered within this: the longest that is held, and its work. Loading a program
/// may take most of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(POLL.as_secs() + 40);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Programs that are loaded at once for new agents.
const LOADING_MAX: usize = 4;
/// After the last agent has ended, answers on their way have this long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Agents that were ended must be gone within this; a store that hangs is not waited for.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// What the daemon works with.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) kernel: Kernel,
    pub(super) agents: Agents,
    pub(super) models: Models,
    /// The length of quota windows.
    pub(super) window: Duration,
    /// Places for those who load programs.
    pub(super) loading: Semaphore,
    /// Held while limits are read and set.
    pub(super) limits: Mutex<()>,
    closing: AtomicBool,
    store: String,
    began: Instant,
}

impl Desk {
    /// Who serves.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            store: self.store.clone(),
            up_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Refuses what a host that closes does not do any more.
    pub(super) fn open(&self) -> Result<(), Problem> {
        match self.closing.load(Ordering::Acquire) {
            true => Err(closing()),
            false => Ok(()),
        }
    }
}

/// A daemon that listens.
pub struct Daemon {
    desk: Arc<Desk>,
    held: Held,
    listener: UnixListener,
}

impl Daemon {
    /// Listens for a store whose lock is held. The kernel's agents must have been started.
    ///
    /// # Errors
    /// When the socket cannot be made, or the kernel has no agents.
    pub fn listen(
        mut held: Held,
        config: Config,
        kernel: Kernel,
        models: Models,
        window: Duration,
    ) -> Result<Self, ApiError> {
        let agents = kernel.agents().map_err(|error| ApiError::Answer(error.to_string()))?.clone();
        let listener = held.listen()?;
        let wrong = |error| ApiError::path(held.address().socket(), error);
        let listener = UnixListener::from_std(listener).map_err(wrong)?;
        let desk = Desk {
            config,
            kernel,
            agents,
            models,
            window,
            loading: Semaphore::new(LOADING_MAX),
            limits: Mutex::default(),
            closing: AtomicBool::new(false),
            store: held.address().store().to_owned(),
            began: Instant::now(),
        };
        Ok(Self { desk: Arc::new(desk), held, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> &address::Address {
        self.held.address()
    }

    /// Answers until `stop`; then agents have `drain` to end by themselves, are ended, and the
    /// socket goes. True when every agent's end was written down.
    pub async fn serve(self, stop: impl Future<Output = ()>, drain: Duration) -> bool {
        let Self { desk, held, listener } = self;
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let answering = accept_all(&listener, Arc::clone(&desk), &connections);
        let closed = async {
            stop.await;
            desk.closing.store(true, Ordering::Release);
            let within = drain.saturating_add(ENDED_WITHIN);
            tokio::time::timeout(within, desk.agents.close(drain)).await.is_ok()
        };
        let closed = tokio::select! {
            closed = closed => closed,
            never = answering => match never {},
        };
        // From here on there is nobody to connect to; who waits for an end has its answer.
        drop(listener);
        drop(held);
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        let _told = tokio::time::timeout(LAST_WORDS, connections.acquire_many(all)).await;
        closed
    }
}

/// Takes connections, each with a place, for ever.
async fn accept_all(
    listener: &UnixListener,
    desk: Arc<Desk>,
    connections: &Arc<Semaphore>,
) -> Infallible {
    let router = router(desk);
    loop {
        let Ok(place) = Arc::clone(connections).acquire_owned().await else {
            // It is never closed.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) if is_own(&stream) => {
                let router = router.clone();
                tokio::spawn(async move {
                    answer(stream, router).await;
                    drop(place);
                });
            }
            // Another user, whatever the folder's rights became: not a word.
            Ok(_) => tracing::warn!("a connection of another user was refused"),
            Err(error) => {
                tracing::warn!("no connection could be taken: {error}");
                // Out of descriptors, as a rule: it will not be better at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whether the other side is a process of this user.
fn is_own(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own_user())
}

async fn answer(stream: UnixStream, router: Router) {
    let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let mut router = router.clone();
        async move {
            let answered = router.call(request.map(Body::new));
            let response = match tokio::time::timeout(ANSWER_WITHIN, answered).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_elapsed) => out_of_time(),
            };
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!("a connection broke: {error}");
    }
}

fn out_of_time() -> Response {
    let within = humantime::format_duration(ANSWER_WITHIN);
    Problem::new(Blame::Host, format!("the request was not done within {within}")).into_response()
}
