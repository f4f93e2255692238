// SPDX-License-Identifier: MIT
//! rayon beside weft.  Questions and methods are those of weft's benchmarks of the same names; the
//! comments say what differs.  As in all other implementations each node of a tree is a task of its
//! own: ranges are cut down to single elements (`with_max_len(1)`).

mod divide;
mod loops;
mod matrix;
mod trees;

use rayon::ThreadPool;
use std::time::{Duration, Instant};
use weft_bench_harness::{bench, Benchmark, Metric, Report, Sample};

/// Some trees are 1,572 levels deep; what is not touched costs nothing.
const STACK_BYTES: usize = 64 << 20;

/// Four rows: with as many workers as a machine may have.
macro_rules! by_workers {
    ($($name:literal => $run:path),* $(,)?) => {
        &[
            bench("forkjoin/fib/n=32/workers=1", Metric::NsPerOp, 1, trees::FIB_32_TASKS, fib_32),
            bench("forkjoin/fib/n=32/workers=2", Metric::NsPerOp, 2, trees::FIB_32_TASKS, fib_32),
            bench("forkjoin/fib/n=32/workers=4", Metric::NsPerOp, 4, trees::FIB_32_TASKS, fib_32),
            bench("forkjoin/fib/n=32/workers=8", Metric::NsPerOp, 8, trees::FIB_32_TASKS, fib_32),
            bench("forkjoin/uts/t1l/workers=2", Metric::Report, 2, 1, |p, _| {
                reported(p, trees::t1l)
            }),
            $(
                bench(concat!($name, "/workers=1"), Metric::Seconds, 1, 1, |p, _| timed(p, $run)),
                bench(concat!($name, "/workers=2"), Metric::Seconds, 2, 1, |p, _| timed(p, $run)),
                bench(concat!($name, "/workers=4"), Metric::Seconds, 4, 1, |p, _| timed(p, $run)),
                bench(concat!($name, "/workers=8"), Metric::Seconds, 8, 1, |p, _| timed(p, $run)),
            )*
        ]
    };
}

const BENCHMARKS: &[Benchmark<ThreadPool>] = by_workers! {
    "forkjoin/uts/t1" => trees::t1,
    "forkjoin/uts/t3" => trees::t3,
    "forkjoin/queens/n=13" => trees::queens,
    "forkjoin/matmul/n=512" => matrix::matmul,
    "forkjoin/integrate" => divide::integrate_all,
    "forkjoin/cilksort/n=1048576" => divide::cilksort,
    "forkjoin/strassen/n=512" => matrix::strassen_all,
    "forkjoin/knapsack/n=40" => divide::knapsack,
    "parallel/nbody/n=2048" => loops::nbody,
    "parallel/mandelbrot/n=256" => loops::mandelbrot,
    "parallel/scan/n=4194304" => loops::scan,
};

/// What a benchmark's function returns: the time of its work, or why that was wrong.
pub type Timed = Result<Duration, String>;

/// Does the work inside the pool, whose threads are all of the workers.
fn timed(pool: &ThreadPool, work: fn() -> Timed) -> Result<Sample, String> {
    pool.install(work).map(Sample::Elapsed)
}

fn reported(pool: &ThreadPool, work: fn() -> Timed) -> Result<Sample, String> {
    let value = pool.install(work)?.as_secs_f64();
    Ok(Sample::Reports(vec![Report { metric: "s", is_higher_better: false, value }]))
}

fn fib_32(pool: &ThreadPool, batch: u64) -> Result<Sample, String> {
    let (errors, elapsed) = pool.install(|| {
        let start = Instant::now();
        let errors = (0..batch).filter(|_| trees::fib(32) != trees::FIB_32).count();
        (errors, start.elapsed())
    });
    if errors != 0 {
        return Err("fib(32) is wrong".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

fn build_pool(workers: usize) -> Result<ThreadPool, String> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .stack_size(STACK_BYTES)
        .build()
        .map_err(|error| error.to_string())
}

fn main() {
    std::process::exit(weft_bench_harness::run("rayon", build_pool, BENCHMARKS));
}
