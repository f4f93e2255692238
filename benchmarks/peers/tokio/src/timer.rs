// SPDX-License-Identifier: MIT
//! tokio's timers: a future that is in the wheel from its first poll to its drop.

use weft_bench_harness::Sample;
use crate::on_worker;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::{sleep_until, Sleep};

const ARMED: u64 = 1_000_000;
const TIMES: usize = 4096;
const WARM_UP: u64 = 100_000;

fn random_time(state: &mut u64) -> tokio::time::Instant {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    tokio::time::Instant::now() + Duration::from_secs(60 + (*state >> 16) % 3600)
}

/// Polls once, which arms; the result says whether the time had come.
struct PollOnce<'a>(Pin<&'a mut Sleep>);

impl Future for PollOnce<'_> {
    type Output = bool;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(self.0.as_mut().poll(context).is_ready())
    }
}

/// The crowd is made anew for each sample, outside the time that is measured.
pub fn arm_cancel(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (fired, elapsed) = on_worker(runtime, async move {
        let mut state = 1;
        let times: Vec<_> = (0..TIMES).map(|_| random_time(&mut state)).collect();
        let mut crowd = Vec::with_capacity(ARMED as usize);
        let mut fired = 0u64;
        for _ in 0..ARMED {
            let mut sleep = Box::pin(sleep_until(random_time(&mut state)));
            fired += PollOnce(sleep.as_mut()).await as u64;
            crowd.push(sleep);
        }
        let mut start = Instant::now();
        for i in 0..WARM_UP + batch {
            if i == WARM_UP {
                start = Instant::now();
            }
            let sleep = sleep_until(times[i as usize % TIMES]);
            tokio::pin!(sleep);
            fired += PollOnce(sleep).await as u64;
        }
        (fired, start.elapsed())
    })?;
    if fired != 0 {
        return Err("some timers fired".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

pub fn extend(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (is_done, elapsed) = on_worker(runtime, async move {
        let mut when = tokio::time::Instant::now() + Duration::from_secs(3600);
        let sleep = sleep_until(when);
        tokio::pin!(sleep);
        let _ = PollOnce(sleep.as_mut()).await;
        let start = Instant::now();
        for _ in 0..batch {
            when += Duration::from_nanos(1);
            sleep.as_mut().reset(when);
        }
        let elapsed = start.elapsed();
        (sleep.is_elapsed(), elapsed)
    })?;
    if is_done {
        return Err("the timer fired".into());
    }
    Ok(Sample::Elapsed(elapsed))
}
