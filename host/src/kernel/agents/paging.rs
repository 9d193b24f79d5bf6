//! Between the memory of an agent and the store: what leaves is written first, what is asked for is
//! brought in, and what was recalled is written down.
//!
//! A replay makes the same memory from the rows ([`super::memory::Memory::replay`]), and its pages
//! are written to the store again as they are made: what is there already stays as it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Agents;
use super::memory::{Body as Found, Call, Recall, shown_parts};
use super::process::Process;
use crate::journal::{Body, Class, Row, RowKind};
use crate::model::{Endpoint, Request, TokenUsage};
use crate::pager::{ContentHash, PageId, PagerError, Part, record};
use crate::sandbox::Ended;
use crate::sandbox::agent::{context as wit, types};
use crate::storage::pages::{ContextRecord, PageBatch};
use crate::storage::{Digest, apart};

/// How long an append waits for room in the memory of the host, and how often it looks.
const ROOM_WITHIN: Duration = Duration::from_secs(30);
const ROOM_LOOK: Duration = Duration::from_millis(50);

impl Agents {
    /// `context.append`.
    pub(super) async fn ask_append(
        &self,
        process: &Process,
        kind: wit::PageKind,
        parts: Vec<types::Part>,
        importance: f32,
        label: Option<String>,
    ) -> Result<Result<u64, wit::Error>, Ended> {
        if !self.has_room(process).await? {
            let most = self.options.resident_bytes_max;
            return Ok(Err(wit::Error::StorageFull(format!(
                "the windows of all agents of this host hold {most} bytes together, and none was \
                 given back within {} s",
                ROOM_WITHIN.as_secs()
            ))));
        }
        let (answer, heavy) = {
            let mut memory = process.memory();
            (memory.append(kind, parts, importance, label), memory.is_heavy())
        };
        if heavy {
            self.keep(process).await?;
        }
        Ok(answer)
    }

    /// `context.read`.
    pub(super) async fn ask_read(
        &self,
        process: &Process,
        id: u64,
    ) -> Result<Result<Vec<types::Part>, wit::Error>, Ended> {
        let found = match process.memory().read(id) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        Ok(self.bring_in(PageId(id), found).await.map(|parts| shown_parts(&parts)))
    }

    /// `context.recall`.
    pub(super) async fn ask_recall(
        &self,
        process: &Process,
        query: &str,
        max_tokens: u32,
    ) -> Result<Result<Vec<(wit::Page, String)>, wit::Error>, Ended> {
        let found = process.memory().recall(query, max_tokens);
        self.record_recall(process, query, &found, false).await?;
        let mut shown = Vec::with_capacity(found.len());
        for Recall { page, pick, body } in found {
            // A damaged page is told to the log, and the others are answered.
            if let Ok(parts) = self.bring_in(pick.id, body).await {
                let text = process.memory().excerpt(&pick, &parts);
                shown.push((page, text));
            }
        }
        Ok(Ok(shown))
    }

    /// Clears the window, recalls for the user's turn, and puts the prompt into the request.
    pub(super) async fn page_in(
        &self,
        process: &Arc<Process>,
        endpoint: &Endpoint,
        request: &mut Request,
    ) -> Result<Result<(), PagerError>, Ended> {
        let (call, picks) = {
            let mut memory = process.memory();
            let call = Call {
                window_tokens: self.room_now(process, endpoint).tokens,
                tools_tokens: memory.tools_tokens(&request.tools),
                caching: endpoint.caching(),
            };
            (call, memory.prepare(&call))
        };
        if picks.is_ok() {
            self.summarise(process).await?;
        }
        // What has left is in the store before it is gone from here.
        self.keep(process).await?;
        let picks = match picks {
            Ok(picks) => picks,
            Err(error) => return Ok(Err(error)),
        };
        if !picks.is_empty() {
            self.record_recall(process, "", &picks, true).await?;
        }
        let mut tail = Vec::with_capacity(picks.len());
        for Recall { pick, body, .. } in picks {
            if let Ok(parts) = self.bring_in(pick.id, body).await {
                tail.push((pick.id, process.memory().excerpt(&pick, &parts)));
            }
        }
        Ok(process.memory().render(endpoint.name(), &call, tail).map(|prompt| {
            request.system = prompt.system;
            request.messages = prompt.messages;
            request.cache_breakpoints = prompt.breakpoints;
        }))
    }

    /// Takes a reply into the memory, and what it used.
    pub(super) fn settle_reply(
        &self,
        process: &Process,
        endpoint: &Endpoint,
        parts: &[types::Part],
        usage: &TokenUsage,
    ) -> Result<Vec<u64>, wit::Error> {
        let row = process.state().asked.row();
        let mut memory = process.memory();
        memory.replied_in(row);
        memory.settle(usage, |usage| endpoint.price(&usage).unwrap_or(0));
        self.learnt(endpoint.name(), memory.factor());
        memory.append_reply(parts)
    }

