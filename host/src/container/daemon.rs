//! The Docker daemon: where it is, whether it answers, and what this host put there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::OnceCell;

use crate::container::{ContainerError, sweep};

/// Where the daemon is when nothing else is said.
const SOCKET: &str = "/var/run/docker.sock";
/// Seconds until a daemon that says nothing counts as gone.
const PATIENCE_S: u64 = 60;
/// How long an ending host waits for containers to be removed; the next start removes the rest.
const REMOVAL_TIME: Duration = Duration::from_secs(10);

/// What containers are started from.
#[derive(Clone, Debug, Default)]
pub struct ContainerOptions {
    /// `DOCKER_HOST`; empty or none for the system's own socket, or the user's (rootless).
    pub docker_host: Option<String>,
    /// The user's runtime folder, where a rootless daemon has its socket.
    pub runtime_folder: Option<PathBuf>,
    /// Where this host's id is kept, by which it knows its containers again. None: an id of this
    /// process alone.
    pub state_folder: Option<PathBuf>,
}

/// How a daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine.
    Socket(PathBuf),
    /// HTTP over TCP: taken for another machine, whose folders are not this one's.
    Remote(String),
}

impl Address {
    /// Reads `DOCKER_HOST`.
    ///
    /// # Errors
    /// One sentence, for a kind of address that is not known here.
    pub fn of(options: &ContainerOptions) -> Result<Self, ContainerError> {
        let wrong = |what: String| Err(ContainerError::Address(what));
        let Some(text) = options.docker_host.as_deref().filter(|text| !text.is_empty()) else {
            let own = options.runtime_folder.as_ref();
            let rootless = own.map(|folder| folder.join("docker.sock"));
            let rootless = rootless.filter(|own| own.exists() && !Path::new(SOCKET).exists());
            return Ok(Self::Socket(rootless.unwrap_or_else(|| SOCKET.into())));
        };
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Socket(path.into())),
            Some(("tcp" | "http", host)) if !host.trim_end_matches('/').is_empty() => {
                Ok(Self::Remote(format!("tcp://{}", host.trim_end_matches('/'))))
            }
            Some(("ssh", _)) => wrong(format!(
                "`{text}` is not supported; forward the socket (`ssh -nNT -L \
                 /tmp/docker.sock:/var/run/docker.sock HOST`) and name it as \
                 unix:///tmp/docker.sock"
            )),
            Some(_) | None => {
                wrong(format!("`{text}` is no address; write unix:///PATH or tcp://HOST:PORT"))
            }
        }
    }

    /// The daemon's folders are this machine's.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Socket(_))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Remote(host) => f.write_str(host),
        }
    }
}

/// A daemon that answers.
#[derive(Clone, Debug)]
pub struct Daemon {
    pub(super) docker: Docker,
    /// How it is reached.
    pub address: Address,
    /// This host's id, in the labels of its containers.
    pub(super) host: Arc<str>,
    removals: Arc<Mutex<Vec<tokio::task::JoinHandle<()>>>>,
}

impl Daemon {
    /// Reaches the daemon, and removes what hosts of this id left that no longer run.
    ///
    /// # Errors
    /// [`ContainerError::NoDaemon`] says where it was looked for, and how to get one.
    pub async fn connect(options: &ContainerOptions) -> Result<Self, ContainerError> {
        let address = Address::of(options)?;
        let host = match &options.state_folder {
            Some(folder) => sweep::host_id(folder)?,
            None => sweep::fresh_id(),
        };
        let none = |error: bollard::errors::Error| {
            let why = super::one_line(&error.to_string());
            ContainerError::NoDaemon(address.to_string(), why)
        };
        let docker = match &address {
            Address::Socket(path) => Docker::connect_with_unix(
                &path.display().to_string(),
                PATIENCE_S,
                API_DEFAULT_VERSION,
            ),
            Address::Remote(host) => {
                Docker::connect_with_http(host, PATIENCE_S, API_DEFAULT_VERSION)
            }
        };
        let docker = docker.map_err(none)?.negotiate_version().await.map_err(none)?;
        let daemon =
            Self { docker, address: address.clone(), host: host.into(), removals: Arc::default() };
        daemon.sweep().await?;
        Ok(daemon)
    }

    /// What the daemon calls its version.
    ///
    /// # Errors
    /// When it no longer answers.
    pub async fn version(&self) -> Result<String, ContainerError> {
        Ok(self.docker.version().await?.version.unwrap_or_default())
    }

    /// Removes a container, running or not, while the host goes on.
    pub(super) fn remove_later(&self, name: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (daemon, name) = (self.clone(), name.to_owned());
        let removal = runtime.spawn(async move {
            if let Err(error) = daemon.remove(&name).await {
                // It is labelled: the next start of a host with this id removes it.
                tracing::warn!("the container {name} was not removed: {error}");
            }
        });
        let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
        removals.retain(|removal| !removal.is_finished());
        removals.push(removal);
    }

    /// Waits until what is being removed is gone, ten seconds at most.
    pub async fn settle(&self) {
        let removals =
            std::mem::take(&mut *self.removals.lock().unwrap_or_else(PoisonError::into_inner));
        let all = futures::future::join_all(removals);
        // What is not gone by then is swept at the next start.
        let _late = tokio::time::timeout(REMOVAL_TIME, all).await;
    }
}

/// A daemon that is looked for when it is first needed.
#[derive(Debug, Default)]
pub struct Containers {
    options: ContainerOptions,
    daemon: OnceCell<Daemon>,
}

impl Containers {
    /// Nothing is connected yet.
    pub fn new(options: ContainerOptions) -> Self {
        Self { options, daemon: OnceCell::new() }
    }

    /// The daemon; asked again in every call until there is one.
    ///
    /// # Errors
    /// As [`Daemon::connect`].
    pub async fn daemon(&self) -> Result<&Daemon, ContainerError> {
        self.daemon.get_or_try_init(|| Daemon::connect(&self.options)).await
    }

    /// Waits until what was started here is removed.
    pub async fn settle(&self) {
        if let Some(daemon) = self.daemon.get() {
            daemon.settle().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_is_a_socket_or_a_remote_daemon_and_nothing_else() {
        let of = |text: &str| {
            let docker_host = Some(text.to_owned());
            Address::of(&ContainerOptions { docker_host, ..ContainerOptions::default() })
        };
        assert_eq!(of("unix:///x.sock").expect("a socket"), Address::Socket("/x.sock".into()));
        assert_eq!(of("").expect("the default"), Address::Socket(SOCKET.into()));
        let remote = of("tcp://10.0.0.1:2375/").expect("remote");
        assert!(!remote.is_local() && remote.to_string() == "tcp://10.0.0.1:2375");
        for (text, says) in [
            ("ssh://me@host", "ssh -nNT"),
            ("unix://relative", "unix:///PATH"),
            ("/var/run/docker.sock", "unix:///PATH"),
            ("tcp://", "tcp://HOST:PORT"),
            ("npipe:////./pipe/x", "is no address"),
        ] {
            let error = of(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
