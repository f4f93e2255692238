// SPDX-License-Identifier: MIT
//! The load generators of weft's benchmarks (benchmarks/load/), which lie beside this program.

use crate::is_quick;
use std::time::Duration;

pub fn window() -> Duration {
    Duration::from_millis(if is_quick() { 500 } else { 1000 })
}

/// What one has printed: names and numbers in turn.
pub struct Printed(String);

impl Printed {
    pub fn figure(&self, name: &str) -> Result<f64, String> {
        let mut words = self.0.split_whitespace();
        words
            .find(|word| *word == name)
            .and_then(|_| words.next()?.parse().ok())
            .ok_or(format!("the load generator printed {:?}", self.0))
    }
}

/// Waits for it on the calling thread.
pub fn run(name: &str, arguments: &[String]) -> Result<Printed, String> {
    let program =
        std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(name);
    let done = std::process::Command::new(program)
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    Ok(Printed(String::from_utf8_lossy(&done.stdout).into_owned()))
}
