// SPDX-License-Identifier: MIT
//! The same calibration, options and output as harness/bench.c, so that the driver can treat every
//! program alike.  `H` is what runs a peer's tasks: its runtime, or its pool.

pub mod echo;
mod load;
pub mod round;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SAMPLE_MIN: Duration = Duration::from_millis(20);
const SAMPLE_MIN_QUICK: Duration = Duration::from_millis(5);
const SAMPLING_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq)]
pub enum Metric {
    NsPerOp,
    Seconds,
    BytesPerFiber,
    /// One run gives several metrics by their names.
    Report,
}

pub struct Report {
    pub metric: &'static str,
    pub is_higher_better: bool,
    pub value: f64,
}

/// What one run of a benchmark measured.
pub enum Sample {
    Elapsed(Duration),
    Value(f64),
    Reports(Vec<Report>),
}

/// A clock that one task starts and another one stops.
#[derive(Default)]
pub struct Span {
    started: OnceLock<Instant>,
    elapsed: OnceLock<Duration>,
}

impl Span {
    pub fn start(&self) {
        let _ = self.started.set(Instant::now());
    }

    pub fn stop(&self) {
        let _ = self.elapsed.set(self.started.get().map_or(Duration::ZERO, Instant::elapsed));
    }

    /// Of one that was stopped.
    pub fn elapsed(&self) -> Duration {
        self.elapsed.get().copied().unwrap_or_default()
    }
}

/// Whether a shorter window will do.
pub fn is_quick() -> bool {
    std::env::args().any(|arg| arg == "--quick")
}

pub struct Benchmark<H> {
    pub name: &'static str,
    pub metric: Metric,
    pub workers: usize,
    pub ops: u64,
    /// Does so many operations on so many workers, and fails if the work was not done.
    pub run: fn(&H, u64) -> Result<Sample, String>,
}

/// A row of a table; the names are those of weft's benchmarks.
pub const fn bench<H>(
    name: &'static str,
    metric: Metric,
    workers: usize,
    ops: u64,
    run: fn(&H, u64) -> Result<Sample, String>,
) -> Benchmark<H> {
    Benchmark { name, metric, workers, ops, run }
}

/// The program: whose it is, and how its host of so many workers is made.
struct Program<H> {
    implementation: &'static str,
    build: fn(usize) -> Result<H, String>,
}

impl<H> Benchmark<H> {
    fn convert(&self, sample: Sample, batch: u64) -> f64 {
        match (sample, self.metric) {
            (Sample::Elapsed(time), Metric::NsPerOp) => {
                time.as_nanos() as f64 / (batch * self.ops) as f64
            }
            (Sample::Elapsed(time), _) => time.as_secs_f64(),
            (Sample::Value(value), _) => value,
            (Sample::Reports(_), _) => f64::NAN,
        }
    }

    fn calibrate(&self, host: &H, wanted: Duration) -> Result<u64, String> {
        let mut batch = 1;
        let mut was_long_enough = false;
        loop {
            let Sample::Elapsed(elapsed) = (self.run)(host, batch)? else {
                return Ok(1);
            };
            let is_long_enough = elapsed >= wanted;
            if is_long_enough && was_long_enough {
                return Ok(batch);
            }
            was_long_enough = is_long_enough;
            if is_long_enough {
                continue;
            }
            let exact = 1.2 * wanted.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            batch = (batch as f64 * exact.min(10.0)) as u64 + 1;
        }
    }

