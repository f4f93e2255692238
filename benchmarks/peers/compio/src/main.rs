// SPDX-License-Identifier: MIT
//! compio beside weft: tasks without stacks, one runtime and one io_uring for each thread, in Rust.
//! Questions and methods are those of weft's benchmarks of the same names; the comments say what
//! differs.
//!
//! Why this one: of the runtimes on io_uring it is the one that is worked on.  Its last release is of
//! August 2026; those of monoio, tokio-uring and glommio are of 2024, 2024 and 2023.
//!
//! It has no channels and no locks of its own, so there are no rows of those; and tasks stay on
//! their thread, so what more than one worker shares is the connections of a server only.

mod echo;
mod file;
mod udp;

use compio::driver::{DriverType, ProactorBuilder};
use compio::runtime::Runtime;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use weft_bench_harness::echo::BYTES;
use weft_bench_harness::{bench, resident_bytes, Benchmark, Metric, Sample};

const BENCHMARKS: &[Benchmark<Runtime>] = &[
    bench("switch/yield", Metric::NsPerOp, 1, 2, switch_yield),
    bench("spawn/join_empty/workers=1", Metric::NsPerOp, 1, 1, spawn_join_empty),
    bench("spawn/skynet/workers=1", Metric::Seconds, 1, 1, skynet),
    bench("scope/spawn_join_100", Metric::NsPerOp, 1, 100, scope_spawn_join),
    bench("memory/parked/n=10000", Metric::BytesPerFiber, 1, 1, |r, _| memory_parked(r, 10_000)),
    bench("memory/parked/n=100000", Metric::BytesPerFiber, 1, 1, |r, _| memory_parked(r, 100_000)),
    bench("memory/parked/n=1000000", Metric::BytesPerFiber, 1, 1, |r, _| {
        memory_parked(r, 1_000_000)
    }),
    bench("timer/sleep_storm/n=10000", Metric::Seconds, 1, 1, |r, _| sleep_storm(r, 10_000)),
    bench("file/read/depth=64", Metric::NsPerOp, 1, file::READS, |r, b| file::read(r, b, false)),
    bench("file/read/depth=64/direct=1", Metric::NsPerOp, 1, file::READS, |r, b| {
        file::read(r, b, true)
    }),
    bench("echo/tcp/connections=1", Metric::Report, 2, 1, |_, _| echo::tcp(1, BYTES)),
    bench("echo/tcp/connections=16", Metric::Report, 2, 1, |_, _| echo::tcp(16, BYTES)),
    bench("echo/tcp/connections=64", Metric::Report, 2, 1, |_, _| echo::tcp(64, BYTES)),
    bench("echo/tcp/connections=1000", Metric::Report, 2, 1, |_, _| echo::tcp(1000, BYTES)),
    bench("echo/tcp/connections=10000", Metric::Report, 2, 1, |_, _| echo::tcp(10_000, BYTES)),
    bench("echo/tcp/connections=50000", Metric::Report, 2, 1, |_, _| echo::tcp(50_000, BYTES)),
    bench("echo/tcp/connections=64/size=65536", Metric::Report, 2, 1, |_, _| echo::tcp(64, 65_536)),
    bench("echo/open/load=10", Metric::Report, 2, 1, |_, _| echo::open_part(10)),
    bench("echo/open/load=25", Metric::Report, 2, 1, |_, _| echo::open_part(25)),
    bench("echo/open/load=50", Metric::Report, 2, 1, |_, _| echo::open_part(50)),
    bench("echo/open/load=75", Metric::Report, 2, 1, |_, _| echo::open_part(75)),
    bench("echo/open/load=90", Metric::Report, 2, 1, |_, _| echo::open_part(90)),
    bench("echo/open/load=95", Metric::Report, 2, 1, |_, _| echo::open_part(95)),
    bench("echo/open/rate=6400", Metric::Report, 2, 1, |_, _| echo::open(6400)),
    bench("echo/open/rate=19200", Metric::Report, 2, 1, |_, _| echo::open(19200)),
    bench("echo/open/rate=38400", Metric::Report, 2, 1, |_, _| echo::open(38400)),
    bench("echo/open/rate=57600", Metric::Report, 2, 1, |_, _| echo::open(57600)),
    bench("echo/open/rate=76800", Metric::Report, 2, 1, |_, _| echo::open(76800)),
    bench("echo/udp", Metric::Report, 2, 1, |_, _| udp::echo_udp()),
    bench("connect/churn", Metric::Report, 2, 1, |_, _| echo::connect_churn()),
];

