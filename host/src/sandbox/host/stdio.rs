//! `wasi:cli` 0.3 stdout and stderr: streams into the bounded sinks. A full budget ends the guest,
//! as in 0.2.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, FutureReader, HasData, Linker, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;
use wasmtime_wasi::p3::bindings::cli::{stderr, stdout};

use crate::sandbox::state::State;
use crate::sandbox::stdio::{BoundedSink, SinkWriter};

/// The linker's name for them.
pub struct BoundedStdio;

impl HasData for BoundedStdio {
    type Data<'a> = &'a mut State;
}

/// What a guest is told when its stream has ended.
type Outcome = FutureReader<Result<(), ErrorCode>>;

/// Links both in the place of wasmtime-wasi's. The linker must allow shadowing.
///
/// # Errors
/// When another interface claims one of the names.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    stdout::add_to_linker::<_, BoundedStdio>(linker, |state| state)?;
    stderr::add_to_linker::<_, BoundedStdio>(linker, |state| state)
}

/// A guest's stream on its way into a sink.
struct Printing {
    writer: SinkWriter,
    told: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl Printing {
    fn tell(&mut self, ended: Result<(), ErrorCode>) {
        if let Some(told) = self.told.take() {
            let _nobody_listens = told.send(ended);
        }
    }
}

impl Drop for Printing {
    fn drop(&mut self) {
        self.tell(Ok(()));
    }
}

impl<D> StreamConsumer<D> for Printing {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        if source.remaining().is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let put = self.writer.poll_put(context, source.remaining());
        if put.is_pending() && finish {
            return Poll::Ready(Ok(StreamResult::Cancelled));
        }
        let code = match ready!(put) {
            Ok(count) => {
                source.mark_read(count);
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Err(StreamError::Trap(error)) => return Poll::Ready(Err(error)),
            Err(StreamError::Closed) => ErrorCode::Pipe,
            Err(StreamError::LastOperationFailed(error)) => {
                tracing::debug!("a guest's output failed: {error}");
                ErrorCode::Io
            }
        };
        self.tell(Err(code));
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

fn print(
    mut store: Access<'_, State, BoundedStdio>,
    sink: BoundedSink,
    data: StreamReader<u8>,
) -> wasmtime::Result<Outcome> {
    let (told, outcome) = oneshot::channel::<Result<(), ErrorCode>>();
    data.pipe(&mut store, Printing { writer: SinkWriter::new(sink), told: Some(told) })?;
    FutureReader::new(&mut store, outcome)
}

impl stdout::Host for State {}

impl stdout::HostWithStore<State> for BoundedStdio {
    fn write_via_stream(
        mut store: Access<'_, State, Self>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Outcome> {
        let sink = store.get().stdout.clone();
        print(store, sink, data)
    }
}

impl stderr::Host for State {}

impl stderr::HostWithStore<State> for BoundedStdio {
    fn write_via_stream(
        mut store: Access<'_, State, Self>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Outcome> {
        let sink = store.get().stderr.clone();
        print(store, sink, data)
    }
}
