//! The other side: one question to the daemon of a store, and its answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use url::Url;

use super::ApiError;
use super::address::{Address, own_user};
use super::words::{
    ANSWER_BYTES_MAX, Adopt, Change, Done, Ended, Fork, Frame, Hello, Named, POLL, PROTOCOL,
    PagesKept, Problem, Quota, Renice, Rows, Spawn, Spawned, Text,
};
use crate::types::{Ending, Pid, ProcessView};

/// An ordinary answer comes within this.
const WITHIN: Duration = Duration::from_secs(20);
/// An answer that is held, or needs a program to be loaded, comes within this.
const WITHIN_LONG: Duration = Duration::from_secs(POLL.as_secs() + 45);

/// What an operator does to one agent.
#[derive(Clone, Debug)]
pub enum Wish {
    /// It gets no processor.
    Pause,
    /// It goes on.
    Resume,
    /// It is so urgent from now on.
    Renice(u8),
    /// It and all below it end; why.
    End(String),
    /// It gets a message.
    Mail(String),
}

/// A way to the daemon of a store. Each question is a connection of its own, so that a daemon that
/// was started anew in between is no trouble.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
}

impl Client {
    /// A client of the daemon at an address, there or not.
    pub fn new(address: Address) -> Self {
        Self { address }
    }

    /// Who serves.
    ///
    /// # Errors
    /// As every question here: nobody serves, another user or version does, it went away, or its
    /// own [`Problem`].
    pub async fn hello(&self) -> Result<Hello, ApiError> {
        Ok(self.connect().await?.1)
    }

    /// All agents, oldest first.
    pub async fn list(&self) -> Result<Vec<ProcessView>, ApiError> {
        self.get(&["agents"], WITHIN).await
    }

    /// One agent.
    pub async fn show(&self, who: &str) -> Result<ProcessView, ApiError> {
        self.get(&["agents", who], WITHIN).await
    }

    /// Starts an agent.
    pub async fn spawn(&self, spawn: &Spawn) -> Result<Spawned, ApiError> {
        self.post(&["agents"], spawn, WITHIN_LONG).await
    }

    /// Waits for an agent's end. The name is looked up once: a later agent of that name is another.
    pub async fn wait(&self, who: &str) -> Result<(ProcessView, Ending), ApiError> {
        let pid = self.show(who).await?.pid.to_string();
        loop {
            let answer: Ended = self.get(&["agents", &pid, "ending"], WITHIN_LONG).await?;
            if let Some(ending) = answer.ending {
                return Ok((answer.agent, ending));
            }
        }
    }

    /// A page of the rows of an agent's chain.
    pub async fn rows(&self, who: &str, from: i64) -> Result<Rows, ApiError> {
        self.get(&["agents", who, "rows", &from.to_string()], WITHIN).await
    }

    /// Has an agent's pages written into the store, and says under which id they are there.
    pub async fn keep_pages(&self, who: &str) -> Result<PagesKept, ApiError> {
        self.post(&["agents", who, "pages"], &(), WITHIN).await
    }

    /// Does something to an agent.
    pub async fn act(&self, who: &str, wish: &Wish) -> Result<Pid, ApiError> {
        let path = |verb| ["agents", who, verb];
        let text = |text: &String| Text { text: text.clone() };
        let done: Done = match wish {
            Wish::Pause => self.post(&path("pause"), &(), WITHIN).await?,
            Wish::Resume => self.post(&path("resume"), &(), WITHIN).await?,
            Wish::Renice(points) => {
                self.post(&path("renice"), &Renice { priority: *points }, WITHIN).await?
            }
            Wish::End(why) => self.post(&path("end"), &text(why), WITHIN).await?,
            Wish::Mail(body) => self.post(&path("mail"), &text(body), WITHIN).await?,
        };
        Ok(done.pid)
    }

    /// Names the point at which an agent stands.
    pub async fn checkpoint(&self, who: &str, label: &str) -> Result<Named, ApiError> {
        let label = Text { text: label.to_owned() };
        self.post(&["agents", who, "checkpoints"], &label, WITHIN).await
    }

    /// Puts an agent back to a checkpoint of its own.
    pub async fn restore(&self, id: &str) -> Result<Pid, ApiError> {
        let done: Done = self.post(&["checkpoints", id, "restore"], &(), WITHIN_LONG).await?;
        Ok(done.pid)
    }

    /// A new agent that goes on from a checkpoint.
    pub async fn adopt(&self, wanted: &Adopt) -> Result<Spawned, ApiError> {
        self.post(&["adopted"], wanted, WITHIN_LONG).await
    }

    /// See [`crate::kernel::agents::Agents::fork`].
    ///
    /// # Errors
    /// As [`Client::spawn`].
    pub async fn fork(&self, id: &str, name: Option<String>) -> Result<Spawned, ApiError> {
        self.post(&["checkpoints", id, "fork"], &Fork { name }, WITHIN_LONG).await
    }

