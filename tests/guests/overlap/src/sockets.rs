//! Sockets.

use std::net::SocketAddr;

use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::{wit_bindgen, wit_stream};

use crate::output::say;

fn remote(address: &str) -> IpSocketAddress {
    let SocketAddr::V4(address) = address.parse().expect("an address") else {
        panic!("IPv4 only");
    };
    let [a, b, c, d] = address.ip().octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
}

/// Says `ping` and prints the answer.
pub async fn talk(address: &str) {
    match ping(address).await {
        Ok(answer) => say(&answer).await,
        Err(error) => say(&format!("refused: {error:?}")).await,
    }
}

async fn ping(address: &str) -> Result<String, ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.connect(remote(address)).await?;
    let (mut sending, receiving) = wit_stream::new();
    let sent = socket.send(receiving);
    assert!(sending.write_all(b"ping".to_vec()).await.is_empty());
    let (answer, ended) = socket.receive();
    let answer = answer.collect().await;
    drop(sending);
    ended.await?;
    sent.await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Connects often and keeps a stream of each socket, but not the socket.
pub async fn hold(address: &str, count: usize) {
    let mut held = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::create(IpAddressFamily::Ipv4).expect("a socket");
        socket.connect(remote(address)).await.expect("connected");
        held.push(socket.receive());
    }
    say(&format!("held {}", held.len())).await;
}

pub async fn datagram(address: &str) {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).expect("a socket");
    match socket.send(b"ping".to_vec(), Some(remote(address))).await {
        Ok(()) => match socket.receive().await {
            Ok((answer, _)) => say(&String::from_utf8_lossy(&answer)).await,
            Err(error) => say(&format!("broken: {error:?}")).await,
        },
        Err(error) => say(&format!("refused: {error:?}")).await,
    }
}

/// Waits for many datagrams at once that never come.
pub async fn receivers(count: usize) {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).expect("a socket");
    socket.bind(remote("0.0.0.0:0")).expect("bound");
    let socket: &'static UdpSocket = Box::leak(Box::new(socket));
    let waiting: Vec<_> = (0..count).map(|_| wit_bindgen::spawn_local(socket.receive())).collect();
    // Those that wait are in front; the first that does not is refused.
    let refused = waiting.into_iter().last().expect("one").await.expect("not dropped");
    say(&format!("{:?}", refused.map(|_| ()))).await;
    wasip3::cli::exit::exit_with_code(0);
}

pub async fn listen() {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).expect("a socket");
    match socket.listen() {
        Ok(_) => say("it listens").await,
        Err(error) => say(&format!("refused: {error:?}")).await,
    }
}

pub async fn look_up(name: &str) {
    match resolve_addresses(name.to_owned()).await {
        Ok(addresses) => say(&format!("{} addresses", addresses.len())).await,
        Err(error) => say(&format!("refused: {error:?}")).await,
    }
}

/// What a name's look-up says, word for word.
pub async fn addresses(name: &str) {
    match resolve_addresses(name.to_owned()).await {
        Ok(addresses) => say(&format!("{addresses:?}")).await,
        Err(error) => say(&format!("refused: {error:?}")).await,
    }
}
