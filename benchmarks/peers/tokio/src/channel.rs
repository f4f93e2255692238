// SPDX-License-Identifier: MIT
//! Channels beside weft's.  tokio's mpsc channels have one receiver and hold one value at least.

use weft_bench_harness::Sample;
use crate::on_worker;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// The ends of the two channels to a task that answers a number with the next one.
fn start_answering() -> (mpsc::Sender<u64>, mpsc::Receiver<u64>) {
    let (there, mut asked) = mpsc::channel::<u64>(1);
    let (answer, back) = mpsc::channel::<u64>(1);
    tokio::spawn(async move {
        while let Some(value) = asked.recv().await {
            if answer.send(value + 1).await.is_err() {
                break;
            }
        }
    });
    (there, back)
}

pub fn channel_pingpong(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let (wrong, elapsed) = on_worker(runtime, async move {
        let (there, mut back) = start_answering();
        let mut wrong = 0;
        let start = Instant::now();
        for i in 0..batch {
            let sent = there.send(i).await.is_ok();
            wrong += u64::from(!sent || back.recv().await != Some(i + 1));
        }
        (wrong, start.elapsed())
    })?;
    if wrong != 0 {
        return Err(format!("{wrong} answers were wrong"));
    }
    Ok(Sample::Elapsed(elapsed))
}

/// As above; no answer is there when it is asked for, so that each timeout is registered.
pub fn timeout(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    const LIMIT: Duration = Duration::from_secs(10);
    let (wrong, elapsed) = on_worker(runtime, async move {
        let (there, mut back) = start_answering();
        let mut wrong = 0;
        let start = Instant::now();
        for i in 0..batch {
            let sent = there.send(i).await.is_ok();
            let answer = tokio::time::timeout(LIMIT, back.recv()).await;
            wrong += u64::from(!sent || answer != Ok(Some(i + 1)));
        }
        (wrong, start.elapsed())
    })?;
    if wrong != 0 {
        return Err(format!("{wrong} answers were wrong or late"));
    }
    Ok(Sample::Elapsed(elapsed))
}

pub fn channel_throughput(runtime: &Runtime, batch: u64, senders: u64) -> Result<Sample, String> {
    let share = batch / senders + 1;
    let (sum, elapsed) = on_worker(runtime, async move {
        let (sender, mut receiver) = mpsc::channel::<u64>(128);
        let start = Instant::now();
        let receiving = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(value) = receiver.recv().await {
                sum += value;
            }
            sum
        });
        for _ in 0..senders {
            let sender = sender.clone();
            tokio::spawn(async move {
                for value in 1..=share {
                    if sender.send(value).await.is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        (receiving.await.unwrap_or(0), start.elapsed())
    })?;
    if sum != share * (share + 1) / 2 * senders {
        return Err("values were lost".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

/// select! looks at the four in an order that it draws anew each time, as it does by default.
pub fn select_four(runtime: &Runtime, batch: u64) -> Result<Sample, String> {
    let share = batch / 4 + 1;
    let (sum, elapsed) = on_worker(runtime, async move {
        let start = Instant::now();
        let [mut first, mut second, mut third, mut fourth] = std::array::from_fn(|_| {
            let (sender, receiver) = mpsc::channel::<u64>(1);
            tokio::spawn(async move {
                for value in 1..=share {
                    if sender.send(value).await.is_err() {
                        break;
                    }
                }
            });
            receiver
        });
        let mut sum = 0;
        for _ in 0..4 * share {
            sum += tokio::select! {
                Some(value) = first.recv() => value,
                Some(value) = second.recv() => value,
                Some(value) = third.recv() => value,
                Some(value) = fourth.recv() => value,
                else => 0,
            };
        }
        (sum, start.elapsed())
    })?;
    if sum != share * (share + 1) / 2 * 4 {
        return Err("values were lost".into());
    }
    Ok(Sample::Elapsed(elapsed))
}
