// SPDX-License-Identifier: MIT
//! tokio tasks beside weft.  Questions and methods are those of weft's benchmarks of the same
//! names; the comments say what differs.  A task is a state machine without a stack of its own.

mod barrier;
mod channel;
mod echo;
mod lock;
mod ring;
mod round;
mod rwlock;
mod timer;

use channel::{channel_pingpong, channel_throughput};
use echo::{balance_echo, echo_open, echo_open_part, echo_tcp, hog_echo, idle_parked, Hog};

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use weft_bench_harness::echo::BYTES;
use weft_bench_harness::{bench, resident_bytes, Benchmark, Metric, Sample};

const BENCHMARKS: &[Benchmark<Runtime>] = &[
    bench("switch/yield", Metric::NsPerOp, 1, 2, switch_yield),
    bench("spawn/join_empty/workers=1", Metric::NsPerOp, 1, 1, spawn_join_empty),
    bench("spawn/join_empty/workers=2", Metric::NsPerOp, 2, 1, spawn_join_empty),
    bench("spawn/skynet/workers=1", Metric::Seconds, 1, 1, skynet),
    bench("spawn/skynet/workers=2", Metric::Seconds, 2, 1, skynet),
    bench("spawn/skynet/workers=4", Metric::Seconds, 4, 1, skynet),
    bench("spawn/skynet/workers=8", Metric::Seconds, 8, 1, skynet),
    bench("scope/spawn_join_100", Metric::NsPerOp, 1, 100, scope_spawn_join),
    bench("memory/parked/n=10000", Metric::BytesPerFiber, 1, 1, |r, _| memory_parked(r, 10_000)),
    bench("memory/parked/n=100000", Metric::BytesPerFiber, 1, 1, |r, _| memory_parked(r, 100_000)),
    bench("memory/parked/n=1000000", Metric::BytesPerFiber, 1, 1, |r, _| {
        memory_parked(r, 1_000_000)
    }),
    bench("timer/sleep_storm/n=10000", Metric::Seconds, 1, 1, |r, _| sleep_storm(r, 10_000)),
    bench("timer/arm_cancel", Metric::NsPerOp, 1, 1, timer::arm_cancel),
    bench("timer/extend", Metric::NsPerOp, 1, 1, timer::extend),
    bench("timer/timeout", Metric::NsPerOp, 1, 1, channel::timeout),
    bench("hog/echo/hogs=0", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Compute, 0)),
    bench("hog/echo/hogs=1", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Compute, 1)),
    bench("hog/echo/hogs=2", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Compute, 2)),
    bench("hog/echo/kind=usleep/hogs=1", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Usleep, 1)),
    bench("hog/echo/kind=usleep/hogs=2", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Usleep, 2)),
    bench("hog/echo/kind=read/hogs=1", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Read, 1)),
    bench("hog/echo/kind=read/hogs=2", Metric::Report, 2, 1, |r, _| hog_echo(r, Hog::Read, 2)),
    bench("balance/echo", Metric::Report, 2, 1, |r, _| balance_echo(r)),
    bench("echo/tcp/connections=1", Metric::Report, 2, 1, |r, _| echo_tcp(r, 1, BYTES)),
    bench("echo/tcp/connections=16", Metric::Report, 2, 1, |r, _| echo_tcp(r, 16, BYTES)),
    bench("echo/tcp/connections=64", Metric::Report, 2, 1, |r, _| echo_tcp(r, 64, BYTES)),
    bench("echo/tcp/connections=1000", Metric::Report, 2, 1, |r, _| echo_tcp(r, 1000, BYTES)),
    bench("echo/tcp/connections=10000", Metric::Report, 2, 1, |r, _| echo_tcp(r, 10_000, BYTES)),
    bench("echo/tcp/connections=50000", Metric::Report, 2, 1, |r, _| echo_tcp(r, 50_000, BYTES)),
    bench("echo/tcp/connections=64/size=65536", Metric::Report, 2, 1, |r, _| {
        echo_tcp(r, 64, 65_536)
    }),
    bench("echo/open/load=10", Metric::Report, 2, 1, |r, _| echo_open_part(r, 10)),
    bench("echo/open/load=25", Metric::Report, 2, 1, |r, _| echo_open_part(r, 25)),
    bench("echo/open/load=50", Metric::Report, 2, 1, |r, _| echo_open_part(r, 50)),
    bench("echo/open/load=75", Metric::Report, 2, 1, |r, _| echo_open_part(r, 75)),
    bench("echo/open/load=90", Metric::Report, 2, 1, |r, _| echo_open_part(r, 90)),
    bench("echo/open/load=95", Metric::Report, 2, 1, |r, _| echo_open_part(r, 95)),
    bench("echo/open/rate=6400", Metric::Report, 2, 1, |r, _| echo_open(r, 6400)),
    bench("echo/open/rate=19200", Metric::Report, 2, 1, |r, _| echo_open(r, 19200)),
    bench("echo/open/rate=38400", Metric::Report, 2, 1, |r, _| echo_open(r, 38400)),
    bench("echo/open/rate=57600", Metric::Report, 2, 1, |r, _| echo_open(r, 57600)),
    bench("echo/open/rate=76800", Metric::Report, 2, 1, |r, _| echo_open(r, 76800)),
    bench("echo/udp", Metric::Report, 2, 1, |r, _| round::echo_udp(r)),
    bench("connect/churn", Metric::Report, 2, 1, |r, _| round::connect_churn(r)),
    bench("ring/pass/fibers=503/workers=1", Metric::NsPerOp, 1, 1, ring::pass),
    bench("ring/pass/fibers=503/workers=2", Metric::NsPerOp, 2, 1, ring::pass),
    bench("chameneos/meet/creatures=10/workers=1", Metric::NsPerOp, 1, 1, ring::meet),
    bench("chameneos/meet/creatures=10/workers=2", Metric::NsPerOp, 2, 1, ring::meet),
    bench("channel/pingpong", Metric::NsPerOp, 1, 1, channel_pingpong),
    bench("channel/throughput/senders=1/receivers=1/workers=1", Metric::NsPerOp, 1, 1, |r, b| {
        channel_throughput(r, b, 1)
    }),
    bench("channel/throughput/senders=4/receivers=1/workers=1", Metric::NsPerOp, 1, 1, |r, b| {
        channel_throughput(r, b, 4)
    }),
    bench("channel/throughput/senders=1/receivers=1/workers=2", Metric::NsPerOp, 2, 1, |r, b| {
        channel_throughput(r, b, 1)
    }),
    bench("channel/throughput/senders=4/receivers=1/workers=2", Metric::NsPerOp, 2, 1, |r, b| {
        channel_throughput(r, b, 4)
    }),
    bench("select/4", Metric::NsPerOp, 1, 1, channel::select_four),
    bench("idle/parked=10000", Metric::Report, 2, 1, |r, _| idle_parked(r, 10_000)),
    bench("mutex/uncontended", Metric::NsPerOp, 1, 1, lock::uncontended),
    bench("mutex/contended", Metric::Report, 2, 1, |r, _| lock::contended(r)),
    bench("mutex/contended/workers=4", Metric::Report, 4, 1, |r, _| lock::contended(r)),
    bench("mutex/contended/workers=8", Metric::Report, 8, 1, |r, _| lock::contended(r)),
    bench("rwlock/read_mostly/fibers=1", Metric::NsPerOp, 1, 1, rwlock::alone),
    bench("rwlock/read_mostly/fibers=1000", Metric::Report, 2, 1, |r, _| rwlock::read_mostly(r)),
    bench("barrier/cross/parties=2", Metric::NsPerOp, 1, 2, |r, b| barrier::cross(r, b, 2)),
    bench("barrier/cross/parties=10", Metric::NsPerOp, 2, 10, |r, b| barrier::cross(r, b, 10)),
    bench("barrier/cross/parties=1000", Metric::NsPerOp, 2, 1000, |r, b| {
        barrier::cross(r, b, 1000)
    }),
    bench("semaphore/uncontended", Metric::NsPerOp, 1, 1, lock::semaphore_uncontended),
    bench("broadcast/send_receive/receivers=4", Metric::NsPerOp, 1, 1, lock::broadcast_send_receive),
];

