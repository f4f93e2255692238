// SPDX-License-Identifier: MIT
//! Tasks that pass something on.

use weft_bench_harness::Sample;
use crate::on_worker;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, Notify};

const PLACES: usize = 503;

pub fn pass(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (passed, elapsed) = on_worker(runtime, async move {
        let (done, mut end) = mpsc::channel::<u64>(1);
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..PLACES).map(|_| mpsc::channel::<u64>(1)).unzip();
        let tasks: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(i, mut receiver)| {
                let (next, done) = (senders[(i + 1) % PLACES].clone(), done.clone());
                tokio::spawn(async move {
                    let mut passed = 0;
                    // The last message ends the task: the ring holds a sender of each channel.
                    while let Some(token) = receiver.recv().await.filter(|token| *token != u64::MAX)
                    {
                        passed += 1;
                        let to = if token > 0 { &next } else { &done };
                        if to.send(token.saturating_sub(1)).await.is_err() {
                            break;
                        }
                    }
                    passed
                })
            })
            .collect();
        let start = Instant::now();
        let is_sent = senders[0].send(batch).await.is_ok();
        let is_done = end.recv().await.is_some();
        let elapsed = start.elapsed();
        let mut passed = 0;
        for (sender, task) in senders.iter().zip(tasks) {
            let _ = sender.send(u64::MAX).await;
            passed += task.await.unwrap_or(0);
        }
        (if is_sent && is_done { passed } else { 0 }, elapsed)
    })?;
    if passed != batch + 1 {
        return Err(format!("{passed} passes"));
    }
    Ok(Sample::Elapsed(elapsed))
}

struct Creature {
    met: Notify,
    /// Used under the lock of the place, whose order is enough.
    colour: AtomicU64,
}

struct Place {
    left: u64,
    waiting: Option<Arc<Creature>>,
}

/// Returns how many it has met.  The lock is held for no await, so it is the standard library's, as
/// tokio's documentation recommends.
async fn visit(place: Arc<Mutex<Place>>, own: Arc<Creature>) -> u64 {
    let mut meetings = 0;
    loop {
        let other = {
            let mut place = place.lock().unwrap();
            if place.left == 0 {
                return meetings;
            }
            let other = place.waiting.take();
            if let Some(other) = &other {
                place.left -= 1;
                let (a, b) = (own.colour.load(Relaxed), other.colour.load(Relaxed));
                let colour = if a == b { a } else { 3 - a - b };
                own.colour.store(colour, Relaxed);
                other.colour.store(colour, Relaxed);
            } else {
                place.waiting = Some(own.clone());
            }
            other
        };
        meetings += 1;
        match other {
            Some(other) => other.met.notify_one(),
            None => own.met.notified().await,
        }
    }
}

pub fn meet(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (meetings, elapsed) = on_worker(runtime, async move {
        let place = Arc::new(Mutex::new(Place { left: batch, waiting: None }));
        let start = Instant::now();
        let tasks: Vec<_> = (0..10)
            .map(|i| {
                let own = Creature { met: Notify::new(), colour: AtomicU64::new(i % 3) };
                tokio::spawn(visit(place.clone(), Arc::new(own)))
            })
            .collect();
        let mut meetings = 0;
        for task in tasks {
            meetings += task.await.unwrap_or(0);
        }
        (meetings, start.elapsed())
    })?;
    if meetings != 2 * batch {
        return Err(format!("{meetings} meetings"));
    }
    Ok(Sample::Elapsed(elapsed))
}
