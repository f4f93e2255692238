// SPDX-License-Identifier: MIT
//! may's objects for coroutines that wait for each other.

use crate::{go, in_coroutine};
use may::sync::{spsc, Condvar, Mutex, Semphore};
use std::sync::Arc;
use std::time::Instant;
use weft_bench_harness::Sample;

/// Channels of may have no bound; those of one sender and one receiver are its fastest.
pub fn channel_pingpong(batch: u64) -> Result<Sample, String> {
    let (wrong, elapsed) = in_coroutine(move || {
        let (there, asked) = spsc::channel::<u64>();
        let (answer, back) = spsc::channel::<u64>();
        let other = go(move || {
            while let Ok(value) = asked.recv() {
                if answer.send(value + 1).is_err() {
                    break;
                }
            }
        });
        let mut wrong = 0;
        let start = Instant::now();
        for i in 0..batch {
            let sent = there.send(i).is_ok();
            wrong += u64::from(!sent || back.recv() != Ok(i + 1));
        }
        let elapsed = start.elapsed();
        drop(there);
        wrong += u64::from(other.join().is_err());
        (wrong, elapsed)
    })?;
    if wrong != 0 {
        return Err(format!("{wrong} answers were wrong"));
    }
    Ok(Sample::Elapsed(elapsed))
}

pub fn mutex_uncontended(batch: u64) -> Result<Sample, String> {
    let (count, elapsed) = in_coroutine(move || {
        let mutex = Mutex::new(0u64);
        let start = Instant::now();
        for _ in 0..batch {
            *mutex.lock().unwrap() += 1;
        }
        let elapsed = start.elapsed();
        (mutex.into_inner().unwrap(), elapsed)
    })?;
    if count != batch {
        return Err("some locks failed".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

pub fn semaphore_uncontended(batch: u64) -> Result<Sample, String> {
    let (value, elapsed) = in_coroutine(move || {
        let semaphore = Semphore::new(1);
        let start = Instant::now();
        for _ in 0..batch {
            semaphore.wait();
            semaphore.post();
        }
        (semaphore.get_value(), start.elapsed())
    })?;
    if value != 1 {
        return Err("permits were lost".into());
    }
    Ok(Sample::Elapsed(elapsed))
}

#[derive(Default)]
struct Game {
    turn: Mutex<u64>,
    changed: Condvar,
}

/// Takes every other turn; returns how often it had to wait.
fn play(game: &Game, own: u64, turns: u64) -> u64 {
    let mut waits = 0;
    let mut turn = game.turn.lock().unwrap();
    while *turn < turns {
        if *turn % 2 == own {
            *turn += 1;
            game.changed.notify_one();
        } else {
            waits += 1;
            turn = game.changed.wait(turn).unwrap();
        }
    }
    waits
}

pub fn condvar_pingpong(batch: u64) -> Result<Sample, String> {
    let (waits, elapsed) = in_coroutine(move || {
        let game = Arc::new(Game::default());
        let other = game.clone();
        let start = Instant::now();
        let second = go(move || play(&other, 1, batch));
        let waits = play(&game, 0, batch) + second.join().unwrap_or(0);
        (waits, start.elapsed())
    })?;
    if waits + 2 < batch {
        return Err("some turns were not waited for".into());
    }
    Ok(Sample::Elapsed(elapsed))
}
