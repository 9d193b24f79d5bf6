//! SIGINT and SIGTERM while something runs: the first asks for an orderly end, the second is heeded
//! at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::exit::{Code, Failure};

/// How long the orderly end may take: the journal's last row, on a slow disk.
const GRACE: Duration = Duration::from_secs(5);

/// The numbers of the two, the same on every Unix.
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// A watch over a run. When it is dropped the run is over, and a signal ends the process at once.
pub struct Signals {
    first: oneshot::Receiver<u8>,
}

impl Signals {
    /// Begins to watch. A thread of its own does: the one that runs a guest may be held up by a
    /// disk, and a second signal must not wait for that.
    ///
    /// # Errors
    /// When the system gives no thread or no handler.
    pub fn watch() -> Result<Self, Failure> {
        Self::watch_for(GRACE)
    }

    /// As [`Signals::watch`]; the orderly end may take `grace`.
    pub fn watch_for(grace: Duration) -> Result<Self, Failure> {
        let (tell, first) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let watching = std::thread::Builder::new().name("signals".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(watch(tell, &ready, grace)),
                // Who waits is told by the message that does not come.
                Err(_) => drop(ready),
            }
        });
        watching.map_err(Failure::host)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { first }),
            Ok(Err(error)) => Err(Failure::host(format!("no handler for signals: {error}"))),
            Err(_) => Err(Failure::host("no runtime for signals")),
        }
    }

    /// The number of the first signal, when it comes.
    pub async fn first(&mut self) -> u8 {
        match (&mut self.first).await {
            Ok(number) => number,
            // The watcher is gone: no signal comes this way any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// `work`, or the first signal if that comes before its end.
    pub async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        tokio::select! {
            biased;
            number = self.first() => Err(Interrupted(number)),
            done = work => Ok(done),
        }
    }
}

/// A signal ended the work; its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted(u8);

impl Interrupted {
    /// The word that closes the chain.
    pub const OUTCOME: &str = "interrupted";
}

impl From<Interrupted> for Failure {
    fn from(Interrupted(number): Interrupted) -> Self {
        let name = if number == INTERRUPT { "SIGINT" } else { "SIGTERM" };
        Self::new(Code::Signal(number), format!("interrupted by {name}"))
    }
}

async fn watch(
    tell: oneshot::Sender<u8>,
    ready: &std::sync::mpsc::Sender<std::io::Result<()>>,
    grace: Duration,
) {
    let handlers =
        signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
    // Whoever waits for this cannot be gone.
    let (mut interrupts, mut terminations) = match handlers {
        Ok(handlers) => {
            let _told = ready.send(Ok(()));
            handlers
        }
        Err(error) => {
            let _told = ready.send(Err(error));
            return;
        }
    };
    let mut next = async || {
        tokio::select! {
            _ = interrupts.recv() => INTERRUPT,
            _ = terminations.recv() => TERMINATE,
        }
    };
    let first = next().await;
    if tell.send(first).is_err() {
        leave(first);
    }
    match tokio::time::timeout(grace, next()).await {
        Ok(second) => leave(second),
        Err(_) => leave(first),
    }
}

fn leave(number: u8) -> ! {
    std::process::exit(128 + i32::from(number))
}
