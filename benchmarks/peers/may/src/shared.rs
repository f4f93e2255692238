// SPDX-License-Identifier: MIT
//! may's objects for many: its readers-writer lock, its barrier, its channels of many ends.

use crate::{go, in_coroutine};
use may::sync::{mpmc, spsc, Barrier, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weft_bench_harness::{is_quick, Report, Sample, Span};

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
fn lock_once(value: &RwLock<u64>, number: u64) -> bool {
    if number % OPS_PER_WRITE == 0 {
        *value.write().unwrap() += 1;
        return true;
    }
    assert!(*value.read().unwrap() != u64::MAX);
    false
}

pub fn rwlock_alone(batch: u64) -> Result<Sample, String> {
    let (writes, value, elapsed) = in_coroutine(move || {
        let value = RwLock::new(0);
        let start = Instant::now();
        let writes: u64 = (0..batch).map(|number| u64::from(lock_once(&value, number))).sum();
        let elapsed = start.elapsed();
        (writes, value.into_inner().unwrap(), elapsed)
    })?;
    if writes != batch.div_ceil(OPS_PER_WRITE) || value != writes {
        return Err("some locks failed".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

fn use_until_over(library: &Library, number: u64) {
    let (mut ops, mut writes) = (0, 0);
    while !library.is_over.load(Relaxed) {
        writes += u64::from(lock_once(&library.value, number + ops));
        ops += 1;
    }
    library.ops.fetch_add(ops, Relaxed);
    library.writes.fetch_add(writes, Relaxed);
}

/// The window is that of a thread: a coroutine that slept would have to wait for those that lock
/// without a pause.
pub fn rwlock_read_mostly() -> Result<Sample, String> {
    let library = Arc::new(Library::default());
    let start = Instant::now();
    let all: Vec<_> = (0..READERS)
        .map(|number| {
            let library = library.clone();
            go(move || use_until_over(&library, number))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(if is_quick() { 250 } else { 1000 }));
    library.is_over.store(true, Relaxed);
    let failed = all.into_iter().map(|one| one.join()).filter(Result::is_err).count();
    let ns = start.elapsed().as_nanos() as f64 / library.ops.load(Relaxed) as f64;
    if failed != 0 || *library.value.read().unwrap() != library.writes.load(Relaxed) {
        return Err("two wrote at once".into());
    }
    Ok(Sample::Reports(vec![Report { metric: "ns_per_op", is_higher_better: false, value: ns }]))
}

/// Crosses once, then so many times between the leaders' reads of the clock.  Returns how often it
/// was the leader, which each crossing has one of.
fn march_along(barrier: &Barrier, span: &Span, steps: u64) -> u64 {
    let mut leaders = 0;
    for step in 0..=steps {
        if !barrier.wait().is_leader() {
            continue;
        }
        leaders += 1;
        if step == 0 {
            span.start();
        }
        if step == steps {
            span.stop();
        }
    }
    leaders
}

pub fn barrier_cross(batch: u64, parties: usize) -> Result<Sample, String> {
    let (leaders, elapsed) = in_coroutine(move || {
        let march = Arc::new((Barrier::new(parties), Span::default()));
        let all: Vec<_> = (0..parties)
            .map(|_| {
                let march = march.clone();
                go(move || march_along(&march.0, &march.1, batch))
            })
            .collect();
        let leaders: u64 = all.into_iter().map(|one| one.join().unwrap_or(0)).sum();
        (leaders, march.1.elapsed())
    })?;
    if leaders != batch + 1 {
        return Err(format!("{leaders} of {} crossings took place", batch + 1));
    }
    Ok(Sample::Elapsed(elapsed))
}

fn transfer<S, R>(batch: u64, senders: Vec<S>, receivers: Vec<R>) -> Result<Sample, String>
where
    S: Fn(u64) -> bool + Send + 'static,
    R: Fn() -> Option<u64> + Send + 'static,
{
    let count = senders.len() as u64;
    let share = batch / count + 1;
    let (sum, elapsed) = in_coroutine(move || {
        let start = Instant::now();
        let receiving: Vec<_> = receivers
            .into_iter()
            .map(|receive| go(move || std::iter::from_fn(receive).sum::<u64>()))
            .collect();
        for send in senders {
            go(move || (1..=share).all(send));
        }
        let sum: u64 = receiving.into_iter().map(|one| one.join().unwrap_or(0)).sum();
        (sum, start.elapsed())
    })?;
    if sum != share * (share + 1) / 2 * count {
        return Err("values were lost".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

/// The channels of may have no bound, so no sender waits.
pub fn one_to_one(batch: u64) -> Result<Sample, String> {
    let (sender, receiver) = spsc::channel();
    transfer(batch, vec![move |value| sender.send(value).is_ok()], vec![move || receiver.recv().ok()])
}

/// By mpmc, measured faster here than mpsc.  Not with four receivers: one of some ten processes never
/// ended, its threads all asleep in the runtime.
pub fn four_to_one(batch: u64) -> Result<Sample, String> {
    let (sender, receiver) = mpmc::channel();
    let senders = vec![sender; 4].into_iter().map(|sender| move |value| sender.send(value).is_ok());
    transfer(batch, senders.collect(), vec![move || receiver.recv().ok()])
}
