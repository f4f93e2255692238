// SPDX-License-Identifier: MIT
//! rayon's join and its pool, for rayon.c: what it needs besides is C, and can be inlined there.

use std::ffi::{c_int, c_uint, c_void};

/// What runs on another thread is a frame of one that waits for it.
#[derive(Clone, Copy)]
struct Frame(*mut c_void);

unsafe impl Send for Frame {}

impl Frame {
    fn address(self) -> *mut c_void {
        self.0
    }
}

/// Does both, on two threads if there is one that has nothing to do.
#[no_mangle]
pub extern "C" fn template_rayon_join(
    run: extern "C" fn(*mut c_void),
    low: *mut c_void,
    high: *mut c_void,
) {
    let (low, high) = (Frame(low), Frame(high));
    rayon::join(move || run(low.address()), move || run(high.address()));
}

/// Calls `run` inside a pool of so many workers; -1 if there are no threads for it.
#[no_mangle]
pub extern "C" fn template_rayon_install(
    workers: c_uint,
    run: extern "C" fn(*mut c_void) -> c_int,
    arg: *mut c_void,
) -> c_int {
    let arg = Frame(arg);
    match rayon::ThreadPoolBuilder::new().num_threads(workers as usize).build() {
        Ok(pool) => pool.install(move || run(arg.address())),
        Err(_) => -1,
    }
}
