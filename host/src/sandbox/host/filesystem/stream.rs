//! An output stream of an open file: each write is a row in the journal before it happens.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::capability::files::{FileOperation, OpenFileRequest};
use crate::capability::gate::{Gate, Refusal};

/// The stream behind the gate.
pub(super) struct GatedOutput {
    stage: Stage,
    gate: Arc<Gate>,
    real: Arc<PathBuf>,
    /// Where the next byte goes; none at the end of the file.
    offset: Option<u64>,
}

/// More than `check-write` ever allows.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// One write is under way at most, as the interface has it.
enum Stage {
    Ready(DynOutputStream),
    Writing(JoinHandle<(DynOutputStream, StreamResult<()>)>),
    Failed(StreamError),
    Closed,
}

impl GatedOutput {
    pub(super) fn new(
        inner: DynOutputStream,
        gate: Arc<Gate>,
        real: PathBuf,
        offset: Option<u64>,
    ) -> Self {
        Self { stage: Stage::Ready(inner), gate, real: Arc::new(real), offset }
    }

    /// The write itself, to be awaited here or by a task.
    fn writing(
        &mut self,
        mut inner: DynOutputStream,
        bytes: Bytes,
    ) -> impl Future<Output = (DynOutputStream, StreamResult<()>)> + Send + 'static {
        let (gate, real) = (Arc::clone(&self.gate), Arc::clone(&self.real));
        let length = bytes.len() as u64;
        let operation = FileOperation::Write { offset: self.offset, bytes: length };
        self.offset = self.offset.map(|offset| offset.saturating_add(length));
        async move {
            let rules = gate.authority().files();
            let request = OpenFileRequest { real: &real, operation, rules };
            let written = gate.perform(request, |permit| async {
                permit.spend();
                inner.blocking_write_and_flush(bytes).await.map_err(Shown)
            });
            let written = written.await.map_err(|refused| match refused {
                Refusal::Effect(Shown(error)) => error,
                Refusal::Denied(denial) => {
                    StreamError::LastOperationFailed(wasmtime::Error::msg(denial.to_string()))
                }
                Refusal::Limit(limit) => StreamError::Trap(limit.into()),
                Refusal::Journal(error) => StreamError::Trap(wasmtime::Error::new(error)),
            });
            (inner, written)
        }
    }

    fn settle(&mut self, inner: DynOutputStream, written: StreamResult<()>) {
        self.stage = match written {
            Ok(()) => Stage::Ready(inner),
            Err(error) => Stage::Failed(error),
        };
    }

    /// The failure of the last write is told once; after it the stream is closed.
    fn failure(&mut self) -> StreamError {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Failed(error) => error,
            Stage::Ready(_) | Stage::Writing(_) | Stage::Closed => StreamError::Closed,
        }
    }
}

impl Drop for GatedOutput {
    /// What was not written when the call ended is not written after it.
    fn drop(&mut self) {
        if let Stage::Writing(task) = &self.stage {
            task.abort();
        }
    }
}

/// An error that can be shown in the journal.
struct Shown(StreamError);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GatedOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES_MAX {
            return Err(StreamError::Trap(wasmtime::Error::msg(
                "write beyond what check-write allowed",
            )));
        }
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Ready(inner) => {
                let writing = self.writing(inner, bytes);
                self.stage = Stage::Writing(tokio::spawn(writing));
                Ok(())
            }
            Stage::Closed => Err(StreamError::Closed),
            busy @ (Stage::Writing(_) | Stage::Failed(_)) => {
                self.stage = busy;
                Err(StreamError::Trap(wasmtime::Error::msg(
                    "write without check-write: the last one is still under way",
                )))
            }
        }
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.ready().await;
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Ready(inner) => {
                let (inner, written) = self.writing(inner, bytes).await;
                self.settle(inner, written);
            }
            other => self.stage = other,
        }
        match self.stage {
            Stage::Ready(_) => Ok(()),
            Stage::Writing(_) | Stage::Failed(_) | Stage::Closed => Err(self.failure()),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self.stage {
            Stage::Ready(_) | Stage::Writing(_) => Ok(()),
            Stage::Failed(_) | Stage::Closed => Err(self.failure()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match &mut self.stage {
            Stage::Ready(inner) => inner.check_write(),
            Stage::Writing(_) => Ok(0),
            Stage::Failed(_) | Stage::Closed => Err(self.failure()),
        }
    }

    async fn cancel(&mut self) {
        // A write that has begun is carried to its end, so that its outcome is known.
        self.ready().await;
        self.stage = Stage::Closed;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GatedOutput {
    async fn ready(&mut self) {
        let Stage::Writing(task) = &mut self.stage else { return };
        match task.await {
            Ok((inner, written)) => self.settle(inner, written),
            Err(error) => self.stage = Stage::Failed(StreamError::Trap(error.into())),
        }
    }
}
