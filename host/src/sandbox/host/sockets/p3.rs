//! `wasi:sockets` 0.3: the functions that wasmtime-wasi leaves unbounded or ungated, in its place.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::component::{
    Access, Accessor, FutureConsumer, FutureReader, Linker, Resource, ResourceType, Source,
    StreamReader,
};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore,
    IpAddress, IpAddressFamily, IpSocketAddress, TcpSocket, UdpSocket,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::{LookUp, NotLookedUp};
use crate::capability::gate::Refusal;
use crate::sandbox::host::network as words;
use crate::sandbox::host::open_files::Place;
use crate::sandbox::state::State;

/// The version is that of wasmtime-wasi's bindings.
const TYPES: &str = "wasi:sockets/types@0.3.0";
const LOOKUP: &str = "wasi:sockets/ip-name-lookup@0.3.0";

/// Datagrams that one call may have on their way at once, in and out: each may have a buffer of
/// 64 KiB in the host.
pub(crate) const DATAGRAMS_MAX: usize = 64;

/// How a stream of bytes ended.
type Outcome = FutureReader<Result<(), ErrorCode>>;

/// Replaces the look-up of names, the making of sockets and what holds memory or sockets of the
/// host. The linker must allow shadowing.
///
/// # Errors
/// When the linker does not hold what is replaced: the engine's bindings changed their version.
pub(crate) fn replace(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(LOOKUP)?.func_wrap_concurrent(
        "resolve-addresses",
        |store: &Accessor<State>, (name,): (String,)| {
            Box::pin(async move { Ok((look_up(store, &name).await?,)) })
        },
    )?;
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            Ok((create_tcp(store.data_mut(), family)?,))
        },
    )?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            Box::new(async move { Ok((create_udp(store.data_mut(), family).await?,)) })
        },
    )?;
    types.func_wrap("[method]tcp-socket.send", send)?;
    types.func_wrap("[method]tcp-socket.receive", receive)?;
    types.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, handle| {
        let state: &mut State = store.data_mut();
        state.open_files.socket_closed(handle);
        HostTcpSocket::drop(&mut state.sockets(), Resource::new_own(handle))
    })?;
    datagrams(linker)
}

/// Replaces sending and receiving datagrams by what holds few of them at once.
fn datagrams(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Sent = (Resource<UdpSocket>, Vec<u8>, Option<IpSocketAddress>);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |store: &Accessor<State>, (socket, data, to): Sent| {
            Box::pin(async move {
                let Some(_place) = datagram(store) else {
                    return Ok((Err(ErrorCode::OutOfMemory),));
                };
                Ok((told(HostUdpSocketWithStore::send(&wasi(store), socket, data, to).await)?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.receive",
        |store: &Accessor<State>, (socket,): (Resource<UdpSocket>,)| {
            Box::pin(async move {
                let Some(_place) = datagram(store) else {
                    return Ok((Err(ErrorCode::OutOfMemory),));
                };
                Ok((told(HostUdpSocketWithStore::receive(&wasi(store), socket).await)?,))
            })
        },
    )
}

fn wasi(store: &Accessor<State>) -> Accessor<State, WasiSockets> {
    store.with_getter::<WasiSockets>(State::sockets)
}

fn datagram(store: &Accessor<State>) -> Option<OwnedSemaphorePermit> {
    let datagrams = store.with(|mut store| Arc::clone(&store.data_mut().datagrams));
    datagrams.try_acquire_owned().ok()
}

/// The error that the guest is told, unless it is its end.
fn told<T>(done: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

async fn look_up(
    store: &Accessor<State>,
    name: &str,
) -> wasmtime::Result<Result<Vec<IpAddress>, LookupError>> {
    let looking = store.with(|mut store| LookUp::of(store.data_mut()));
    Ok(match looking.look_up(name).await {
        Ok(addresses) => Ok(addresses.into_iter().map(address).collect()),
        Err(NotLookedUp::NoName) => Err(LookupError::InvalidArgument),
        Err(NotLookedUp::Refused(Refusal::Denied(_))) => Err(LookupError::AccessDenied),
        Err(NotLookedUp::Refused(Refusal::Effect(refusal))) => Err(words::lookup_error(&refusal)),
        Err(NotLookedUp::Refused(Refusal::Limit(limit))) => return Err(limit.into()),
        Err(NotLookedUp::Refused(Refusal::Journal(error))) => {
            return Err(wasmtime::Error::new(error));
        }
    })
}

fn address(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
        IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
    }
}

/// `wasi:sockets` 0.3 has no word for too many sockets, so the limit itself ends the call.
fn create_tcp(
    state: &mut State,
    family: IpAddressFamily,
) -> wasmtime::Result<Result<Resource<TcpSocket>, ErrorCode>> {
    state.may_open()?;
    told(HostTcpSocket::create(&mut state.sockets(), family))
}

async fn create_udp(
    state: &mut State,
    family: IpAddressFamily,
) -> wasmtime::Result<Result<Resource<UdpSocket>, ErrorCode>> {
    state.may_open()?;
    told(HostUdpSocket::create(&mut state.sockets(), family).await)
}

fn send(
    mut store: StoreContextMut<'_, State>,
    (socket, data): (Resource<TcpSocket>, StreamReader<u8>),
) -> wasmtime::Result<(Outcome,)> {
    let place = store.data_mut().open_files.stream_of_socket(socket.rep());
    let access = Access::<_, WasiSockets>::new(store.as_context_mut(), State::sockets);
    let outcome = <WasiSockets as HostTcpSocketWithStore<State>>::send(access, socket, data)?;
    Ok((held(store, outcome, place)?,))
}

fn receive(
    mut store: StoreContextMut<'_, State>,
    (socket,): (Resource<TcpSocket>,),
) -> wasmtime::Result<((StreamReader<u8>, Outcome),)> {
    let place = store.data_mut().open_files.stream_of_socket(socket.rep());
    let access = Access::<_, WasiSockets>::new(store.as_context_mut(), State::sockets);
    let (data, outcome) = <WasiSockets as HostTcpSocketWithStore<State>>::receive(access, socket)?;
    Ok(((data, held(store, outcome, place)?),))
}

/// Hands an outcome on and keeps a place until it is there: a stream holds its socket open for as
/// long, whatever the guest has dropped.
fn held(
    mut store: StoreContextMut<'_, State>,
    outcome: Outcome,
    place: Place,
) -> wasmtime::Result<Outcome> {
    let (told, passed_on) = oneshot::channel();
    outcome.pipe(&mut store, Holding { told: Some(told), _place: place })?;
    FutureReader::new(&mut store, passed_on)
}

struct Holding {
    told: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    _place: Place,
}

impl FutureConsumer<State> for Holding {
    type Item = Result<(), ErrorCode>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, State>,
        mut source: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut outcome = None;
        source.read(store, &mut outcome)?;
        if let (Some(outcome), Some(told)) = (outcome, self.told.take()) {
            let _nobody_listens = told.send(outcome);
        }
        Poll::Ready(Ok(()))
    }
}
