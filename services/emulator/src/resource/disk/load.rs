//! Steady reading and writing while files are held, in a thread of its own.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, Mode, OFlags, fadvise, fdatasync, openat};

use super::claim::{Claim, LOAD};
use super::{BLOCK_BYTES, create, directory_of, file_of, numbers, open_directory, remove_file};
use crate::resource::group::{Gauge, HoldError};
use crate::resource::ladder::DISK;
use crate::resource::noise::Noise;

/// The file that is written over and over, in bytes.
pub(crate) const FILE_BYTES: u64 = 16 << 20;
/// How often it catches up with its rates.
const TICK: Duration = Duration::from_millis(50);
/// So much of the past is made up for where the disk was too slow.
const ARREARS: Duration = Duration::from_secs(1);

/// How much is read and written while files are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rates {
    /// Bytes written a second.
    pub(crate) write_bytes: u64,
    /// Bytes read a second.
    pub(crate) read_bytes: u64,
    /// Whether what is written goes to the medium at once.
    pub(crate) sync: bool,
}

impl Rates {
    /// Whether there is anything to do.
    pub(crate) fn is_load(self) -> bool {
        self.write_bytes > 0 || self.read_bytes > 0
    }
}

/// A thread that reads and writes until it is dropped.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts it.
    ///
    /// # Errors
    /// [`HoldError::Thread`], [`HoldError::Disk`].
    pub(super) fn start(claim: &Claim, rates: Rates, gauge: Arc<Gauge>) -> Result<Self, HoldError> {
        let failed = |source| HoldError::Disk { path: claim.path.display().to_string(), source };
        let directory = claim.directory.try_clone().map_err(failed)?;
        let path = claim.path.display().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let run = move || {
            if let Err(source) = drive(&directory, rates, &gauge, &told) {
                gauge.fail(HoldError::Disk { path, source }.to_string());
            }
        };
        let thread = std::thread::Builder::new().name("disk-load".to_owned()).spawn(run).map_err(HoldError::Thread)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// What is due of a rate.
struct Due {
    bytes_per_second: u64,
    due: f64,
}

impl Due {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, due: 0.0 }
    }

    fn add(&mut self, passed: Duration) {
        let rate = self.bytes_per_second as f64;
        self.due = (self.due + rate * passed.as_secs_f64()).min(rate * ARREARS.as_secs_f64());
    }

    fn is_due(&self) -> bool {
        self.due >= 1.0
    }

    /// The next block, in bytes; less than a whole one only where no more is due.
    fn take(&mut self) -> Option<usize> {
        let bytes = (self.due as usize).min(BLOCK_BYTES);
        self.due -= bytes as f64;
        (bytes > 0).then_some(bytes)
    }
}

fn drive(directory: &OwnedFd, rates: Rates, gauge: &Gauge, stop: &AtomicBool) -> io::Result<()> {
    let mut noise = Noise::new(fastrand::u64(..));
    let mut block = vec![0; BLOCK_BYTES];
    let (mut writing, mut reading) = (Due::new(rates.write_bytes), Due::new(rates.read_bytes));
    let written = if rates.write_bytes > 0 { Some(fresh_file(directory)?) } else { None };
    let mut write_at = 0;
    let mut source = Source::default();
    let mut last = Instant::now();
    while !stop.load(Relaxed) {
        if !writing.is_due() && !reading.is_due() {
            std::thread::park_timeout(TICK);
        }
        let now = Instant::now();
        writing.add(now - last);
        reading.add(now - last);
        last = now;
        let (mut has_written, mut has_moved) = (false, true);
        // By turns, and not for ever: neither rate starves the other, nor the medium, where the disk cannot keep up.
        while has_moved && now.elapsed() < TICK && !stop.load(Relaxed) {
            has_moved = false;
            if let Some(file) = &written
                && let Some(part) = writing.take().and_then(|bytes| block.get_mut(..bytes))
            {
                noise.fill(part);
                file.write_all_at(part, write_at)?;
                write_at = (write_at + part.len() as u64) % FILE_BYTES;
                gauge.written.fetch_add(part.len() as u64, Relaxed);
                (has_written, has_moved) = (true, true);
            }
            if let Some(part) = reading.take().and_then(|bytes| block.get_mut(..bytes)) {
                let read = source.read(directory, part)?;
                gauge.read.fetch_add(read as u64, Relaxed);
                has_moved |= read > 0;
            }
        }
        if let Some(file) = written.as_ref().filter(|_| has_written && rates.sync) {
            fdatasync(file)?;
        }
    }
    Ok(())
}

fn fresh_file(directory: &OwnedFd) -> io::Result<File> {
    remove_file(directory, LOAD)?;
    create(directory, LOAD)
}

/// The files that are there, one after the other and over again.
#[derive(Default)]
struct Source {
    waiting: Vec<(String, String)>,
    open: Option<(File, u64)>,
}

impl Source {
    /// Reads on; 0 where there is nothing to read.
    fn read(&mut self, directory: &OwnedFd, part: &mut [u8]) -> io::Result<usize> {
        for _ in 0..2 {
            if let Some((file, at)) = &mut self.open {
                let read = file.read_at(part, *at)?;
                *at += read as u64;
                if read > 0 {
                    return Ok(read);
                }
                self.open = None;
            }
            self.open_next(directory)?;
        }
        Ok(0)
    }

    fn open_next(&mut self, directory: &OwnedFd) -> io::Result<()> {
        if self.waiting.is_empty() {
            self.waiting.push((".".to_owned(), LOAD.to_owned()));
            for name in DISK.sizes_bytes().map(directory_of) {
                let numbers = open_directory(directory, &name).and_then(numbers).unwrap_or_default();
                self.waiting.extend(numbers.into_iter().map(|number| (name.clone(), file_of(number))));
            }
        }
        // Largest first, and the load's own last.
        while let Some((within, name)) = self.waiting.pop() {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = open_directory(directory, &within)?;
            match openat(&below, name.as_str(), flags, Mode::empty()) {
                Ok(file) => {
                    // Read from the medium and not from the cache, as far as the system lets go of it.
                    let _ = fadvise(&file, 0, None, Advice::DontNeed);
                    self.open = Some((File::from(file), 0));
                    return Ok(());
                }
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
