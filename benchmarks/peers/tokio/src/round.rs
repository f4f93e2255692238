// SPDX-License-Identifier: MIT
//! Servers of short exchanges: datagrams, and connections of one message.

use crate::echo::serve;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use weft_bench_harness::{round, Sample};

/// Of one socket: one takes half as much CPU time again, and so do sixteen.
const RECEIVERS: usize = 2;

async fn answer(socket: Arc<UdpSocket>) {
    let mut message = [0; round::BYTES];
    while let Ok((n, from)) = socket.recv_from(&mut message).await {
        if socket.send_to(&message[..n], from).await.is_err() {
            break;
        }
    }
}

async fn start_answering() -> std::io::Result<SocketAddr> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    for _ in 0..RECEIVERS {
        tokio::spawn(answer(socket.clone()));
    }
    socket.local_addr()
}

pub fn echo_udp(runtime: &Runtime) -> Result<Sample, String> {
    round::udp(|| runtime.block_on(start_answering()).map_err(|error| error.to_string()))
}

async fn start_accepting() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(async move { serve(connection, &mut [0; round::BYTES], 0).await });
        }
    });
    Ok(address)
}

pub fn connect_churn(runtime: &Runtime) -> Result<Sample, String> {
    round::churn(|| runtime.block_on(start_accepting()).map_err(|error| error.to_string()))
}
