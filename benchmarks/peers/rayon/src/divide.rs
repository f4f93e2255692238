// SPDX-License-Identifier: MIT
//! Work that is divided as it goes: that of harness/integrate.h, cilksort.h and knapsack.h.

use crate::Timed;
use std::time::Instant;

#[derive(Clone, Copy)]
struct Piece {
    left: f64,
    right: f64,
    at_left: f64,
    at_right: f64,
    area: f64,
}

fn curve(x: f64) -> f64 {
    (x * x + 1.0) * x
}

fn integrate(piece: Piece) -> (f64, u64) {
    let middle = (piece.left + piece.right) / 2.0;
    let (at, half) = (curve(middle), (piece.right - piece.left) / 2.0);
    let low_area = (piece.at_left + at) * half / 2.0;
    let high_area = (at + piece.at_right) * half / 2.0;
    if (low_area + high_area - piece.area).abs() <= 1e-10 {
        return (low_area + high_area, 1);
    }
    let low = Piece { right: middle, at_right: at, area: low_area, ..piece };
    let high = Piece { left: middle, at_left: at, area: high_area, ..piece };
    let (one, other) = rayon::join(|| integrate(low), || integrate(high));
    (one.0 + other.0, one.1 + other.1)
}

pub fn integrate_all() -> Timed {
    const END: f64 = 100.0;
    let top = curve(END);
    let start = Instant::now();
    let (area, leaves) =
        integrate(Piece { left: 0.0, right: END, at_left: 0.0, at_right: top, area: top * END / 2.0 });
    let elapsed = start.elapsed();
    let exact = END * END * (END * END / 4.0 + 0.5);
    if leaves != 833659 || ((area - exact) / exact).abs() > 1e-9 {
        return Err(format!("{area} from {leaves} leaves is wrong"));
    }
    Ok(elapsed)
}

const SORT_COUNT: usize = 1 << 20;
const SORT_LEAF: usize = 2048;
const SORT_INSERTION: usize = 20;

/// Quicksort with the middle of three, insertion at the end: the same in all languages.
fn sort_leaf(mut values: &mut [u32]) {
    while values.len() > SORT_INSERTION {
        let (a, b, c) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        let pivot = a.max(b).min(a.min(b).max(c));
        let (mut low, mut high) = (0, values.len() - 1);
        loop {
            while values[low] < pivot {
                low += 1;
            }
            while values[high] > pivot {
                high -= 1;
            }
            if low >= high {
                break;
            }
            values.swap(low, high);
            low += 1;
            high -= 1;
        }
        let (first, rest) = values.split_at_mut(high + 1);
        sort_leaf(rest);
        values = first;
    }
    for i in 1..values.len() {
        let value = values[i];
        let mut place = i;
        while place > 0 && values[place - 1] > value {
            values[place] = values[place - 1];
            place -= 1;
        }
        values[place] = value;
    }
}

fn merge_leaf(mut a: &[u32], mut b: &[u32], to: &mut [u32]) {
    let mut place = 0;
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        if y < x {
            to[place] = y;
            b = &b[1..];
        } else {
            to[place] = x;
            a = &a[1..];
        }
        place += 1;
    }
    to[place..place + a.len()].copy_from_slice(a);
    to[place + a.len()..].copy_from_slice(b);
}

fn merge(a: &[u32], b: &[u32], to: &mut [u32]) {
    if a.len() + b.len() <= SORT_LEAF {
        return merge_leaf(a, b, to);
    }
    let (a, b) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let half = a.len() / 2;
    let first = b.partition_point(|value| *value < a[half]);
    let (low, high) = to.split_at_mut(half + first);
    rayon::join(|| merge(&a[..half], &b[..first], low), || merge(&a[half..], &b[first..], high));
}

fn sort(values: &mut [u32], room: &mut [u32]) {
    if values.len() <= SORT_LEAF {
        return sort_leaf(values);
    }
    let quarter = values.len() / 4;
    let half = 2 * quarter;
    {
        let (lower, upper) = values.split_at_mut(half);
        let (lower_room, upper_room) = room.split_at_mut(half);
        let sort_half = |values: &mut [u32], room: &mut [u32]| {
            let (a, b) = values.split_at_mut(quarter);
            let (a_room, b_room) = room.split_at_mut(quarter);
            rayon::join(|| sort(a, a_room), || sort(b, b_room));
            merge(a, b, room);
        };
        rayon::join(|| sort_half(lower, lower_room), || sort_half(upper, upper_room));
    }
    merge(&room[..half], &room[half..], values);
}

pub fn cilksort() -> Timed {
    let mut state = 1u64;
    let mut values: Vec<u32> = (0..SORT_COUNT)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 32) as u32
        })
        .collect();
    let sum = |values: &[u32]| values.iter().map(|value| u64::from(*value)).sum::<u64>();
    let before = sum(&values);
    // Its pages are there before the clock runs.
    let mut room = vec![1u32; SORT_COUNT];
    let start = Instant::now();
    sort(&mut values, &mut room);
    let elapsed = start.elapsed();
    if sum(&values) != before || values.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err("the numbers are not sorted".into());
    }
    Ok(elapsed)
}

const ITEMS: usize = 40;

struct Items {
    values: [i32; ITEMS],
    weights: [i32; ITEMS],
}

fn items() -> Items {
    let mut state = 1u32;
    let mut next = |limit: u32| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        ((state >> 16) % limit) as i32
    };
    let mut items = Items { values: [0; ITEMS], weights: [0; ITEMS] };
    for i in 0..ITEMS {
        let weight = 20 + next(60);
        let value = weight + next(30);
        let mut place = i;
        while place > 0 && items.values[place - 1] * weight < value * items.weights[place - 1] {
            items.values[place] = items.values[place - 1];
            items.weights[place] = items.weights[place - 1];
            place -= 1;
        }
        items.values[place] = value;
        items.weights[place] = weight;
    }
    items
}

fn fill(items: &Items, item: usize, room: i32, value: i32) -> (i32, u64) {
    if item == ITEMS || value + room * items.values[item] / items.weights[item] < 1440 {
        return (value, 1);
    }
    let (with, without) = rayon::join(
        || {
            if items.weights[item] > room {
                return (0, 0);
            }
            fill(items, item + 1, room - items.weights[item], value + items.values[item])
        },
        || fill(items, item + 1, room, value),
    );
    (with.0.max(without.0), with.1 + without.1 + 1)
}

pub fn knapsack() -> Timed {
    let items = items();
    let start = Instant::now();
    let (best, nodes) = fill(&items, 0, 1000, 0);
    let elapsed = start.elapsed();
    if best != 1470 || nodes != 1932731 {
        return Err(format!("best {best} of {nodes} nodes is wrong"));
    }
    Ok(elapsed)
}
