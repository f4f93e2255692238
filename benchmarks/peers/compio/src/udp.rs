// SPDX-License-Identifier: MIT
//! A server of datagrams: two threads, each with receives of the one socket in its own ring.

use crate::echo::{announce, on_thread, Ready, THREADS};
use compio::net::UdpSocket;
use std::net::{Ipv4Addr, SocketAddr};
use weft_bench_harness::{round, Sample};

/// Of each thread; one takes half as much CPU time again.
const RECEIVERS: usize = 8;

async fn answer(socket: UdpSocket) {
    let mut message = Vec::with_capacity(round::BYTES);
    loop {
        message.clear();
        let (received, filled) = socket.recv_from(message).await.into();
        let Ok((_, from)) = received else { return };
        let (sent, whole) = socket.send_to(filled, from).await.into();
        if sent.is_err() {
            return;
        }
        message = whole;
    }
}

/// Goes on until the process ends.
async fn receive_all(socket: std::net::UdpSocket, ready: Ready) {
    let address = socket.local_addr();
    let opened = address.and_then(|address| Ok((UdpSocket::from_std(socket)?, address)));
    let Some(socket) = announce(ready, opened) else { return };
    let receivers: Vec<_> =
        (0..RECEIVERS).map(|_| compio::runtime::spawn(answer(socket.clone()))).collect();
    for receiver in receivers {
        let _ = receiver.await;
    }
}

fn start() -> Result<SocketAddr, String> {
    let describe = |error: std::io::Error| error.to_string();
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(describe)?;
    for _ in 0..THREADS {
        let own = socket.try_clone().map_err(describe)?;
        on_thread(move |ready| receive_all(own, ready))?;
    }
    socket.local_addr().map_err(describe)
}

pub fn echo_udp() -> Result<Sample, String> {
    round::udp(start)
}
