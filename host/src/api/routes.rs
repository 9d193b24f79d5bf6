//! Each request as one call of the process table.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::daemon::Desk;
use super::find::find;
use super::quota;
use super::words::{
    Adopt, Blame, Change, Done, Ended, Fork, Frame, Hello, Named, POLL, PagesKept, Problem, Quota,
    REQUEST_BYTES_MAX, Renice, RowView, Rows, Slots, Spawn, Spawned, Text,
};
use crate::config::agent::SpecError;
use crate::journal::{JournalError, chain_rows, find_chain};
use crate::kernel::agents::{OperateError, SpawnError};
use crate::kernel::{Fault, SessionOptions};
use crate::sandbox::state::Ambient;
use crate::scheduler::{Priority, Scope};
use crate::types::{Pid, ProcessView};

type Here = State<Arc<Desk>>;
type Answer<T> = Result<Json<T>, Problem>;

/// All requests.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    let routes = Router::new()
        .route("/hello", get(hello))
        .route("/agents", get(list).post(spawn))
        .route("/agents/{who}", get(show))
        .route("/agents/{who}/ending", get(ending))
        .route("/agents/{who}/rows/{from}", get(rows))
        .route("/agents/{who}/pages", post(keep_pages))
        .route("/agents/{who}/pause", post(pause))
        .route("/agents/{who}/resume", post(resume))
        .route("/agents/{who}/renice", post(renice))
        .route("/agents/{who}/end", post(end))
        .route("/agents/{who}/mail", post(mail))
        .route("/agents/{who}/checkpoints", post(checkpoint))
        .route("/checkpoints/{id}/restore", post(restore))
        .route("/checkpoints/{id}/fork", post(fork))
        .route("/adopted", post(adopt))
        .route("/quota/{scope}", get(show_quota).post(set_quota))
        .route("/frame", get(frame));
    Router::new()
        .nest("/v1", routes)
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(desk)
}

async fn unknown(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(Blame::Usage, format!("there is no request {method} {path}"))
}

async fn hello(State(desk): Here) -> Json<Hello> {
    Json(desk.hello())
}

async fn list(State(desk): Here) -> Json<Vec<ProcessView>> {
    Json(desk.agents.list())
}

async fn spawn(State(desk): Here, Body(wanted): Body<Spawn>) -> Answer<Spawned> {
    desk.open()?;
    // A program may be large while it is loaded, so few are at a time.
    let _place = desk.loading.acquire().await.map_err(|_closed| closing())?;
    let pid = bear(&desk, wanted).await?;
    // What is told as done is on the disk first.
    desk.kernel.sync().await.map_err(SpecError::from)?;
    let view = desk.agents.show(pid)?;
    Ok(Json(Spawned { pid, name: view.name, chain: view.chain }))
}

async fn bear(desk: &Desk, wanted: Spawn) -> Result<Pid, Problem> {
    let Spawn { spec, environment, config, clock, random } = wanted;
    let ambient = Ambient { clock, random };
    let options = SessionOptions { environment, config, ambient, ..SessionOptions::default() };
    let spawn = spec.resolve(&desk.config, &desk.kernel, &desk.models, options).await?;
    Ok(desk.agents.spawn_first(spawn).await?)
}

async fn show(State(desk): Here, Path(who): Path<String>) -> Answer<ProcessView> {
    let pid = find(&desk.agents, &who)?;
    Ok(Json(desk.agents.show(pid)?))
}

async fn ending(State(desk): Here, Path(who): Path<String>) -> Answer<Ended> {
    let pid = find(&desk.agents, &who)?;
    let ending = match tokio::time::timeout(POLL, desk.agents.wait(pid)).await {
        Ok(ended) => Some(ended?),
        Err(_elapsed) => None,
    };
    Ok(Json(Ended { agent: desk.agents.show(pid)?, ending }))
}

