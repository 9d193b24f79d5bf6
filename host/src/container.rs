//! Native command lines as tools, each call in a container of its own.
//!
//! A tool is a [`manifest`]: an image by the hash of its content, and for each tool a template of
//! its argument list, which [`template`] fills without a shell. [`confine`] says how a container is
//! shut in, [`run`] runs one within its limits, [`sweep`] removes what a host left that died.
//!
//! It knows nothing of who may call what: mounts come as
//! [`Mount`](crate::capability::files::Mount), which only the gate gives, and what is asked was
//! accepted and written down before.

pub mod catalogue;
pub mod confine;
pub mod daemon;
pub mod discover;
pub mod manifest;
pub mod parameter;
pub mod run;
mod sweep;
pub mod template;

/// Why a container did not do what it should: one variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is no daemon to ask. Nothing runs on the host instead.
    #[error(
        "no Docker answers at {0}: {1}. Container tools run in Docker and nowhere else: install \
         and start it (`apt-get install docker.io`, or rootless), or name its socket with \
         DOCKER_HOST"
    )]
    NoDaemon(String, String),
    /// `DOCKER_HOST` cannot be used.
    #[error("DOCKER_HOST: {0}")]
    Address(String),
    /// The image is not there.
    #[error("{0}")]
    Image(String),
    /// A granted folder cannot be given to a container.
    #[error("{0}")]
    Mount(String),
    /// The program cannot be started in the image.
    #[error("{0}")]
    Start(String),
    /// The daemon said no, or went away.
    #[error("Docker: {0}")]
    Daemon(String),
    /// A file of the host's own could not be read or written.
    #[error("{0}")]
    Io(String),
}

impl From<bollard::errors::Error> for ContainerError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        Self::Daemon(match error {
            Error::DockerResponseServerError { status_code, message } => {
                format!("{} ({status_code})", one_line(&message))
            }
            other => one_line(&other.to_string()),
        })
    }
}

/// A daemon's message as one sentence of a bounded length.
fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 500;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(CHARS_MAX).collect()
}
