// SPDX-License-Identifier: MIT
//! tokio's barrier.

use crate::on_worker;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use weft_bench_harness::Sample;

/// Returns how often it was the leader, which each crossing has one of.
async fn march_along(barrier: Arc<Barrier>, steps: u64) -> u64 {
    let mut serials = 0;
    for _ in 0..steps {
        serials += u64::from(barrier.wait().await.is_leader());
    }
    serials
}

pub fn cross(runtime: &Runtime, batch: u64, parties: usize) -> Result<Sample, String> {
    let (serials, elapsed) = on_worker(runtime, async move {
        let barrier = Arc::new(Barrier::new(parties));
        let start = Instant::now();
        let tasks: Vec<_> = (0..parties)
            .map(|_| tokio::spawn(march_along(barrier.clone(), batch)))
            .collect();
        let mut serials = 0;
        for task in tasks {
            serials += task.await.unwrap_or(0);
        }
        (serials, start.elapsed())
    })?;
    if serials != batch {
        return Err(format!("{serials} of {batch} crossings took place"));
    }
    Ok(Sample::Elapsed(elapsed))
}