    fn measure(&self, program: &Program<H>, samples: usize, quick: bool)
        -> Result<String, String> {
        let host = (program.build)(self.workers)?;
        let implementation = program.implementation;
        let wanted = if quick { SAMPLE_MIN_QUICK } else { SAMPLE_MIN };
        let batch =
            if self.metric == Metric::NsPerOp { self.calibrate(&host, wanted)? } else { 1 };
        if self.metric == Metric::Report {
            let Sample::Reports(reports) = (self.run)(&host, batch)? else {
                return Err("no reports".into());
            };
            let lines: Vec<String> = reports
                .iter()
                .map(|r| self.to_json(implementation, r.metric, r.is_higher_better, &[r.value]))
                .collect();
            return Ok(lines.join("\n"));
        }
        if self.metric == Metric::Seconds {
            (self.run)(&host, batch)?; // to warm up: who takes long has no other than the next
        }
        let count = if self.metric == Metric::BytesPerFiber { 1 } else { samples };
        let mut values = Vec::with_capacity(count);
        let mut spent = Duration::ZERO;
        while values.len() < count && spent < SAMPLING_MAX {
            let sample = (self.run)(&host, batch)?;
            if let Sample::Elapsed(time) = sample {
                spent += time;
            }
            values.push(self.convert(sample, batch));
        }
        let metric = match self.metric {
            Metric::NsPerOp => "ns_per_op",
            Metric::Seconds => "s",
            Metric::BytesPerFiber => "bytes_per_fiber",
            Metric::Report => "report",
        };
        Ok(self.to_json(implementation, metric, false, &values))
    }

    fn to_json(
        &self,
        implementation: &str,
        metric: &str,
        is_higher_better: bool,
        values: &[f64],
    ) -> String {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let samples: Vec<String> = values.iter().map(f64::to_string).collect();
        format!(
            "{{\"bench\":\"{}\",\"metric\":\"{}\",\"impl\":\"{implementation}\",\"workers\":{},\
             \"better\":\"{}\",\"median\":{},\"min\":{},\"max\":{},\"n\":{},\"samples\":[{}]}}",
            self.name,
            metric,
            self.workers,
            if is_higher_better { "higher" } else { "lower" },
            (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
            sorted[0],
            sorted[n - 1],
            n,
            samples.join(",")
        )
    }
}

/// Bytes resident, page tables included, as harness/bench.c reads them.
pub fn resident_bytes() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let total: f64 = status
        .lines()
        .filter(|line| line.starts_with("VmRSS:") || line.starts_with("VmPTE:"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum();
    if total > 0.0 { Ok(total * 1024.0) } else { Err("no VmRSS".into()) }
}

/// A star matches any characters, slashes too.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    match glob.first() {
        None => name.is_empty(),
        Some(b'*') => {
            matches(&glob[1..], name) || (!name.is_empty() && matches(glob, &name[1..]))
        }
        Some(b'?') => !name.is_empty() && matches(&glob[1..], &name[1..]),
        Some(c) => name.first() == Some(c) && matches(&glob[1..], &name[1..]),
    }
}

struct Options {
    list: bool,
    quick: bool,
    samples: usize,
    globs: Vec<String>,
}

fn parse_options() -> Result<Options, String> {
    let mut options = Options { list: false, quick: false, samples: 5, globs: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--list" => options.list = true,
            "--quick" => options.quick = true,
            "--only" => options.globs.push(value()?),
            "--samples" => {
                options.samples = value()?.parse().map_err(|_| "--samples wants a number")?;
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    if options.samples == 0 {
        return Err("--samples wants at least 1".into());
    }
    Ok(options)
}

/// Returns the exit status.
pub fn run<H>(
    implementation: &'static str,
    build: fn(usize) -> Result<H, String>,
    benchmarks: &[Benchmark<H>],
) -> i32 {
    let program = Program { implementation, build };
    let options = match parse_options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return 2;
        }
    };
    let is_wanted = |name: &str| {
        options.globs.is_empty()
            || options.globs.iter().any(|glob| matches(glob.as_bytes(), name.as_bytes()))
    };
    let wanted: Vec<&Benchmark<H>> = benchmarks.iter().filter(|b| is_wanted(b.name)).collect();
    if wanted.is_empty() {
        eprintln!("no benchmark matches");
        return 2;
    }
    let mut status = 0;
    for benchmark in wanted {
        if options.list {
            println!("{}", benchmark.name);
            continue;
        }
        match benchmark.measure(&program, options.samples, options.quick) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{} ({implementation}): FAILED: {error}", benchmark.name);
                status = 1;
            }
        }
    }
    status
}
