// SPDX-License-Identifier: MIT
//! Reads of a file, as benchmarks/harness/file_work.h describes them for the C programs.

use compio::fs::{File, OpenOptions};
use compio::io::AsyncReadAt;
use compio::runtime::Runtime;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Instant;
use weft_bench_harness::Sample;

const BLOCK: usize = 4096;
const BLOCKS: u64 = 16384;
const DEPTH: u64 = 64;
const READS_EACH: u64 = 8;
/// In a unit of the batch.
pub const READS: u64 = DEPTH * READS_EACH;
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200000 } else { 0o40000 };

/// Aligned as reads past the cache want it.
#[repr(align(4096))]
struct Content([u8; BLOCK]);

/// compio's reads own their buffers until they are done.
type Buffer = &'static mut [u8];

extern "C" {
    /// The C library's; the first word of what it fills in is the type of the file system.
    fn fstatfs(fd: i32, system: *mut [i64; 64]) -> i32;
}

/// Linux lets a file of tmpfs be opened with O_DIRECT, and then reads memory.
fn is_in_memory(file: &std::fs::File) -> bool {
    const TMPFS_MAGIC: i64 = 0x01021994;
    let mut system = [0; 64];
    // SAFETY: a struct statfs has 120 bytes, so the kernel writes within the array.
    let result = unsafe { fstatfs(file.as_raw_fd(), &mut system) };
    result == 0 && system[0] == TMPFS_MAGIC
}

/// A file of blocks that begin with their number, which has lost its name.
async fn make(is_direct: bool) -> std::io::Result<File> {
    let folder = std::env::var_os("BENCH_FOLDER").filter(|folder| !folder.is_empty());
    let folder = folder.map_or("/var/tmp".into(), std::path::PathBuf::from);
    let path = folder.join(format!("weft-bench-{}", std::process::id()));
    let made = std::fs::File::create_new(&path)?;
    if is_direct && is_in_memory(&made) {
        std::fs::remove_file(&path)?;
        let complaint = format!("{folder:?} is in memory: BENCH_FOLDER may name one on a disk");
        return Err(std::io::Error::other(complaint));
    }
    let mut out = std::io::BufWriter::new(made);
    let mut block = [0; BLOCK];
    let mut written = Ok(());
    for number in 0..BLOCKS {
        block[..8].copy_from_slice(&number.to_ne_bytes());
        written = written.and_then(|()| out.write_all(&block));
    }
    written = written.and_then(|()| out.flush()).and_then(|()| out.get_ref().sync_all());
    let mut options = OpenOptions::new();
    options.read(true);
    if is_direct {
        options.custom_flags(O_DIRECT);
    }
    let file = options.open(&path).await;
    std::fs::remove_file(&path)?;
    written.and(file)
}

/// The reads of one of them; returns how many were wrong, and the buffer.
async fn read_blocks(file: Rc<File>, mut random: u64, count: u64, mut buffer: Buffer)
    -> (u64, Buffer) {
    let mut wrong = 0;
    for _ in 0..count {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let number = (random >> 33) % BLOCKS;
        let (read, filled) = file.read_at(buffer, number * BLOCK as u64).await.into();
        let is_right = matches!(read, Ok(BLOCK)) && filled[..8] == number.to_ne_bytes();
        wrong += u64::from(!is_right);
        buffer = filled;
    }
    (wrong, buffer)
}

/// The file and the buffers of all samples of a process.
struct Readers {
    is_direct: bool,
    file: Rc<File>,
    buffers: Vec<Buffer>,
}

thread_local! {
    static READERS: std::cell::RefCell<Option<Readers>> = const { std::cell::RefCell::new(None) };
}

fn make_readers(runtime: &Runtime, is_direct: bool) -> Result<Readers, String> {
    let file = runtime.block_on(make(is_direct)).map_err(|error| error.to_string())?;
    let buffers = (0..DEPTH)
        .map(|_| -> Buffer { &mut Box::leak(Box::new(Content([0; BLOCK]))).0 })
        .collect();
    Ok(Readers { is_direct, file: Rc::new(file), buffers })
}

pub fn read(runtime: &Runtime, batch: u64, is_direct: bool) -> Result<Sample, String> {
    let kept = READERS.take().filter(|kept| kept.is_direct == is_direct);
    let mut readers = kept.map_or_else(|| make_readers(runtime, is_direct), Ok)?;
    let (file, mut free) = (readers.file.clone(), readers.buffers);
    let (wrong, elapsed, back) = runtime.block_on(async move {
        let start = Instant::now();
        let tasks: Vec<_> = (0..DEPTH)
            .zip(free.drain(..))
            .map(|(i, buffer)| {
                let count = batch * READS_EACH;
                compio::runtime::spawn(read_blocks(file.clone(), i + 1, count, buffer))
            })
            .collect();
        let mut wrong = 0;
        for task in tasks {
            match task.await {
                Ok((some, buffer)) => {
                    wrong += some;
                    free.push(buffer);
                }
                Err(_) => wrong += 1,
            }
        }
        (wrong, start.elapsed(), free)
    });
    readers.buffers = back;
    READERS.set(Some(readers));
    if wrong != 0 {
        return Err(format!("{wrong} reads were wrong"));
    }
    Ok(Sample::Elapsed(elapsed))
}