/// With one worker the current-thread scheduler, which is tokio's fastest; else the work-stealing
/// one.
fn build_runtime(workers: usize) -> Result<Runtime, String> {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().map_err(|error| error.to_string())
}

/// Runs the future on a worker: block_on() alone would run it on the calling thread, beside the
/// workers, and each join would wake a thread.
pub fn on_worker<F>(runtime: &Runtime, future: F) -> Result<F::Output, String>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.block_on(async { tokio::spawn(future).await }).map_err(|error| error.to_string())
}

/// tokio wakes yielders in the reverse of their order, so each task runs twice in a row; the proof
/// that they switch is that neither gets more than two turns ahead.
fn switch_yield(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    #[derive(Default)]
    struct Turns {
        taken: [AtomicU64; 2],
        too_far_ahead: AtomicU64,
    }
    async fn play(turns: Arc<Turns>, id: usize, batch: u64) {
        for turn in 1..=batch {
            // Loads and stores, not read-modify-writes: one thread runs both tasks.
            if turn > turns.taken[1 - id].load(Relaxed) + 2 {
                turns.too_far_ahead.store(turns.too_far_ahead.load(Relaxed) + 1, Relaxed);
            }
            turns.taken[id].store(turn, Relaxed);
            tokio::task::yield_now().await;
        }
    }
    let turns = Arc::new(Turns::default());
    let (first, second) = (turns.clone(), turns.clone());
    let (joined, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let first = tokio::spawn(play(first, 0, batch));
        let second = tokio::spawn(play(second, 1, batch));
        let joined = first.await.is_ok() & second.await.is_ok();
        (joined, start.elapsed())
    })?;
    let too_far_ahead = turns.too_far_ahead.load(Relaxed);
    if !joined || too_far_ahead > 2 + batch / 100 {
        return Err(format!("{too_far_ahead} yields did not switch"));
    }
    Ok(Sample::Elapsed(elapsed))
}

