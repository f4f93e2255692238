// SPDX-License-Identifier: MIT
//! An echo server under the load generator of weft's benchmarks (benchmarks/load/echo_load.c), and
//! an idle runtime.

use std::arch::asm;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use weft_bench_harness::echo::{self, buffer_size, cpu_us, load, lower, threads};
use weft_bench_harness::{is_quick, Report, Sample};

const HOG_CONNECTIONS: usize = 64;
const HOG_RATE: u32 = 50;
const HOG_BURST: Duration = Duration::from_millis(500);
const HOG_SETTLE: Duration = Duration::from_millis(100);

fn compute(steps: u64) -> u64 {
    let mut x = steps;
    for _ in 0..steps {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // Step by step, in a register: LLVM would make one of eight.
        unsafe { asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags)) };
    }
    x
}

/// Answers what comes into the buffer, to the end of the connection.
pub async fn serve(mut connection: TcpStream, message: &mut [u8], work: u64) {
    while let Ok(n) = connection.read(message).await {
        if n == 0 {
            break;
        }
        compute(work);
        if connection.write_all(&message[..n]).await.is_err() {
            break;
        }
    }
}

struct Server {
    address: SocketAddr,
    /// All connections have been accepted.
    is_serving: Arc<AtomicBool>,
    acceptor: JoinHandle<std::io::Result<()>>,
}

async fn start_server(connections: usize, bytes: usize, work: u64) -> std::io::Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let is_serving = Arc::new(AtomicBool::new(false));
    let accepted_all = is_serving.clone();
    let acceptor = tokio::spawn(async move {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (connection, _) = listener.accept().await?;
            connection.set_nodelay(true)?;
            tasks.push(tokio::spawn(async move {
                serve(connection, &mut vec![0; buffer_size(bytes)], work).await
            }));
        }
        accepted_all.store(true, Relaxed);
        for task in tasks {
            let _ = task.await;
        }
        Ok(())
    });
    Ok(Server { address, is_serving, acceptor })
}

#[derive(Clone, Copy, PartialEq)]
pub enum Hog {
    Compute,
    Usleep,
    Read,
}

/// One burst, which tokio's rules forbid outside spawn_blocking(): that is the question.
fn burst(kind: Hog, mut pipe: &UnixStream) -> bool {
    match kind {
        Hog::Compute => {
            let end = Instant::now() + HOG_BURST;
            while Instant::now() < end {
                compute(10_000);
            }
            true
        }
        Hog::Usleep => {
            std::thread::sleep(HOG_BURST);
            true
        }
        Hog::Read => pipe.read_exact(&mut [0]).is_ok(),
    }
}

/// Lets each read wait as long as the other kinds of burst last.
fn feed(mut pipe: UnixStream, over: Arc<AtomicBool>) {
    loop {
        std::thread::sleep(HOG_BURST);
        let is_last = over.load(Relaxed);
        if pipe.write_all(&[0]).is_err() || is_last {
            return;
        }
    }
}

async fn be_a_hog(
    kind: Hog,
    pipe: UnixStream,
    is_serving: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
) -> u64 {
    let mut bursts = 0;
    while !over.load(Relaxed) && !is_serving.load(Relaxed) {
        tokio::time::sleep(HOG_SETTLE).await;
    }
    while !over.load(Relaxed) {
        if !burst(kind, &pipe) {
            return 0;
        }
        bursts += 1;
        tokio::task::yield_now().await;
    }
    bursts
}

/// Microseconds that each millisecond's tick was late.
async fn tick(over: Arc<AtomicBool>) -> Vec<f64> {
    let mut late = Vec::new();
    let mut due = tokio::time::Instant::now();
    while !over.load(Relaxed) || due.elapsed() > Duration::from_millis(1) {
        due += Duration::from_millis(1);
        tokio::time::sleep_until(due).await;
        late.push(due.elapsed().as_secs_f64() * 1e6);
    }
    late.sort_by(f64::total_cmp);
    late
}

/// The smallest that at least this share of them do not exceed, as harness/bench.c has it.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

