// SPDX-License-Identifier: MIT
//! Matrix products: the work of harness/matmul.h and strassen.h.  Squares within a matrix are no
//! slices, so they are pointers; tasks that run side by side write to different ones.

use crate::Timed;
use rayon::prelude::*;
use std::time::Instant;

const SIZE: usize = 512;
const MATMUL_LEAF: usize = 32;
const STRASSEN_LEAF: usize = 64;
const PRODUCTS: usize = 7;

#[derive(Clone, Copy)]
struct Square {
    at: *mut f64,
    row: usize,
}

// SAFETY: whoever cuts a square up hands each part that is written to one task only.
unsafe impl Send for Square {}
unsafe impl Sync for Square {}

impl Square {
    /// Quarters are numbered 0 1 above 2 3.
    fn quarter(self, number: usize, half: usize) -> Square {
        // SAFETY: a quarter lies within its square.
        Square { at: unsafe { self.at.add((number / 2 * self.row + number % 2) * half) }, ..self }
    }

    /// SAFETY: the square has such a row, of so many elements, which nobody writes meanwhile.
    unsafe fn line<'a>(self, row: usize, size: usize) -> &'a [f64] {
        std::slice::from_raw_parts(self.at.add(row * self.row), size)
    }

    /// SAFETY: as for line(), and nobody reads it meanwhile either.
    unsafe fn line_mut<'a>(self, row: usize, size: usize) -> &'a mut [f64] {
        std::slice::from_raw_parts_mut(self.at.add(row * self.row), size)
    }
}

struct Matrices {
    a: Vec<f64>,
    b: Vec<f64>,
    c: Vec<f64>,
}

/// Small whole numbers: every sum is exact, in whatever order.
fn prepare() -> Matrices {
    let fill = |factor: usize, limit: usize| -> Vec<f64> {
        (0..SIZE * SIZE)
            .map(|i| ((i * factor + i / SIZE) % limit) as f64 - (limit / 2) as f64)
            .collect()
    };
    // Not zeroed(): its pages are there before the clock runs.
    let mut c = vec![1.0; SIZE * SIZE];
    c.fill(0.0);
    Matrices { a: fill(7, 17), b: fill(5, 13), c }
}

impl Matrices {
    fn squares(&mut self) -> (Square, Square, Square) {
        let square = |values: &mut Vec<f64>| Square { at: values.as_mut_ptr(), row: SIZE };
        (square(&mut self.c), square(&mut self.a), square(&mut self.b))
    }

    /// Freivalds' check with a vector of many values.
    fn is_right(&self) -> bool {
        let times = |matrix: &[f64], vector: &[f64]| -> Vec<f64> {
            matrix
                .chunks(SIZE)
                .map(|row| row.iter().zip(vector).map(|(x, y)| x * y).sum())
                .collect()
        };
        let vector: Vec<f64> = (0..SIZE).map(|j| (j % 101 + 1) as f64).collect();
        times(&self.c, &vector) == times(&self.a, &times(&self.b, &vector))
    }
}

/// c += a * b.
fn add_product(c: Square, a: Square, b: Square, size: usize) {
    for i in 0..size {
        // SAFETY: the caller's squares are of this size, and c is its own.
        let (to, factors) = unsafe { (c.line_mut(i, size), a.line(i, size)) };
        for (k, factor) in factors.iter().enumerate() {
            let from = unsafe { b.line(k, size) };
            for (to, value) in to.iter_mut().zip(from) {
                *to += factor * value;
            }
        }
    }
}

fn multiply(c: Square, a: Square, b: Square, size: usize) {
    if size <= MATMUL_LEAF {
        return add_product(c, a, b, size);
    }
    let half = size / 2;
    for middle in 0..2 {
        let part = |row: usize, column: usize| {
            multiply(
                c.quarter(2 * row + column, half),
                a.quarter(2 * row + middle, half),
                b.quarter(2 * middle + column, half),
                half,
            )
        };
        rayon::join(
            || rayon::join(|| part(0, 0), || part(0, 1)),
            || rayon::join(|| part(1, 0), || part(1, 1)),
        );
    }
}