/// Its documentation recommends these flags for the ring of a thread that alone uses it; where the
/// kernel is too old for them it takes a plain one.
pub fn build_runtime() -> Result<Runtime, String> {
    let mut ring = ProactorBuilder::new();
    ring.single_issuer(true).coop_taskrun(true).taskrun_flag(true).defer_taskrun(true);
    let runtime = Runtime::builder()
        .with_proactor(ring)
        .build()
        .or_else(|_| Runtime::new())
        .map_err(|error| format!("no runtime: {error}"))?;
    match runtime.driver_type() {
        DriverType::IoUring => Ok(runtime),
        other => Err(format!("it runs on {other:?}, not on io_uring")),
    }
}

/// compio has no yield of its own; a future that wakes itself goes to the end of its queue.
#[derive(Default)]
struct Yield {
    is_done: bool,
}

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.is_done, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The proof that the two switch is that neither gets more than two turns ahead.
fn switch_yield(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    #[derive(Default)]
    struct Turns {
        taken: [Cell<u64>; 2],
        too_far_ahead: Cell<u64>,
    }
    async fn play(turns: Rc<Turns>, id: usize, batch: u64) {
        for turn in 1..=batch {
            if turn > turns.taken[1 - id].get() + 2 {
                turns.too_far_ahead.set(turns.too_far_ahead.get() + 1);
            }
            turns.taken[id].set(turn);
            Yield::default().await;
        }
    }
    let turns = Rc::new(Turns::default());
    let (joined, elapsed) = runtime.block_on(async {
        let start = Instant::now();
        let first = compio::runtime::spawn(play(turns.clone(), 0, batch));
        let second = compio::runtime::spawn(play(turns.clone(), 1, batch));
        let joined = first.await.is_ok() & second.await.is_ok();
        (joined, start.elapsed())
    });
    let too_far_ahead = turns.too_far_ahead.get();
    if !joined || too_far_ahead > 2 + batch / 100 {
        return Err(format!("{too_far_ahead} yields did not switch"));
    }
    Ok(Sample::Elapsed(elapsed))
}

/// In a task, as for tokio: what block_on() itself polls is woken in another way.
fn on_worker<F>(runtime: &Runtime, future: F) -> Result<F::Output, String>
where
    F: Future + 'static,
{
    runtime.block_on(async { compio::runtime::spawn(future).await }).map_err(|_| "it failed".into())
}

fn spawn_join_empty(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (ran, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let mut ran = 0;
        for _ in 0..batch {
            // The task's result is the proof that it ran.
            ran += compio::runtime::spawn(async { 1u64 }).await.unwrap_or(0);
        }
        (ran, start.elapsed())
    })?;
    if ran != batch {
        return Err("some tasks did not run".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

/// There is no group of tasks but a vector of their handles.
fn scope_spawn_join(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    const MEMBERS: u64 = 100;
    let (ran, elapsed) = on_worker(runtime, async move {
        let mut group = Vec::with_capacity(MEMBERS as usize);
        let start = Instant::now();
        let mut ran = 0;
        for _ in 0..batch {
            group.extend((0..MEMBERS).map(|_| compio::runtime::spawn(async { 1u64 })));
            for one in group.drain(..) {
                ran += one.await.unwrap_or(0);
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
fn skynet_node(first: u64, size: u64) -> Pin<Box<dyn Future<Output = u64>>> {
    Box::pin(async move {
        if size == 1 {
            return first;
        }
        let size = size / SKYNET_CHILDREN;
        let children: [_; SKYNET_CHILDREN as usize] = std::array::from_fn(|i| {
            compio::runtime::spawn(skynet_node(first + i as u64 * size, size))
        });
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
    let arrived = Rc::new(Cell::new(0));
    let mut tasks = Vec::with_capacity(count as usize);
    let (before, after) = runtime.block_on(async {
        // Its pages would count otherwise.
        tasks.resize_with(count as usize, || None);
        let before = resident_bytes();
        for task in &mut tasks {
            let arrived = arrived.clone();
            *task = Some(compio::runtime::spawn(async move {
                arrived.set(arrived.get() + 1);
                compio::time::sleep(Duration::from_secs(3600)).await;
            }));
        }
        while arrived.get() < count {
            Yield::default().await;
        }
        (before, resident_bytes())
    });
    if tasks.iter().flatten().any(|task| task.is_finished()) {
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
            compio::time::sleep(wanted).await;
            early += u64::from(began.elapsed() < wanted);
        }
        early
    }
    let (early, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..count).map(|_| compio::runtime::spawn(nap())).collect();
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
    // Each thread of a server makes its own runtime; that of the other rows is the main thread's.
    let build = |_| build_runtime();
    std::process::exit(weft_bench_harness::run("compio", build, BENCHMARKS));
}
