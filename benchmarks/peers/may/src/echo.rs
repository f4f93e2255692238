// SPDX-License-Identifier: MIT
//! An echo server: a coroutine for each connection.

use crate::go;
use may::net::{TcpListener, TcpStream};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use weft_bench_harness::{echo, Sample};

/// Answers what comes into the buffer, to the end of the connection.
pub fn serve(mut connection: TcpStream, message: &mut [u8]) {
    while let Ok(n) = connection.read(message) {
        if n == 0 || connection.write_all(&message[..n]).is_err() {
            break;
        }
    }
}

fn start(connections: usize, bytes: usize) -> Result<SocketAddr, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    go(move || {
        for _ in 0..connections {
            let (connection, _) = listener.accept()?;
            connection.set_nodelay(true)?;
            go(move || serve(connection, &mut vec![0; echo::buffer_size(bytes)]));
        }
        Ok::<(), std::io::Error>(())
    });
    Ok(address)
}

pub fn tcp(connections: usize, bytes: usize) -> Result<Sample, String> {
    echo::tcp(connections, bytes, start)
}

pub fn open_part(percent: u32) -> Result<Sample, String> {
    echo::open_part(percent, start)
}
