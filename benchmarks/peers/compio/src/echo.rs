// SPDX-License-Identifier: MIT
//! Echo servers of two threads, each with a runtime and a listener of its own on the same port
//! (SO_REUSEPORT), as servers on a runtime without a common queue are built.

use crate::build_runtime;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpSocket, TcpStream};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use weft_bench_harness::{echo, round, Sample};

pub const THREADS: usize = 2;
const BACKLOG: i32 = 4096;

/// What a server's threads are told.
#[derive(Clone, Copy)]
struct Service {
    buffer_size: usize,
    is_nodelay: bool,
}

async fn serve(mut connection: TcpStream, buffer_size: usize) {
    let mut message = Vec::with_capacity(buffer_size);
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
async fn accept_all(port: u16, service: Service, ready: Ready) {
    let listening = listen(port).await.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    let Some(listener) = announce(ready, listening) else { return };
    while let Ok((connection, _)) = listener.accept().await {
        if !service.is_nodelay || connection.set_nodelay(true).is_ok() {
            compio::runtime::spawn(serve(connection, service.buffer_size)).detach();
        }
    }
}

/// Where a thread says once that its server is there, or why not.
pub type Ready = mpsc::Sender<Result<SocketAddr, String>>;

/// Tells whether there is a socket, and its address; returns it if there is.
pub fn announce<T>(ready: Ready, opened: std::io::Result<(T, SocketAddr)>) -> Option<T> {
    let (socket, address) = match opened {
        Ok((socket, address)) => (Some(socket), Ok(address)),
        Err(error) => (None, Err(error.to_string())),
    };
    ready.send(address).ok().and(socket)
}

/// Serves on a thread with a runtime of its own; returns when it has said that it is ready.
pub fn on_thread<F: Future>(
    serve: impl FnOnce(Ready) -> F + Send + 'static,
) -> Result<SocketAddr, String> {
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || match build_runtime() {
        Ok(runtime) => drop(runtime.block_on(serve(ready))),
        Err(error) => drop(ready.send(Err(error))),
    });
    is_ready.recv().map_err(|_| String::from("a thread ended"))?
}

fn start_threads(service: Service) -> Result<SocketAddr, String> {
    let address = on_thread(move |ready| accept_all(0, service, ready))?;
    for _ in 1..THREADS {
        on_thread(move |ready| accept_all(address.port(), service, ready))?;
    }
    Ok(address)
}

fn start(_connections: usize, bytes: usize) -> Result<SocketAddr, String> {
    start_threads(Service { buffer_size: echo::buffer_size(bytes), is_nodelay: true })
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

pub fn connect_churn() -> Result<Sample, String> {
    round::churn(|| start_threads(Service { buffer_size: round::BYTES, is_nodelay: false }))
}
