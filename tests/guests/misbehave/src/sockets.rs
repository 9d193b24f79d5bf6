//! Sockets that nobody granted.

use std::net::SocketAddr;

use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// Says `ping` and prints the answer.
pub fn talk(address: &str) {
    match connect(address) {
        Ok((_socket, input, output)) => {
            output.blocking_write_and_flush(b"ping").expect("sent");
            let answer = input.blocking_read(64).expect("answered");
            println!("{}", String::from_utf8_lossy(&answer));
        }
        Err(error) => println!("refused: {}", error.name()),
    }
}

fn connect(address: &str) -> Result<(TcpSocket, InputStream, OutputStream), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), ipv4(address))?;
    loop {
        socket.subscribe().block();
        match socket.finish_connect() {
            Ok((input, output)) => return Ok((socket, input, output)),
            Err(ErrorCode::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends `ping` as a datagram and prints what comes back.
pub fn datagram(address: &str) {
    match exchange(address) {
        Ok(answer) => println!("{answer}"),
        Err(error) => println!("refused: {}", error.name()),
    }
}

fn exchange(address: &str) -> Result<String, ErrorCode> {
    let remote = ipv4(address);
    let unspecified = Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) };
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), IpSocketAddress::Ipv4(unspecified))?;
    socket.finish_bind()?;
    let (incoming, outgoing) = socket.stream(None)?;
    for _ in 0..2 {
        outgoing.subscribe().block();
        outgoing.check_send()?;
        let ping = OutgoingDatagram { data: b"ping".to_vec(), remote_address: Some(remote) };
        outgoing.send(&[ping])?;
    }
    loop {
        incoming.subscribe().block();
        if let Some(datagram) = incoming.receive(1)?.pop() {
            return Ok(String::from_utf8_lossy(&datagram.data).into_owned());
        }
    }
}

fn ipv4(address: &str) -> IpSocketAddress {
    let SocketAddr::V4(address) = address.parse().expect("an address") else {
        panic!("IPv4 only");
    };
    let [a, b, c, d] = address.ip().octets();
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) })
}

pub fn look_up(name: &str) {
    match resolve_addresses(&instance_network(), name) {
        Ok(stream) => {
            stream.subscribe().block();
            println!("{:?}", stream.resolve_next_address());
        }
        Err(error) => println!("refused: {}", error.name()),
    }
}

/// Makes sockets that are never used, and keeps them.
pub fn hold(count: usize) {
    // The first line opens the guest's folders.
    println!("making sockets");
    let mut held = Vec::new();
    for _ in 0..count {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => held.push(socket),
            Err(error) => {
                println!("{} sockets: {}", held.len(), error.name());
                break;
            }
        }
    }
    println!("held {}", held.len());
    crate::resources::sleep();
}