async fn rows(State(desk): Here, Path((who, from)): Path<(String, i64)>) -> Answer<Rows> {
    let pid = find(&desk.agents, &who)?;
    let chain = desk.agents.show(pid)?.chain;
    let store = &**desk.kernel.storage();
    let found = match find_chain(store, &chain).await {
        Ok(record) => chain_rows(store, record.number, from).await?,
        // Its first row is on its way.
        Err(JournalError::NoChain(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(Json(Rows { pid, chain, rows: found.iter().map(RowView::from).collect() }))
}

async fn keep_pages(State(desk): Here, Path(who): Path<String>) -> Answer<PagesKept> {
    let pid = find(&desk.agents, &who)?;
    Ok(Json(PagesKept { pid, context: desk.agents.keep_pages(pid).await? }))
}

async fn pause(State(desk): Here, Path(who): Path<String>) -> Answer<Done> {
    desk.open()?;
    let pid = find(&desk.agents, &who)?;
    desk.agents.pause(pid).await?;
    Ok(Json(Done { pid }))
}

async fn resume(State(desk): Here, Path(who): Path<String>) -> Answer<Done> {
    let pid = find(&desk.agents, &who)?;
    desk.agents.resume(pid).await?;
    Ok(Json(Done { pid }))
}

async fn renice(
    State(desk): Here,
    Path(who): Path<String>,
    Body(wanted): Body<Renice>,
) -> Answer<Done> {
    let points = wanted.priority;
    let priority = Priority::new(points).ok_or_else(|| {
        let sentence = format!("priority {points}: it goes from 0 (first) to 100");
        Problem::new(Blame::Usage, sentence)
    })?;
    let pid = find(&desk.agents, &who)?;
    desk.agents.renice(pid, priority).await?;
    Ok(Json(Done { pid }))
}

async fn end(State(desk): Here, Path(who): Path<String>, Body(why): Body<Text>) -> Answer<Done> {
    let pid = find(&desk.agents, &who)?;
    desk.agents.end(pid, &why.text)?;
    Ok(Json(Done { pid }))
}

async fn mail(State(desk): Here, Path(who): Path<String>, Body(mail): Body<Text>) -> Answer<Done> {
    desk.open()?;
    let pid = find(&desk.agents, &who)?;
    desk.agents.send(pid, mail.text).await?;
    Ok(Json(Done { pid }))
}

async fn checkpoint(
    State(desk): Here,
    Path(who): Path<String>,
    Body(label): Body<Text>,
) -> Answer<Named> {
    desk.open()?;
    let pid = find(&desk.agents, &who)?;
    Ok(Json(Named { id: desk.agents.checkpoint(pid, label.text).await? }))
}

async fn restore(State(desk): Here, Path(id): Path<String>) -> Answer<Done> {
    desk.open()?;
    Ok(Json(Done { pid: desk.agents.restore(&id).await? }))
}

async fn adopt(State(desk): Here, Body(wanted): Body<Adopt>) -> Answer<Spawned> {
    desk.open()?;
    let _place = desk.loading.acquire().await.map_err(|_closed| closing())?;
    let pid = desk.agents.adopt(&wanted.chain, wanted.name, wanted.grants).await?;
    let view = desk.agents.show(pid)?;
    Ok(Json(Spawned { pid, name: view.name, chain: view.chain }))
}

async fn fork(
    State(desk): Here,
    Path(id): Path<String>,
    Body(wanted): Body<Fork>,
) -> Answer<Spawned> {
    desk.open()?;
    let _place = desk.loading.acquire().await.map_err(|_closed| closing())?;
    let pid = desk.agents.fork(&id, wanted.name).await?;
    let view = desk.agents.show(pid)?;
    Ok(Json(Spawned { pid, name: view.name, chain: view.chain }))
}

async fn show_quota(State(desk): Here, Path(text): Path<String>) -> Answer<Quota> {
    let scope = quota::scope(&desk.agents, &text)?;
    let usage = desk.agents.usage(scope)?;
    Ok(Json(Quota::new(text, usage, desk.window)))
}

async fn set_quota(
    State(desk): Here,
    Path(text): Path<String>,
    Body(change): Body<Change>,
) -> Answer<Quota> {
    desk.open()?;
    let scope = quota::scope(&desk.agents, &text)?;
    quota::check(scope, &change)?;
    // Two operators at once: each change is made to what the other has left.
    let _alone = desk.limits.lock().await;
    let before = desk.agents.usage(scope)?;
    desk.agents.set_limits(scope, change.over(before.limits)).await?;
    let usage = desk.agents.usage(scope)?;
    Ok(Json(Quota::new(text, usage, desk.window)))
}

async fn frame(State(desk): Here) -> Answer<Frame> {
    let used = Quota::new("host".into(), desk.agents.usage(Scope::Host)?, desk.window);
    let mut slots: Vec<_> = desk
        .agents
        .provider_slots()
        .into_iter()
        .map(|(name, use_)| Slots::new(name, use_))
        .collect();
    slots.push(Slots::new("tools".into(), desk.agents.tool_slots()));
    Ok(Json(Frame { host: desk.hello(), used, slots, agents: desk.agents.list() }))
}

pub(super) fn closing() -> Problem {
    Problem::new(Blame::Closing, "the host is closing: it lets its agents end and takes no more")
}

/// A JSON body, refused with one sentence.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            match too_large {
                true => {
                    let sentence = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
                    Problem::new(Blame::Limit, sentence)
                }
                false => Problem::new(Blame::Usage, rejection),
            }
        })?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| Problem::new(Blame::Usage, error))
    }
}

/// An answer as JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = match self.blame {
            Blame::Usage | Blame::Plugin => StatusCode::BAD_REQUEST,
            Blame::NoAgent => StatusCode::NOT_FOUND,
            Blame::Ended | Blame::Unclear => StatusCode::CONFLICT,
            Blame::Limit => StatusCode::PAYLOAD_TOO_LARGE,
            Blame::Closing => StatusCode::SERVICE_UNAVAILABLE,
            Blame::Host => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        let blame = match &error {
            OperateError::NoAgent(_) => Blame::NoAgent,
            OperateError::Ended(_) => Blame::Ended,
            OperateError::Refused(_) => Blame::Limit,
        };
        Self::new(blame, error)
    }
}

impl From<SpawnError> for Problem {
    fn from(error: SpawnError) -> Self {
        let blame = match &error {
            SpawnError::Limit(_) => Blame::Limit,
            SpawnError::Refused(_) | SpawnError::Window { .. } => Blame::Usage,
            SpawnError::Journal(_) => Blame::Host,
        };
        Self::new(blame, error)
    }
}

impl From<SpecError> for Problem {
    fn from(error: SpecError) -> Self {
        let blame = match &error {
            SpecError::Usage(_) | SpecError::Model(_) => Blame::Usage,
            SpecError::Plugin(_) => Blame::Plugin,
            SpecError::Kernel(fault) => match fault {
                Fault::Caller(_) => Blame::Usage,
                Fault::Plugin(_) => Blame::Plugin,
                Fault::Tool(_)
                | Fault::Ended(_)
                | Fault::Journal(_)
                | Fault::Storage(_)
                | Fault::Host(_) => Blame::Host,
            },
        };
        Self::new(blame, error)
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::new(Blame::Host, error)
    }
}