fn spawn_join_empty(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (ran, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let mut ran = 0;
        for _ in 0..batch {
            // The task's result is the proof that it ran.
            ran += tokio::spawn(async { 1u64 }).await.unwrap_or(0);
        }
        (ran, start.elapsed())
    })?;
    if ran != batch {
        return Err("some tasks did not run".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

/// A JoinSet is tokio's group of tasks; it frees each as it is joined.
fn scope_spawn_join(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    const MEMBERS: u64 = 100;
    let (ran, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let mut ran = 0;
        for _ in 0..batch {
            let mut group = tokio::task::JoinSet::new();
            for _ in 0..MEMBERS {
                group.spawn(async { 1u64 });
            }
            while let Some(one) = group.join_next().await {
                ran += one.unwrap_or(0);
            }
        }
        (ran, start.elapsed())
    })?;
    if ran != batch * MEMBERS {
        return Err("some tasks did not run".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

const SKYNET_LEAVES: u64 = 1_000_000;
const SKYNET_CHILDREN: u64 = 10;

/// Boxed, since an asynchronous function cannot contain itself.
fn skynet_node(first: u64, size: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if size == 1 {
            return first;
        }
        let size = size / SKYNET_CHILDREN;
        let children: [_; SKYNET_CHILDREN as usize] =
            std::array::from_fn(|i| tokio::spawn(skynet_node(first + i as u64 * size, size)));
        let mut sum = 0;
        for child in children {
            sum += child.await.unwrap_or(0);
        }
        sum
    })
}

fn skynet(runtime: &Runtime, _: u64) -> Result<Sample, String> {
    let (sum, elapsed) = on_worker(runtime, async {
        let start = Instant::now();
        (skynet_node(0, SKYNET_LEAVES).await, start.elapsed())
    })?;
    if sum != SKYNET_LEAVES * (SKYNET_LEAVES - 1) / 2 {
        return Err(format!("the sum is wrong: {sum}"));
    }
    Ok(Sample::Elapsed(elapsed))
}

fn memory_parked(runtime: &Runtime, count: u64) -> Result<Sample, String> {
    let arrived = Arc::new(AtomicU64::new(0));
    let mut handles = vec![None; count as usize];
    let (before, after, asleep) = runtime.block_on(async {
        let before = resident_bytes();
        for handle in &mut handles {
            let arrived = arrived.clone();
            let task = tokio::spawn(async move {
                arrived.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_secs(3600)).await;
            });
            *handle = Some(task.abort_handle());
        }
        while arrived.load(Relaxed) < count {
            tokio::task::yield_now().await;
        }
        let after = resident_bytes();
        let asleep = handles.iter().flatten().filter(|handle| !handle.is_finished()).count();
        handles.iter().flatten().for_each(|handle| handle.abort());
        (before, after, asleep as u64)
    });
    if asleep != count {
        return Err("some tasks were not asleep".into());
    }
    Ok(Sample::Value((after? - before?) / count as f64))
}

fn sleep_storm(runtime: &Runtime, count: u64) -> Result<Sample, String> {
    const NAPS: u64 = 20;
    async fn nap() -> u64 {
        let mut early = 0;
        for i in 0..NAPS {
            let wanted = Duration::from_millis(1 + i % 5);
            let began = Instant::now();
            tokio::time::sleep(wanted).await;
            early += u64::from(began.elapsed() < wanted);
        }
        early
    }
    let (early, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(nap())).collect();
        let mut early = 0;
        for task in tasks {
            early += task.await.unwrap_or(1);
        }
        (early, start.elapsed())
    })?;
    if early != 0 {
        return Err("some naps ended early or failed".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

fn main() {
    std::process::exit(weft_bench_harness::run("tokio", build_runtime, BENCHMARKS));
}
