// SPDX-License-Identifier: MIT
//! tokio's own mutex, which tasks wait for in their order.

use weft_bench_harness::{is_quick, Report, Sample};
use crate::on_worker;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

pub fn uncontended(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (count, elapsed) = on_worker(runtime, async move {
        let mutex = Mutex::new(0u64);
        let start = Instant::now();
        for _ in 0..batch {
            *mutex.lock().await += 1;
        }
        let elapsed = start.elapsed();
        (mutex.into_inner(), elapsed)
    })?;
    if count != batch {
        return Err("some locks failed".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

const CONTENDERS: usize = 1000;

#[derive(Default)]
struct Contention {
    count: Mutex<u64>,
    is_over: AtomicBool,
    locks: AtomicU64,
    longest_ns: AtomicU64,
}

async fn contend(contention: Arc<Contention>, is_timed: bool) {
    let (mut locks, mut longest) = (0, 0);
    while !contention.is_over.load(Relaxed) {
        let start = is_timed.then(Instant::now);
        let mut count = contention.count.lock().await;
        if let Some(start) = start {
            longest = longest.max(start.elapsed().as_nanos() as u64);
        }
        *count += 1;
        locks += 1;
    }
    contention.locks.fetch_add(locks, Relaxed);
    contention.longest_ns.fetch_max(longest, Relaxed);
}

/// Nanoseconds for each critical section, and those of the longest wait.
fn run(runtime: &Runtime, is_timed: bool) -> Result<(f64, f64), String> {
    let window = Duration::from_millis(if is_quick() { 250 } else { 1000 });
    let contention = Arc::new(Contention::default());
    let shared = contention.clone();
    let elapsed = on_worker(runtime, async move {
        let start = Instant::now();
        let tasks: Vec<_> =
            (0..CONTENDERS).map(|_| tokio::spawn(contend(shared.clone(), is_timed))).collect();
        tokio::time::sleep(window).await;
        shared.is_over.store(true, Relaxed);
        for task in tasks {
            let _ = task.await;
        }
        start.elapsed()
    })?;
    let locks = contention.locks.load(Relaxed);
    if runtime.block_on(async { *contention.count.lock().await }) != locks {
        return Err("two held the mutex at once".into());
    }
    let longest = contention.longest_ns.load(Relaxed) as f64;
    Ok((elapsed.as_nanos() as f64 / locks as f64, longest))
}

pub fn contended(runtime: &Runtime) -> Result<Sample, String> {
    let (ns, _) = run(runtime, false)?;
    let (_, longest) = run(runtime, true)?;
    Ok(Sample::Reports(vec![
        Report { metric: "ns_per_op", is_higher_better: false, value: ns },
        Report { metric: "longest_us", is_higher_better: false, value: longest / 1e3 },
    ]))
}

pub fn semaphore_uncontended(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (failures, elapsed) = on_worker(runtime, async move {
        let semaphore = tokio::sync::Semaphore::new(1);
        let mut failures = 0;
        let start = Instant::now();
        for _ in 0..batch {
            if semaphore.acquire().await.is_err() {
                failures += 1;
            }
        }
        (failures + 1 - semaphore.available_permits(), start.elapsed())
    })?;
    if failures != 0 {
        return Err("permits were lost".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

/// Four receivers see each value; nobody waits.
pub fn broadcast_send_receive(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (failures, elapsed) = on_worker(runtime, async move {
        let (sender, first) = tokio::sync::broadcast::channel(16);
        let mut receivers = vec![first];
        receivers.extend((1..4).map(|_| sender.subscribe()));
        let mut failures = 0;
        let start = Instant::now();
        for i in 0..batch {
            failures += usize::from(sender.send(i).is_err());
            for receiver in &mut receivers {
                failures += usize::from(receiver.recv().await != Ok(i));
            }
        }
        (failures, start.elapsed())
    })?;
    if failures != 0 {
        return Err("some values were not seen".into());
    }
    Ok(Sample::Elapsed(elapsed))
}