pub fn hog_echo(runtime: &Runtime, kind: Hog, count: usize) -> Result<Sample, String> {
    let window = Duration::from_millis(if is_quick() { 1200 } else { 3000 });
    let over = Arc::new(AtomicBool::new(false));
    let describe = |error: std::io::Error| error.to_string();
    let server = runtime.block_on(start_server(HOG_CONNECTIONS, echo::BYTES, 0)).map_err(describe)?;
    let mut hogs = Vec::new();
    let mut feeders = Vec::new();
    for _ in 0..count {
        let (ours, theirs) = UnixStream::pair().map_err(describe)?;
        if kind == Hog::Read {
            let over = over.clone();
            feeders.push(std::thread::spawn(move || feed(theirs, over)));
        }
        hogs.push(runtime.spawn(be_a_hog(kind, ours, server.is_serving.clone(), over.clone())));
    }
    let ticker = runtime.spawn(tick(over.clone()));
    let figures = load(server.address, HOG_CONNECTIONS, echo::BYTES, HOG_RATE, window);
    over.store(true, Relaxed);
    let late = runtime.block_on(ticker).map_err(|error| error.to_string())?;
    for hog in hogs {
        let bursts = runtime.block_on(hog).map_err(|error| error.to_string())?;
        if bursts == 0 {
            return Err("some hog never ran".into());
        }
    }
    for feeder in feeders {
        let _ = feeder.join();
    }
    let figures = figures?;
    let mut reports = figures.latencies;
    if kind != Hog::Compute || count == 0 {
        reports.push(lower("cpu_us_per_request", figures.cpu_us / figures.requests));
    }
    runtime.block_on(server.acceptor).map_err(|error| error.to_string())?.map_err(describe)?;
    if late.len() < 100 {
        return Err(format!("the timer fired {} times", late.len()));
    }
    reports.push(lower("timer_p99_us", percentile(&late, 0.99)));
    reports.push(lower("timer_p999_us", percentile(&late, 0.999)));
    reports.push(lower("timer_max_us", percentile(&late, 1.0)));
    Ok(Sample::Reports(reports))
}

/// Without the workers' shares, as for Go.
pub fn balance_echo(runtime: &Runtime) -> Result<Sample, String> {
    const CONNECTIONS: usize = 32;
    let window = Duration::from_millis(2200);
    let server = runtime
        .block_on(start_server(CONNECTIONS, echo::BYTES, 16_000))
        .map_err(|error| error.to_string())?;
    let figures = load(server.address, CONNECTIONS, echo::BYTES, 0, window)?;
    let value = figures.requests / window.as_secs_f64();
    Ok(Sample::Reports(vec![
        Report { metric: "requests_per_s", is_higher_better: true, value },
        lower("cpu_us_per_request", figures.cpu_us / figures.requests),
    ]))
}

fn start_echo(runtime: &Runtime, connections: usize, bytes: usize) -> Result<SocketAddr, String> {
    let server = runtime.block_on(start_server(connections, bytes, 0));
    server.map(|server| server.address).map_err(|error| error.to_string())
}

pub fn echo_tcp(runtime: &Runtime, connections: usize, bytes: usize) -> Result<Sample, String> {
    echo::tcp(connections, bytes, |connections, bytes| start_echo(runtime, connections, bytes))
}

pub fn echo_open(runtime: &Runtime, rate: u32) -> Result<Sample, String> {
    echo::open(rate, |connections, bytes| start_echo(runtime, connections, bytes))
}

pub fn echo_open_part(runtime: &Runtime, percent: u32) -> Result<Sample, String> {
    echo::open_part(percent, |connections, bytes| start_echo(runtime, connections, bytes))
}

pub fn idle_parked(runtime: &Runtime, count: u64) -> Result<Sample, String> {
    static ASLEEP: AtomicU64 = AtomicU64::new(0);
    let window = Duration::from_secs(if is_quick() { 2 } else { 5 });
    let measure = async move {
        for _ in 0..count {
            tokio::spawn(async {
                ASLEEP.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_secs(3600)).await;
                ASLEEP.fetch_sub(1, Relaxed);
            });
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Reading the switches takes longer, so it stays outside.
        let switches = voluntary_switches();
        let cpu = cpu_us();
        tokio::time::sleep(window).await;
        let cpu = cpu_us() - cpu;
        (cpu, voluntary_switches() - switches)
    };
    let (cpu, switches) = runtime
        .block_on(async { tokio::spawn(measure).await })
        .map_err(|error| error.to_string())?;
    if ASLEEP.load(Relaxed) != count {
        return Err("some tasks were not asleep".into());
    }
    Ok(Sample::Reports(vec![
        lower("cpu_us_per_s", cpu / window.as_secs_f64()),
        lower("switches_per_s", switches / window.as_secs_f64()),
    ]))
}

fn voluntary_switches() -> f64 {
    let of_thread = |path: std::path::PathBuf| -> Option<f64> {
        let text = std::fs::read_to_string(path.join("status")).ok()?;
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    threads().into_iter().filter_map(of_thread).sum()
}
