// SPDX-License-Identifier: MIT
//! What echo servers need beside themselves: the load generator of weft's benchmarks
//! (benchmarks/load/echo_load.c), and their own CPU time.

use crate::{Report, Sample};
use std::net::SocketAddr;
use std::time::Duration;

const OPEN_CONNECTIONS: usize = 64;
/// Of a message, where a row says nothing else.
pub const BYTES: usize = 64;
/// Of the load generator: a rate above is a part of what the server can do, in per cent.
const PART_OF_CAPACITY: u32 = 1_000_000;

pub struct Figures {
    pub requests: f64,
    /// That the server has used for them.
    pub cpu_us: f64,
    pub latencies: Vec<Report>,
}

/// Waits for the load generator on the calling thread.
pub fn load(address: SocketAddr, connections: usize, bytes: usize, rate: u32, window: Duration)
    -> Result<Figures, String> {
    let window_ms = window.as_millis() as usize;
    let numbers = [address.port() as usize, connections, rate as usize, window_ms, bytes];
    let printed = crate::load::run("bench-echo-load", &numbers.map(|number| number.to_string()))?;
    let mut latencies = Vec::new();
    for metric in ["p50_us", "p99_us", "p999_us", "max_us"] {
        latencies.push(lower(metric, printed.figure(metric)?));
    }
    let (requests, cpu_us) = (printed.figure("requests")?, printed.figure("cpu_us")?);
    Ok(Figures { requests, cpu_us, latencies })
}

pub fn lower(metric: &'static str, value: f64) -> Report {
    Report { metric, is_higher_better: false, value }
}

/// Their folders in /proc.
pub fn threads() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Nanoseconds on the CPU are the first number of each thread's schedstat.
pub fn cpu_us() -> f64 {
    let of_thread = |path: std::path::PathBuf| -> Option<f64> {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    threads().into_iter().filter_map(of_thread).sum::<f64>() / 1e3
}

/// A server's buffer: with room for more than a message, so that a read also says that there is no
/// more.
pub fn buffer_size(bytes: usize) -> usize {
    4 * bytes
}

/// The figures of a server that has been started for so many connections and messages of so many
/// bytes, and its own CPU time for an echo.
fn serve_load<S>(connections: usize, bytes: usize, rate: u32, start: S)
    -> Result<(Figures, Report, Duration), String>
where
    S: FnOnce(usize, usize) -> Result<SocketAddr, String>,
{
    let window = crate::load::window();
    let address = start(connections, bytes)?;
    let figures = load(address, connections, bytes, rate, window)?;
    let cpu = lower("cpu_us_per_request", figures.cpu_us / figures.requests);
    Ok((figures, cpu, window))
}

/// echo/tcp: as many requests as there are answers.
pub fn tcp<S>(connections: usize, bytes: usize, start: S) -> Result<Sample, String>
where
    S: FnOnce(usize, usize) -> Result<SocketAddr, String>,
{
    let (figures, cpu, window) = serve_load(connections, bytes, 0, start)?;
    let value = figures.requests / window.as_secs_f64();
    Ok(Sample::Reports(vec![
        Report { metric: "requests_per_s", is_higher_better: true, value },
        cpu,
    ]))
}

fn serve_at<S>(rate: u32, start: S) -> Result<Sample, String>
where
    S: FnOnce(usize, usize) -> Result<SocketAddr, String>,
{
    let (mut figures, cpu, _) = serve_load(OPEN_CONNECTIONS, BYTES, rate, start)?;
    figures.latencies.push(cpu);
    Ok(Sample::Reports(figures.latencies))
}

/// echo/open: so many requests a second, whatever the answers.
pub fn open<S>(rate: u32, start: S) -> Result<Sample, String>
where
    S: FnOnce(usize, usize) -> Result<SocketAddr, String>,
{
    serve_at(rate / OPEN_CONNECTIONS as u32, start)
}

/// The same, as so many per cent of what the server can do.
pub fn open_part<S>(percent: u32, start: S) -> Result<Sample, String>
where
    S: FnOnce(usize, usize) -> Result<SocketAddr, String>,
{
    serve_at(PART_OF_CAPACITY + percent, start)
}
