// SPDX-License-Identifier: MIT
//! may beside weft: coroutines with stacks of their own on work-stealing threads, in Rust.
//! Questions and methods are those of weft's benchmarks of the same names; the comments say what
//! differs.  There is no spawn/skynet: the million coroutines have more stacks at a time than the
//! kernel allows mappings, and may panics; no echo/tcp/connections=50000 for the same reason.

mod echo;
mod round;
mod shared;
mod sync;

use may::coroutine;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use weft_bench_harness::echo::BYTES;
use weft_bench_harness::{bench, resident_bytes, Benchmark, Metric, Sample};

/// may has one scheduler for the whole process.
pub struct Scheduler;

const BENCHMARKS: &[Benchmark<Scheduler>] = &[
    bench("switch/yield", Metric::NsPerOp, 1, 2, |_, b| switch_yield(b)),
    bench("spawn/join_empty/workers=1", Metric::NsPerOp, 1, 1, |_, b| spawn_join_empty(b)),
    bench("spawn/join_empty/workers=2", Metric::NsPerOp, 2, 1, |_, b| spawn_join_empty(b)),
    bench("scope/spawn_join_100", Metric::NsPerOp, 1, 100, |_, b| scope_spawn_join(b)),
    bench("memory/parked/n=10000", Metric::BytesPerFiber, 1, 1, |_, _| memory_parked(10_000)),
    bench("timer/sleep_storm/n=10000", Metric::Seconds, 1, 1, |_, _| sleep_storm(10_000)),
    bench("channel/pingpong", Metric::NsPerOp, 1, 1, |_, b| sync::channel_pingpong(b)),
    bench("channel/throughput/senders=1/receivers=1/workers=1", Metric::NsPerOp, 1, 1, |_, b| {
        shared::one_to_one(b)
    }),
    bench("channel/throughput/senders=4/receivers=1/workers=1", Metric::NsPerOp, 1, 1, |_, b| {
        shared::four_to_one(b)
    }),
    bench("channel/throughput/senders=1/receivers=1/workers=2", Metric::NsPerOp, 2, 1, |_, b| {
        shared::one_to_one(b)
    }),
    bench("channel/throughput/senders=4/receivers=1/workers=2", Metric::NsPerOp, 2, 1, |_, b| {
        shared::four_to_one(b)
    }),
    bench("rwlock/read_mostly/fibers=1", Metric::NsPerOp, 1, 1, |_, b| shared::rwlock_alone(b)),
    bench("rwlock/read_mostly/fibers=1000", Metric::Report, 2, 1, |_, _| {
        shared::rwlock_read_mostly()
    }),
    bench("barrier/cross/parties=2", Metric::NsPerOp, 1, 2, |_, b| shared::barrier_cross(b, 2)),
    bench("barrier/cross/parties=10", Metric::NsPerOp, 2, 10, |_, b| {
        shared::barrier_cross(b, 10)
    }),
    bench("barrier/cross/parties=1000", Metric::NsPerOp, 2, 1000, |_, b| {
        shared::barrier_cross(b, 1000)
    }),
    bench("mutex/uncontended", Metric::NsPerOp, 1, 1, |_, b| sync::mutex_uncontended(b)),
    bench("semaphore/uncontended", Metric::NsPerOp, 1, 1, |_, b| sync::semaphore_uncontended(b)),
    bench("condvar/pingpong", Metric::NsPerOp, 1, 1, |_, b| sync::condvar_pingpong(b)),
    bench("echo/tcp/connections=1", Metric::Report, 2, 1, |_, _| echo::tcp(1, BYTES)),
    bench("echo/tcp/connections=16", Metric::Report, 2, 1, |_, _| echo::tcp(16, BYTES)),
    bench("echo/tcp/connections=64", Metric::Report, 2, 1, |_, _| echo::tcp(64, BYTES)),
    bench("echo/tcp/connections=1000", Metric::Report, 2, 1, |_, _| echo::tcp(1000, BYTES)),
    bench("echo/tcp/connections=10000", Metric::Report, 2, 1, |_, _| echo::tcp(10_000, BYTES)),
    bench("echo/tcp/connections=64/size=65536", Metric::Report, 2, 1, |_, _| echo::tcp(64, 65_536)),
    bench("echo/open/load=10", Metric::Report, 2, 1, |_, _| echo::open_part(10)),
    bench("echo/open/load=25", Metric::Report, 2, 1, |_, _| echo::open_part(25)),
    bench("echo/open/load=50", Metric::Report, 2, 1, |_, _| echo::open_part(50)),
    bench("echo/open/load=75", Metric::Report, 2, 1, |_, _| echo::open_part(75)),
    bench("echo/open/load=90", Metric::Report, 2, 1, |_, _| echo::open_part(90)),
    bench("echo/open/load=95", Metric::Report, 2, 1, |_, _| echo::open_part(95)),
    bench("echo/udp", Metric::Report, 2, 1, |_, _| round::echo_udp()),
    bench("connect/churn", Metric::Report, 2, 1, |_, _| round::connect_churn()),
];

