// SPDX-License-Identifier: MIT
//! Servers of short exchanges: datagrams, and connections of one message.

use crate::echo::serve;
use crate::go;
use may::net::{TcpListener, UdpSocket};
use std::net::{Ipv4Addr, SocketAddr};
use weft_bench_harness::{round, Sample};

/// One coroutine: a second would need a descriptor of its own for the socket, and each datagram would
/// wake both, which takes more than twice the CPU time.
fn answer(socket: UdpSocket) {
    let mut message = [0; round::BYTES];
    while let Ok((n, from)) = socket.recv_from(&mut message) {
        if socket.send_to(&message[..n], from).is_err() {
            break;
        }
    }
}

fn start_answering() -> std::io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    go(move || answer(socket));
    Ok(address)
}

pub fn echo_udp() -> Result<Sample, String> {
    round::udp(|| start_answering().map_err(|error| error.to_string()))
}

fn start_accepting() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    go(move || {
        while let Ok((connection, _)) = listener.accept() {
            go(move || serve(connection, &mut [0; round::BYTES]));
        }
    });
    Ok(address)
}

pub fn connect_churn() -> Result<Sample, String> {
    round::churn(|| start_accepting().map_err(|error| error.to_string()))
}
