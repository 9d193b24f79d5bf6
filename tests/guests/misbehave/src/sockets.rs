//! Sockets that nobody granted.

use std::net::SocketAddr;

use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

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
    let SocketAddr::V4(address) = address.parse().expect("an address") else {
        panic!("IPv4 only");
    };
    let [a, b, c, d] = address.ip().octets();
    let remote =
        IpSocketAddress::Ipv4(Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), remote)?;
    loop {
        socket.subscribe().block();
        match socket.finish_connect() {
            Ok((input, output)) => return Ok((socket, input, output)),
            Err(ErrorCode::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
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
