// SPDX-License-Identifier: MIT
//! Loops by parallel iterators: the work of harness/loops.h.

use crate::Timed;
use rayon::prelude::*;
use std::time::Instant;

const BODIES: usize = 2048;

fn pull_on(own: &[f64; 3], places: &[[f64; 3]]) -> [f64; 3] {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for other in places {
        let (dx, dy, dz) = (other[0] - own[0], other[1] - own[1], other[2] - own[2]);
        let square = dx * dx + dy * dy + dz * dz + 0.01;
        let factor = 1.0 / (square * square.sqrt());
        x += dx * factor;
        y += dy * factor;
        z += dz * factor;
    }
    [x, y, z]
}

pub fn nbody() -> Timed {
    let places: Vec<[f64; 3]> = (0..BODIES)
        .map(|i| [(i * 37 % 1009) as f64, (i * 101 % 997) as f64, (i * 53 % 991) as f64])
        .collect();
    let mut pulls = vec![[0.0; 3]; BODIES];
    let start = Instant::now();
    pulls.par_iter_mut().zip(&places).for_each(|(pull, own)| *pull = pull_on(own, &places));
    let elapsed = start.elapsed();
    let sum: f64 = pulls.iter().flatten().sum();
    let size: f64 = pulls.iter().flatten().map(|value| value.abs()).sum();
    if pulls.iter().any(|pull| pull[0] == 0.0) || sum.abs() > 1e-9 * size {
        return Err("the pulls do not cancel out".into());
    }
    Ok(elapsed)
}

const PICTURE: usize = 256;
const STEPS: u64 = 1000;

fn draw_row(row: usize) -> u64 {
    let b = 2.5 * row as f64 / PICTURE as f64 - 1.25;
    let mut sum = 0;
    for column in 0..PICTURE {
        let a = 3.0 * column as f64 / PICTURE as f64 - 2.25;
        let (mut x, mut y, mut steps) = (0.0f64, 0.0f64, 0);
        while steps < STEPS && x * x + y * y <= 4.0 {
            (x, y) = (x * x - y * y + a, 2.0 * x * y + b);
            steps += 1;
        }
        sum += steps;
    }
    sum
}

pub fn mandelbrot() -> Timed {
    let start = Instant::now();
    let sum: u64 = (0..PICTURE).into_par_iter().with_max_len(1).map(draw_row).sum();
    let elapsed = start.elapsed();
    if sum != 13589901 {
        return Err(format!("the picture is wrong: {sum}"));
    }
    Ok(elapsed)
}

const SCAN_COUNT: usize = 1 << 22;
const SCAN_BLOCK: usize = 1 << 14;

pub fn scan() -> Timed {
    let input: Vec<u64> = (0..SCAN_COUNT as u64).map(|i| i % 1000).collect();
    // Its pages are there before the clock runs.
    let mut output = vec![1u64; SCAN_COUNT];
    let start = Instant::now();
    let mut sums: Vec<u64> =
        input.par_chunks(SCAN_BLOCK).map(|block| block.iter().sum()).collect();
    let mut sum = 0;
    for own in &mut sums {
        sum += std::mem::replace(own, sum);
    }
    output.par_chunks_mut(SCAN_BLOCK).zip(input.par_chunks(SCAN_BLOCK)).zip(&sums).for_each(
        |((to, from), before)| {
            let mut sum = *before;
            for (to, value) in to.iter_mut().zip(from) {
                sum += value;
                *to = sum;
            }
        },
    );
    let elapsed = start.elapsed();
    let mut sum = 0;
    for (i, value) in output.iter().enumerate() {
        sum += i as u64 % 1000;
        if *value != sum {
            return Err("the sums are wrong".into());
        }
    }
    Ok(elapsed)
}
