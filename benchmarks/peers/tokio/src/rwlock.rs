// SPDX-License-Identifier: MIT
//! tokio's readers-writer lock, which tasks wait for in their order.

use crate::on_worker;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;
use weft_bench_harness::{is_quick, Report, Sample};

const READERS: u64 = 1000;
const OPS_PER_WRITE: u64 = 20;

#[derive(Default)]
struct Library {
    value: RwLock<u64>,
    is_over: AtomicBool,
    ops: AtomicU64,
    writes: AtomicU64,
}

/// Locks once; returns whether it wrote.
async fn lock_once(value: &RwLock<u64>, number: u64) -> bool {
    if number % OPS_PER_WRITE == 0 {
        *value.write().await += 1;
        return true;
    }
    assert!(*value.read().await != u64::MAX);
    false
}

pub fn alone(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (writes, value, elapsed) = on_worker(runtime, async move {
        let value = RwLock::new(0);
        let mut writes = 0;
        let start = Instant::now();
        for number in 0..batch {
            writes += u64::from(lock_once(&value, number).await);
        }
        let elapsed = start.elapsed();
        (writes, value.into_inner(), elapsed)
    })?;
    if writes != batch.div_ceil(OPS_PER_WRITE) || value != writes {
        return Err("some locks failed".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

async fn use_until_over(library: Arc<Library>, number: u64) {
    let (mut ops, mut writes) = (0, 0);
    while !library.is_over.load(Relaxed) {
        writes += u64::from(lock_once(&library.value, number + ops).await);
        ops += 1;
    }
    library.ops.fetch_add(ops, Relaxed);
    library.writes.fetch_add(writes, Relaxed);
}

pub fn read_mostly(runtime: &Runtime) -> Result<Sample, String> {
    let window = Duration::from_millis(if is_quick() { 250 } else { 1000 });
    let library = Arc::new(Library::default());
    let shared = library.clone();
    let (joined, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..READERS)
            .map(|number| tokio::spawn(use_until_over(shared.clone(), number)))
            .collect();
        tokio::time::sleep(window).await;
        shared.is_over.store(true, Relaxed);
        let mut joined = 0;
        for task in tasks {
            joined += u64::from(task.await.is_ok());
        }
        (joined, start.elapsed())
    })?;
    let value = runtime.block_on(async { *library.value.read().await });
    if joined != READERS || value != library.writes.load(Relaxed) {
        return Err("two wrote at once".into());
    }
    let ns = elapsed.as_nanos() as f64 / library.ops.load(Relaxed) as f64;
    Ok(Sample::Reports(vec![Report { metric: "ns_per_op", is_higher_better: false, value: ns }]))
}