    /// The limits of a scope and what it has used.
    pub async fn quota(&self, scope: &str) -> Result<Quota, ApiError> {
        self.get(&["quota", scope], WITHIN).await
    }

    /// Changes the limits of a scope.
    pub async fn set_quota(&self, scope: &str, change: &Change) -> Result<Quota, ApiError> {
        self.post(&["quota", scope], change, WITHIN).await
    }

    /// All that `top` shows.
    pub async fn frame(&self) -> Result<Frame, ApiError> {
        self.get(&["frame"], WITHIN).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        within: Duration,
    ) -> Result<T, ApiError> {
        self.ask(hyper::Method::GET, path, Bytes::new(), within).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unreadable(&error))?;
        self.ask(hyper::Method::POST, path, body.into(), within).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: hyper::Method,
        path: &[&str],
        body: Bytes,
        within: Duration,
    ) -> Result<T, ApiError> {
        let mut connection = self.connect().await?.0;
        self.exchange(&mut connection, method, path, body, within).await
    }

    /// A connection to a daemon that speaks as this program does.
    async fn connect(&self) -> Result<(Connection, Hello), ApiError> {
        let stream = self.stream().await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| self.gone(&error))?;
        let driver = tokio::spawn(async move {
            // Whoever asks on it is told the same.
            let _broken = connection.await;
        });
        let mut connection = Connection { sender, driver };
        let hello: serde_json::Value = self
            .exchange(&mut connection, hyper::Method::GET, &["hello"], Bytes::new(), WITHIN)
            .await?;
        // Read loosely: another version may say more, or other things.
        if hello["protocol"] != PROTOCOL {
            return Err(ApiError::Version {
                store: self.store(),
                theirs: hello["version"].as_str().unwrap_or("of an unknown version").into(),
                pid: hello["pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0),
            });
        }
        let hello = serde_json::from_value(hello).map_err(|error| self.unreadable(&error))?;
        Ok((connection, hello))
    }

    async fn stream(&self) -> Result<UnixStream, ApiError> {
        use std::io::ErrorKind;
        use std::os::unix::fs::MetadataExt;
        let path = self.address.socket();
        let foreign = |theirs| ApiError::Foreign { path: path.clone(), theirs, own: own_user() };
        let stream = match UnixStream::connect(&path).await {
            Ok(stream) => stream,
            Err(error) => {
                return Err(match error.kind() {
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                        ApiError::NoHost(self.store())
                    }
                    ErrorKind::PermissionDenied => match path.symlink_metadata() {
                        Ok(found) if found.uid() != own_user() => foreign(found.uid()),
                        Ok(_) | Err(_) => ApiError::path(path, error),
                    },
                    _ => ApiError::path(path, error),
                });
            }
        };
        let theirs = stream.peer_cred().map_err(|error| ApiError::path(&path, error))?.uid();
        // Whoever is asked learns tasks and secrets.
        if theirs != own_user() {
            return Err(foreign(theirs));
        }
        Ok(stream)
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        connection: &mut Connection,
        method: hyper::Method,
        path: &[&str],
        body: Bytes,
        within: Duration,
    ) -> Result<T, ApiError> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(target(path))
            .header(hyper::header::HOST, "aos-host")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.unreadable(&error))?;
        let answered = async {
            let response =
                connection.sender.send_request(request).await.map_err(|error| self.gone(&error))?;
            let status = response.status();
            let limited = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            let body =
                limited.collect().await.map_err(|error| match error
                    .is::<http_body_util::LengthLimitError>()
                {
                    true => ApiError::TooLong(ANSWER_BYTES_MAX),
                    false => self.gone(&*error),
                })?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(within, answered)
            .await
            .map_err(|_elapsed| ApiError::Silent { store: self.store(), within })??;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.unreadable(&error));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ApiError::Refused(problem)),
            Err(_) => Err(self.unreadable(&format_args!("status {status}"))),
        }
    }

    fn store(&self) -> String {
        self.address.store().to_owned()
    }

    fn gone(&self, how: &dyn std::fmt::Display) -> ApiError {
        ApiError::Gone { store: self.store(), how: how.to_string() }
    }

    fn unreadable(&self, how: &dyn std::fmt::Display) -> ApiError {
        ApiError::Answer(how.to_string())
    }
}

/// A connection and the task that drives it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The path of a request, each part escaped.
fn target(path: &[&str]) -> String {
    let mut url = Url::parse("unix:/v1").expect("invariant: a constant URL");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    url.path().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(target(&["agents", "a b/c?d%", "ending"]), "/v1/agents/a%20b%2Fc%3Fd%25/ending");
    }
}
