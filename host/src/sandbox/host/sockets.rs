//! `wasi:sockets`: every address and every name goes through the gate. Addresses are checked for
//! 0.2 and 0.3 in one place, [`allow`]; what is here besides is 0.2, and [`p3`] is 0.3.

pub(crate) mod p3;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{
    tcp_create_socket::Host as _, udp_create_socket::Host as _,
};
use wasmtime_wasi::p2::{Network, Pollable, SocketError, subscribe};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};

use crate::capability::gate::{Gate, Refusal};
use crate::capability::network::host::Host;
use crate::capability::network::resolve::Resolver;
use crate::capability::network::sockets::{Intent, SocketTable};
use crate::capability::network::verdict::{LookupRequest, SocketRequest};
use crate::sandbox::host::network as words;
use crate::sandbox::state::State;

/// The instance and function that is replaced; its version is that of wasmtime-wasi's bindings.
const LOOKUP_INSTANCE: &str = "wasi:sockets/ip-name-lookup@0.2.12";
const LOOKUP_FUNCTION: &str = "resolve-addresses";
const TCP_INSTANCE: &str = "wasi:sockets/tcp-create-socket@0.2.12";
const UDP_INSTANCE: &str = "wasi:sockets/udp-create-socket@0.2.12";

/// A name is looked up within this time.
const LOOKUP: Duration = Duration::from_secs(5);

/// Lets sockets be made, with every use of an address asked of the gate.
pub(crate) fn allow(wasi: &mut WasiCtxBuilder, gate: &Arc<Gate>, table: &Arc<SocketTable>) {
    let (gate, table) = (Arc::clone(gate), Arc::clone(table));
    wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(
        move |peer, usage: SocketAddrUse| {
            let (gate, table) = (Arc::clone(&gate), Arc::clone(&table));
            let intent = words::intent(usage);
            Box::pin(SyncFuture::new(async move {
                // The port that the system picks is no effect on anything.
                let bind = matches!(intent, Intent::Bind(_));
                if bind && peer.ip().is_unspecified() && peer.port() == 0 {
                    return true;
                }
                // Anybody may send to an open port: what comes unasked is no wish of the guest's.
                if matches!(usage, SocketAddrUse::UdpReceive) && table.may(peer, intent).is_err() {
                    return false;
                }
                let request = SocketRequest { table, peer, intent };
                let allowed = gate.perform(request, |permit| async {
                    permit.spend();
                    Ok::<(), std::fmt::Error>(())
                });
                allowed.await.is_ok()
            }))
        },
    );
}

/// Replaces the look-up of names, which wasmtime-wasi allows for all names or none. The linker must
/// allow shadowing.
///
/// # Errors
/// When the linker does not hold what is replaced: the engine's bindings changed their version.
pub(crate) fn replace_lookup(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(LOOKUP_INSTANCE)?.func_wrap_async(
        LOOKUP_FUNCTION,
        |mut store: StoreContextMut<'_, State>, (network, name): (Resource<Network>, String)| {
            Box::new(async move {
                store.data().table.get(&network)?;
                let found = match LookUp::of(store.data()).look_up(&name).await {
                    Ok(found) => found,
                    Err(refused) => return Ok((Err(refused_look_up(refused)?),)),
                };
                Ok((Ok(store.data_mut().table.push(Found(found.into()))?),))
            })
        },
    )?;
    replace_answer(linker)
}

/// What a guest reads of a look-up: the very addresses that the host's table holds. wasmtime-wasi's
/// own stream asks the system a second time, and in an attack by rebinding is told something else.
fn replace_answer(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(LOOKUP_INSTANCE)?;
    let found = ResourceType::host::<Found>();
    instance.resource("resolve-address-stream", found, |mut store, rep| {
        store.data_mut().table.delete(Resource::<Found>::new_own(rep))?;
        Ok(())
    })?;
    instance.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, State>, (found,): (Resource<Found>,)| {
            let next = store.data_mut().table.get_mut(&found)?.0.pop_front();
            Ok((Ok::<_, ErrorCode>(next.map(IpAddress::from)),))
        },
    )?;
    instance.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (found,): (Resource<Found>,)| {
            Ok((subscribe(&mut store.data_mut().table, found)?,))
        },
    )
}

/// The addresses that a guest has not read yet.
struct Found(VecDeque<IpAddr>);

#[wasmtime_wasi::async_trait]
impl Pollable for Found {
    /// The host has waited for the answer already.
    async fn ready(&mut self) {}
}

/// Replaces the making of sockets, which needs no grant, by one that counts them.
///
/// # Errors
/// As [`replace_lookup`].
pub(crate) fn bound_creation(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(TCP_INSTANCE)?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            let state = store.data_mut();
            if state.has_open_files_max() {
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            made(state.sockets().create_tcp_socket(family))
        },
    )?;
    linker.instance(UDP_INSTANCE)?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, State>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let state = store.data_mut();
                if state.has_open_files_max() {
                    return Ok((Err(ErrorCode::NewSocketLimit),));
                }
                made(state.sockets().create_udp_socket(family).await)
            })
        },
    )?;
    Ok(())
}

fn made<T>(socket: Result<T, SocketError>) -> wasmtime::Result<(Result<T, ErrorCode>,)> {
    match socket {
        Ok(socket) => Ok((Ok(socket),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// What a look-up needs of the store.
struct LookUp {
    gate: Arc<Gate>,
    table: Arc<SocketTable>,
    resolver: Arc<dyn Resolver>,
}

/// Why a name was not looked up.
enum NotLookedUp {
    /// It is no name.
    NoName,
    Refused(Refusal<crate::capability::network::resolve::Refusal>),
}

impl LookUp {
    fn of(state: &State) -> Self {
        Self {
            gate: Arc::clone(&state.gate),
            table: Arc::clone(&state.sockets),
            resolver: Arc::clone(&state.resolver),
        }
    }

    /// The host's own look-up: its answer is what the guest is told and may connect to.
    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NotLookedUp> {
        let name = Host::parse_bare(name).map_err(|_| NotLookedUp::NoName)?;
        let looked_up = self.gate.perform(LookupRequest { name }, |permit| async {
            self.table.lookup(&permit.spend(), &*self.resolver, LOOKUP).await
        });
        looked_up.await.map_err(NotLookedUp::Refused)
    }
}

fn refused_look_up(refused: NotLookedUp) -> wasmtime::Result<ErrorCode> {
    Ok(match refused {
        NotLookedUp::NoName => ErrorCode::InvalidArgument,
        NotLookedUp::Refused(Refusal::Denied(_)) => ErrorCode::AccessDenied,
        NotLookedUp::Refused(Refusal::Effect(refusal)) => words::socket_error(&refusal),
        NotLookedUp::Refused(Refusal::Limit(limit)) => return Err(limit.into()),
        NotLookedUp::Refused(Refusal::Journal(error)) => return Err(wasmtime::Error::new(error)),
    })
}

/// The hook wants a future that is `Sync`. A future is only ever polled by its owner, through
/// `&mut`, so a lock that is never contended makes it so.
struct SyncFuture<T>(std::sync::Mutex<futures::future::BoxFuture<'static, T>>);

impl<T> SyncFuture<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(std::sync::Mutex::new(Box::pin(future)))
    }
}

impl<T> Future for SyncFuture<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        let future = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        future.as_mut().poll(context)
    }
}
