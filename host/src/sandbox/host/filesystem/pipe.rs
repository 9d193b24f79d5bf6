//! The streams of `wasi:filesystem` 0.3 that the gate stands in: bytes on their way into a file,
//! each piece a row in the journal before it is written, and the names in a folder.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer,
};
use wasmtime_wasi::p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::effect::Kind;
use super::handle::{Failed, Handle};
use super::list::{Entries, Entry};
use crate::sandbox::host::open_files::Place;

/// How a stream ended, for the future that the guest has beside it.
pub(super) type Told = oneshot::Sender<Result<(), ErrorCode>>;

/// Bytes that are copied from the guest and written at once: a guest may have many streams, and
/// each holds as many in the host.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Names that are read at once for a reader that does not say how many it wants.
const NAMES_AT_ONCE: usize = 32;
/// And for any reader: each is memory of the host.
const NAMES_AT_ONCE_MAX: usize = 1_024;

/// Tells how a stream ended; a guest that does not listen is no error.
fn tell(told: &mut Option<Told>, ended: Result<(), ErrorCode>) {
    if let Some(told) = told.take() {
        let _nobody_listens = told.send(ended);
    }
}

/// Ends a stream by an error: the guest's to know, or its end.
fn end(told: &mut Option<Told>, failed: Failed) -> Poll<wasmtime::Result<StreamResult>> {
    match failed {
        Failed::Told(error) => {
            tell(told, Err(error.into()));
            Poll::Ready(Ok(StreamResult::Dropped))
        }
        Failed::Trap(error) => Poll::Ready(Err(error)),
    }
}

/// The writing end of a file.
pub(super) struct Writing {
    handle: Handle,
    /// Where the next byte goes; none at the end of the file.
    offset: Option<u64>,
    /// One piece at most, and its size.
    under_way: Option<(usize, BoxFuture<'static, Result<(), Failed>>)>,
    told: Option<Told>,
}

impl Writing {
    pub(super) fn new(handle: Handle, offset: Option<u64>, told: Told) -> Self {
        Self { handle, offset, under_way: None, told: Some(told) }
    }

    fn begin(&mut self, bytes: Bytes) -> BoxFuture<'static, Result<(), Failed>> {
        let (handle, offset) = (self.handle.clone(), self.offset);
        self.offset = offset.map(|offset| offset.saturating_add(bytes.len() as u64));
        Box::pin(async move { handle.write_all(&bytes, offset).await })
    }
}

impl<D> StreamConsumer<D> for Writing {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        // A write that has begun is carried to its end, so that its outcome is known.
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let this = &mut *self;
        if this.under_way.is_none() {
            let piece = source.remaining();
            let piece = &piece[..piece.len().min(PIECE_BYTES_MAX)];
            if piece.is_empty() {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            let writing = this.begin(Bytes::copy_from_slice(piece));
            this.under_way = Some((piece.len(), writing));
        }
        let Some((length, writing)) = &mut this.under_way else {
            return Poll::Ready(Ok(StreamResult::Completed));
        };
        let written = ready!(writing.as_mut().poll(context));
        let length = *length;
        this.under_way = None;
        match written {
            Ok(()) => {
                source.mark_read(length);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Err(failed) => end(&mut this.told, failed),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        tell(&mut self.told, Ok(()));
    }
}

/// The names in a folder.
pub(super) struct Listing {
    stage: Stage,
    told: Option<Told>,
}

enum Stage {
    Asking(BoxFuture<'static, Result<Entries, Failed>>),
    Giving(Entries),
    Ended,
}

impl Listing {
    pub(super) fn new(handle: Handle, place: Place, told: Told) -> Self {
        let asking = Box::pin(async move { handle.list(place).await });
        Self { stage: Stage::Asking(asking), told: Some(told) }
    }
}

impl From<Kind> for DescriptorType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Folder => Self::Directory,
            Kind::Link => Self::SymbolicLink,
            Kind::File => Self::RegularFile,
            Kind::Other => Self::Other(None),
        }
    }
}

impl<D> StreamProducer<D> for Listing {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, DirectoryEntry, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = destination.remaining(&mut store).unwrap_or(NAMES_AT_ONCE);
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let this = &mut *self;
        if let Stage::Asking(asking) = &mut this.stage {
            match asking.as_mut().poll(context) {
                Poll::Ready(Ok(entries)) => this.stage = Stage::Giving(entries),
                Poll::Ready(Err(failed)) => return end(&mut this.told, failed),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let Stage::Giving(entries) = &mut this.stage else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let (mut given, mut ended) = (Vec::new(), None);
        while ended.is_none() && given.len() < wanted.min(NAMES_AT_ONCE_MAX) {
            match entries.next() {
                Ok(Some(Entry { kind, name })) => {
                    given.push(DirectoryEntry { type_: kind.into(), name });
                }
                Ok(None) => ended = Some(Ok(())),
                Err(error) => ended = Some(Err(error.into())),
            }
        }
        destination.set_buffer(given.into());
        Poll::Ready(Ok(match ended {
            Some(ended) => {
                // The folder is closed, whatever becomes of the stream.
                this.stage = Stage::Ended;
                tell(&mut this.told, ended);
                StreamResult::Dropped
            }
            None => StreamResult::Completed,
        }))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        tell(&mut self.told, Ok(()));
    }
}