pub fn matmul() -> Timed {
    let mut all = prepare();
    let (c, a, b) = all.squares();
    let start = Instant::now();
    multiply(c, a, b, SIZE);
    let elapsed = start.elapsed();
    if all.is_right() { Ok(elapsed) } else { Err("the product is wrong".into()) }
}

/// first + sign * second.
type Factor = (usize, usize, f64);

const A: [Factor; PRODUCTS] = [
    (0, 3, 1.0), (2, 3, 1.0), (0, 0, 0.0), (3, 3, 0.0), (0, 1, 1.0), (2, 0, -1.0), (1, 3, -1.0),
];
const B: [Factor; PRODUCTS] = [
    (0, 3, 1.0), (0, 0, 0.0), (1, 3, -1.0), (2, 0, -1.0), (3, 3, 0.0), (0, 1, 1.0), (2, 3, 1.0),
];

/// What all products below one of so many rows need.
fn room_of(size: usize) -> usize {
    if size <= STRASSEN_LEAF {
        return 0;
    }
    PRODUCTS * (3 * (size / 2) * (size / 2) + room_of(size / 2))
}

fn factor_of(from: Square, half: usize, room: &mut [f64], (one, other, sign): Factor) -> Square {
    let (first, second) = (from.quarter(one, half), from.quarter(other, half));
    if sign == 0.0 {
        return first;
    }
    for (i, to) in room.chunks_mut(half).enumerate() {
        // SAFETY: both are quarters of that many rows, which are only read now.
        let (x, y) = unsafe { (first.line(i, half), second.line(i, half)) };
        for j in 0..half {
            to[j] = x[j] + sign * y[j];
        }
    }
    Square { at: room.as_mut_ptr(), row: half }
}

/// c = a * b.
fn strassen(c: Square, a: Square, b: Square, size: usize, room: &mut [f64]) {
    if size <= STRASSEN_LEAF {
        for i in 0..size {
            // SAFETY: c is the caller's own.
            unsafe { c.line_mut(i, size) }.fill(0.0);
        }
        return add_product(c, a, b, size);
    }
    let half = size / 2;
    let area = half * half;
    let part = room_of(size) / PRODUCTS;
    room[..PRODUCTS * part].par_chunks_mut(part).with_max_len(1).enumerate().for_each(
        |(number, room)| {
            let (product, room) = room.split_at_mut(area);
            let (a_room, room) = room.split_at_mut(area);
            let (b_room, room) = room.split_at_mut(area);
            strassen(
                Square { at: product.as_mut_ptr(), row: half },
                factor_of(a, half, a_room, A[number]),
                factor_of(b, half, b_room, B[number]),
                half,
                room,
            );
        },
    );
    let m: [&[f64]; PRODUCTS] = std::array::from_fn(|i| &room[i * part..i * part + area]);
    for i in 0..half {
        // SAFETY: c is the caller's own, and these are different rows of it.
        let (above, under) = unsafe { (c.line_mut(i, size), c.line_mut(half + i, size)) };
        for j in 0..half {
            let at = i * half + j;
            above[j] = m[0][at] + m[3][at] - m[4][at] + m[6][at];
            above[half + j] = m[2][at] + m[4][at];
            under[j] = m[1][at] + m[3][at];
            under[half + j] = m[0][at] - m[1][at] + m[2][at] + m[5][at];
        }
    }
}

pub fn strassen_all() -> Timed {
    let mut all = prepare();
    let mut room = vec![1.0; room_of(SIZE)];
    let (c, a, b) = all.squares();
    let start = Instant::now();
    strassen(c, a, b, SIZE, &mut room);
    let elapsed = start.elapsed();
    if all.is_right() { Ok(elapsed) } else { Err("the product is wrong".into()) }
}
