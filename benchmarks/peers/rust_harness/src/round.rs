// SPDX-License-Identifier: MIT
//! What servers of short exchanges need beside themselves, as in harness/round_work.h.

use crate::echo::{cpu_us, lower};
use crate::{load, Report, Sample};
use std::net::SocketAddr;

/// Of a message, and of a server's buffer.
pub const BYTES: usize = 64;
/// That ask at a time.
const CLIENTS: usize = 64;

/// Loads the server that has been started, to its end; it ends with the process.
fn serve_load(kind: &str, start: impl FnOnce() -> Result<SocketAddr, String>)
    -> Result<Sample, String> {
    let window = load::window();
    let address = start()?;
    let numbers = [address.port() as usize, CLIENTS, window.as_millis() as usize];
    let mut arguments = vec![kind.to_string()];
    arguments.extend(numbers.map(|number| number.to_string()));
    let before = cpu_us();
    let printed = load::run("bench-round-load", &arguments)?;
    let used = cpu_us() - before;
    let value = printed.figure("requests")? / window.as_secs_f64();
    Ok(Sample::Reports(vec![
        Report { metric: "requests_per_s", is_higher_better: true, value },
        lower("cpu_us_per_request", used / printed.figure("total")?),
    ]))
}

/// echo/udp
pub fn udp(start: impl FnOnce() -> Result<SocketAddr, String>) -> Result<Sample, String> {
    serve_load("udp", start)
}

/// connect/churn
pub fn churn(start: impl FnOnce() -> Result<SocketAddr, String>) -> Result<Sample, String> {
    serve_load("churn", start)
}
