// SPDX-License-Identifier: MIT
//! tokio's barrier.

use crate::on_worker;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use weft_bench_harness::{Sample, Span};

/// Crosses once, then so many times between the leaders' reads of the clock.  Returns how often it
/// was the leader, which each crossing has one of.
async fn march_along(barrier: Arc<Barrier>, span: Arc<Span>, steps: u64) -> u64 {
    let mut serials = 0;
    for step in 0..=steps {
        if !barrier.wait().await.is_leader() {
            continue;
        }
        serials += 1;
        if step == 0 {
            span.start();
        }
        if step == steps {
            span.stop();
        }
    }
    serials
}

pub fn cross(runtime: &Runtime, batch: u64, parties: usize) -> Result<Sample, String> {
    let (serials, elapsed) = on_worker(runtime, async move {
        let barrier = Arc::new(Barrier::new(parties));
        let span = Arc::new(Span::default());
        let tasks: Vec<_> = (0..parties)
            .map(|_| tokio::spawn(march_along(barrier.clone(), span.clone(), batch)))
            .collect();
        let mut serials = 0;
        for task in tasks {
            serials += task.await.unwrap_or(0);
        }
        (serials, span.elapsed())
    })?;
    if serials != batch + 1 {
        return Err(format!("{serials} of {} crossings took place", batch + 1));
    }
    Ok(Sample::Elapsed(elapsed))
}
