// SPDX-License-Identifier: MIT
//! Trees without a leaf size: the work of harness/uts.h and queens.h.

use crate::Timed;
use rayon::prelude::*;
use std::time::Instant;

pub const FIB_32: u64 = 2178309;
pub const FIB_32_TASKS: u64 = 3524577;

pub fn fib(n: u32) -> u64 {
    if n < 2 {
        return u64::from(n);
    }
    let (left, right) = rayon::join(|| fib(n - 1), || fib(n - 2));
    left + right
}

type Node = [u32; 5];

/// SHA-1 (FIPS 180-4) of so few words that they fit into one block, which this pads.  Unrolled by
/// macros as in harness/uts.h, so that programs differ in their tasks and not in the digest.
fn sha1(words: &[u32]) -> Node {
    let mut block = [0u32; 16];
    block[..words.len()].copy_from_slice(words);
    block[words.len()] = 0x8000_0000;
    block[15] = words.len() as u32 * 32;
    let start: Node = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    let [mut a, mut b, mut c, mut d, mut e] = start;
    macro_rules! step {
        ($v:ident $w:ident $x:ident $y:ident $z:ident, $i:expr, $mix:expr, $constant:literal) => {
            if $i >= 16 {
                block[$i % 16] = (block[($i + 13) % 16]
                    ^ block[($i + 8) % 16]
                    ^ block[($i + 2) % 16]
                    ^ block[$i % 16])
                    .rotate_left(1);
            }
            $z = $z
                .wrapping_add($v.rotate_left(5))
                .wrapping_add($mix($w, $x, $y))
                .wrapping_add($constant)
                .wrapping_add(block[$i % 16]);
            $w = $w.rotate_left(30);
        };
    }
    macro_rules! twenty {
        ($first:literal, $mix:expr, $constant:literal) => {
            twenty!(@five $first, $mix, $constant);
            twenty!(@five $first + 5, $mix, $constant);
            twenty!(@five $first + 10, $mix, $constant);
            twenty!(@five $first + 15, $mix, $constant);
        };
        (@five $i:expr, $mix:expr, $constant:literal) => {
            step!(a b c d e, $i, $mix, $constant);
            step!(e a b c d, $i + 1, $mix, $constant);
            step!(d e a b c, $i + 2, $mix, $constant);
            step!(c d e a b, $i + 3, $mix, $constant);
            step!(b c d e a, $i + 4, $mix, $constant);
        };
    }
    twenty!(0, |x, y, z| z ^ (x & (y ^ z)), 0x5a827999u32);
    twenty!(20, |x: u32, y, z| x ^ y ^ z, 0x6ed9eba1u32);
    twenty!(40, |x, y, z| (x & y) | (z & (x | y)), 0x8f1bbcdcu32);
    twenty!(60, |x: u32, y, z| x ^ y ^ z, 0xca62c1d6u32);
    let end = [a, b, c, d, e];
    std::array::from_fn(|i| start[i].wrapping_add(end[i]))
}

fn root(seed: u32) -> Node {
    sha1(&[0, 0, 0, 0, seed])
}

fn child(node: &Node, index: u32) -> Node {
    let [a, b, c, d, e] = *node;
    sha1(&[a, b, c, d, e, index])
}

fn fraction(node: &Node) -> f64 {
    f64::from(node[4] & 0x7fff_ffff) / 2147483648.0
}

fn search(node: &Node, depth: u32, depth_max: u32) -> u64 {
    if depth >= depth_max {
        return 1;
    }
    let count = ((1.0 - fraction(node)).ln() / (1.0 - 1.0 / 5.0f64).ln()).floor() as u32;
    1 + (0..count.min(100))
        .into_par_iter()
        .with_max_len(1)
        .map(|index| search(&child(node, index), depth + 1, depth_max))
        .sum::<u64>()
}

fn explore(node: &Node, count: u32) -> u64 {
    1 + (0..count)
        .into_par_iter()
        .with_max_len(1)
        .map(|index| {
            let next = child(node, index);
            explore(&next, if fraction(&next) < 0.124875 { 8 } else { 0 })
        })
        .sum::<u64>()
}

fn counted(wanted: u64, count: impl FnOnce() -> u64) -> Timed {
    let start = Instant::now();
    let found = count();
    let elapsed = start.elapsed();
    if found == wanted { Ok(elapsed) } else { Err(format!("{found} is wrong")) }
}

pub fn t1() -> Timed {
    counted(4130071, || search(&root(19), 0, 10))
}

pub fn t1l() -> Timed {
    counted(102181082, || search(&root(29), 0, 13))
}

pub fn t3() -> Timed {
    counted(4112897, || explore(&root(42), 2000))
}

const QUEENS: usize = 13;

#[derive(Clone, Copy)]
struct Board {
    placed: usize,
    columns: [i8; QUEENS],
}

impl Board {
    fn is_safe(&self, column: i8) -> bool {
        self.columns[..self.placed].iter().enumerate().all(|(row, other)| {
            let (difference, rows) = (other - column, (self.placed - row) as i8);
            difference != 0 && difference != rows && difference != -rows
        })
    }

    fn place(mut self, column: i8) -> Board {
        self.columns[self.placed] = column;
        self.placed += 1;
        self
    }
}

fn solve(board: Board) -> u64 {
    if board.placed == QUEENS {
        return 1;
    }
    let mut safe = [0; QUEENS];
    let mut count = 0;
    for column in (0..QUEENS as i8).filter(|column| board.is_safe(*column)) {
        safe[count] = column;
        count += 1;
    }
    safe[..count].par_iter().with_max_len(1).map(|column| solve(board.place(*column))).sum()
}

pub fn queens() -> Timed {
    counted(73712, || solve(Board { placed: 0, columns: [0; QUEENS] }))
}