    /// A page's content, from wherever it is.
    async fn bring_in(&self, page: PageId, found: Found) -> Result<Arc<[Part]>, wit::Error> {
        let hash = match found {
            Found::Here(parts) => return Ok(parts),
            Found::Stored(hash) => hash,
        };
        let ContentHash(name) = hash;
        let kernel = self.kernel();
        let storage = Arc::clone(kernel.storage());
        let found = apart(async move { storage.pages().content(Digest(name)).await }).await;
        let wrong = match found {
            Ok(Some(body)) => match record::decode(&body, &hash) {
                Some(parts) => return Ok(parts),
                None => format!("page {page} is damaged in the store: it is not {hash}"),
            },
            Ok(None) => format!("page {page} is missing in the store: {hash}"),
            Err(error) => format!("page {page}: {error}"),
        };
        tracing::warn!("{wrong}");
        Err(wit::Error::StorageFull(wrong))
    }

    /// Writes what the store does not have of an agent's memory.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(super) async fn keep(&self, process: &Process) -> Result<(), Ended> {
        let mut held = process.keeping.lock().await;
        let mut unkept = {
            let mut memory = process.memory();
            if memory.is_gone() {
                return Ok(());
            }
            memory.unkept()
        };
        let batch = PageBatch {
            context: ContextRecord {
                id: process.chain.id(),
                pid: process.pid.0,
                name: process.name.clone(),
                updated_us: now_us(),
                state: unkept.state.clone(),
                layout: unkept.layout.clone(),
            },
            pages: std::mem::take(&mut unkept.pages),
            contents: std::mem::take(&mut unkept.contents),
            pages_end: Some(unkept.pages_end),
        };
        let storage = Arc::clone(self.kernel().storage());
        let written = apart(async move { storage.pages().put(&batch).await }).await;
        let mut memory = process.memory();
        match written {
            Ok(()) => {
                memory.kept(&unkept);
                self.count_resident(&mut held, memory.resident_bytes());
                Ok(())
            }
            Err(error) => {
                let sentence = error.to_string();
                memory.not_kept(unkept);
                Err(Ended::Journal(sentence))
            }
        }
    }

    /// All that an ended agent remembered is in the store, and nothing of it here.
    pub(super) async fn forget(&self, process: &Process) {
        if let Err(error) = self.keep(process).await {
            tracing::warn!("the pages of agent {} could not be kept: {error}", process.pid);
        }
        let mut held = process.keeping.lock().await;
        process.memory().forget();
        self.count_resident(&mut held, 0);
    }

    /// Counts what one agent holds into what all hold.
    fn count_resident(&self, held: &mut u64, bytes: u64) {
        let all = &self.own.resident_bytes;
        all.fetch_add(bytes, Ordering::Relaxed);
        all.fetch_sub(std::mem::replace(held, bytes), Ordering::Relaxed);
    }

    /// Waits for room in what all agents of this host may hold together; whether there is some.
    /// A wait changes nothing that an agent could see.
    async fn has_room(&self, process: &Process) -> Result<bool, Ended> {
        let most = self.options.resident_bytes_max;
        let is_full = || self.own.resident_bytes.load(Ordering::Relaxed) > most;
        if !is_full() {
            return Ok(true);
        }
        self.keep(process).await?;
        let since = tokio::time::Instant::now();
        while is_full() {
            if since.elapsed() > ROOM_WITHIN {
                return Ok(false);
            }
            tokio::time::sleep(ROOM_LOOK).await;
        }
        Ok(true)
    }

    /// The row of a recall: which pages, and how well they fit.
    async fn record_recall(
        &self,
        process: &Process,
        query: &str,
        found: &[Recall],
        automatic: bool,
    ) -> Result<(), Ended> {
        let pages: Vec<_> =
            found.iter().map(|recall| (recall.pick.id.0, recall.pick.score)).collect();
        let mut body = serde_json::json!({ "pages": pages });
        match automatic {
            true => body["automatic"] = true.into(),
            false => body["query_blake3"] = blake3::hash(query.as_bytes()).to_hex().as_str().into(),
        }
        let row = Row {
            who: &process.name,
            capability: "context",
            target: "recall",
            body: Body::Value(&body),
            ..Row::new(RowKind::Outcome)
        };
        let written = process.chain.append(row, Class::Queued).await;
        written.map(|_| ()).map_err(|error| Ended::Journal(error.to_string()))
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