/// The scheduler starts with the first coroutine and stays as it is.
fn choose_workers(workers: usize) -> Result<Scheduler, String> {
    static CHOSEN: OnceLock<usize> = OnceLock::new();
    if *CHOSEN.get_or_init(|| workers) != workers {
        return Err("one process of may has one number of workers: choose rows by --only".into());
    }
    may::config().set_workers(workers);
    Ok(Scheduler)
}

pub type Handle<T> = may::coroutine::JoinHandle<T>;

/// What may asks of its callers is kept here: no coroutine uses thread-local storage, and none goes
/// deeper than its 32 KiB of stack.
pub fn go<F, T>(work: F) -> Handle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: as said above.
    unsafe { coroutine::spawn(work) }
}

/// Runs the work in a coroutine, and returns its result.
pub fn in_coroutine<F, T>(work: F) -> Result<T, String>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    go(work).join().map_err(|_| "the coroutine panicked".into())
}

/// The proof that the two switch is that neither gets more than two turns ahead.
fn switch_yield(batch: u64) -> Result<Sample, String> {
    #[derive(Default)]
    struct Turns {
        taken: [AtomicU64; 2],
        too_far_ahead: AtomicU64,
    }
    fn play(turns: &Turns, id: usize, batch: u64) {
        for turn in 1..=batch {
            // Loads and stores, not read-modify-writes: one thread runs both.
            if turn > turns.taken[1 - id].load(Relaxed) + 2 {
                turns.too_far_ahead.store(turns.too_far_ahead.load(Relaxed) + 1, Relaxed);
            }
            turns.taken[id].store(turn, Relaxed);
            coroutine::yield_now();
        }
    }
    let turns = Arc::new(Turns::default());
    let (first, second) = (turns.clone(), turns.clone());
    let (joined, elapsed) = in_coroutine(move || {
        let start = Instant::now();
        let first = go(move || play(&first, 0, batch));
        let second = go(move || play(&second, 1, batch));
        let joined = first.join().is_ok() & second.join().is_ok();
        (joined, start.elapsed())
    })?;
    let too_far_ahead = turns.too_far_ahead.load(Relaxed);
    if !joined || too_far_ahead > 2 + batch / 100 {
        return Err(format!("{too_far_ahead} yields did not switch"));
    }
    Ok(Sample::Elapsed(elapsed))
}

fn spawn_join_empty(batch: u64) -> Result<Sample, String> {
    let (ran, elapsed) = in_coroutine(move || {
        let start = Instant::now();
        // The coroutine's result is the proof that it ran.
        let ran: u64 = (0..batch).map(|_| go(|| black_box(1u64)).join().unwrap_or(0)).sum();
        (ran, start.elapsed())
    })?;
    if ran != batch {
        return Err("some coroutines did not run".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

fn scope_spawn_join(batch: u64) -> Result<Sample, String> {
    const MEMBERS: u64 = 100;
    let (ran, elapsed) = in_coroutine(move || {
        let ran = AtomicU64::new(0);
        let start = Instant::now();
        for _ in 0..batch {
            coroutine::scope(|scope| {
                for _ in 0..MEMBERS {
                    // SAFETY: as for go().
                    unsafe { scope.spawn(|| ran.fetch_add(1, Relaxed)) };
                }
            });
        }
        (ran.load(Relaxed), start.elapsed())
    })?;
    if ran != batch * MEMBERS {
        return Err("some coroutines did not run".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

/// No more than 10,000: each stack has a guard page of its own, and the kernel allows a process some
/// 65,000 mappings.
fn memory_parked(count: u64) -> Result<Sample, String> {
    let arrived = Arc::new(AtomicU64::new(0));
    let before = resident_bytes()?;
    let asleep: Vec<Handle<()>> = (0..count)
        .map(|_| {
            let arrived = arrived.clone();
            go(move || {
                arrived.fetch_add(1, Relaxed);
                coroutine::sleep(Duration::from_secs(3600));
            })
        })
        .collect();
    while arrived.load(Relaxed) < count {
        std::thread::sleep(Duration::from_millis(1));
    }
    let after = resident_bytes()?;
    let is_asleep = asleep.iter().all(|handle| !handle.is_done());
    // To cancel them takes unwinding; they end with the process.
    std::mem::forget(asleep);
    if !is_asleep {
        return Err("some coroutines were not asleep".into());
    }
    Ok(Sample::Value((after - before) / count as f64))
}

fn sleep_storm(count: u64) -> Result<Sample, String> {
    const NAPS: u64 = 20;
    fn nap() -> u64 {
        let mut early = 0;
        for i in 0..NAPS {
            let wanted = Duration::from_millis(1 + i % 5);
            let began = Instant::now();
            coroutine::sleep(wanted);
            early += u64::from(began.elapsed() < wanted);
        }
        early
    }
    let (early, elapsed) = in_coroutine(move || {
        let start = Instant::now();
        let naps: Vec<_> = (0..count).map(|_| go(nap)).collect();
        let early: u64 = naps.into_iter().map(|nap| nap.join().unwrap_or(1)).sum();
        (early, start.elapsed())
    })?;
    if early != 0 {
        return Err("some naps ended early or failed".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

fn main() {
    std::process::exit(weft_bench_harness::run("may", choose_workers, BENCHMARKS));
}
