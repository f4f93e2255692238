// SPDX-License-Identifier: MIT
//! An echo server of two threads, each with a runtime and a listener of its own on the same port
//! (SO_REUSEPORT), as servers on a runtime without a common queue are built.

use crate::build_runtime;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpSocket, TcpStream};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use weft_bench_harness::{echo, Sample};

const THREADS: usize = 2;
const BACKLOG: i32 = 4096;

async fn serve(mut connection: TcpStream, bytes: usize) {
    let mut message = Vec::with_capacity(echo::buffer_size(bytes));
    loop {
        message.clear();
        let (read, filled) = connection.read(message).await.into();
        if !matches!(read, Ok(n) if n > 0) {
            return;
        }
        let (written, whole) = connection.write_all(filled).await.into();
        if written.is_err() {
            return;
        }
        message = whole;
    }
}

async fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4().await?;
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).await?;
    socket.listen(BACKLOG).await
}

/// Goes on until the process ends: the kernel says which thread gets how many connections.
async fn accept_all(port: u16, bytes: usize, ready: mpsc::Sender<Result<SocketAddr, String>>) {
    let listening = listen(port).await.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    let listener = match listening {
        Ok((listener, address)) => {
            let _ = ready.send(Ok(address));
            listener
        }
        Err(error) => {
            let _ = ready.send(Err(error.to_string()));
            return;
        }
    };
    while let Ok((connection, _)) = listener.accept().await {
        if connection.set_nodelay(true).is_ok() {
            compio::runtime::spawn(serve(connection, bytes)).detach();
        }
    }
}

/// Returns when the thread listens.
fn start_thread(port: u16, bytes: usize) -> Result<SocketAddr, String> {
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || match build_runtime() {
        Ok(runtime) => runtime.block_on(accept_all(port, bytes, ready)),
        Err(error) => drop(ready.send(Err(error))),
    });
    is_ready.recv().map_err(|_| String::from("a thread ended"))?
}

fn start(_connections: usize, bytes: usize) -> Result<SocketAddr, String> {
    let address = start_thread(0, bytes)?;
    for _ in 1..THREADS {
        start_thread(address.port(), bytes)?;
    }
    Ok(address)
}

pub fn tcp(connections: usize, bytes: usize) -> Result<Sample, String> {
    echo::tcp(connections, bytes, start)
}

pub fn open(rate: u32) -> Result<Sample, String> {
    echo::open(rate, start)
}

pub fn open_part(percent: u32) -> Result<Sample, String> {
    echo::open_part(percent, start)
}
