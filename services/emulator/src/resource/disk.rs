//! Files that are written and kept, in a directory that is claimed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, fdatasync, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::group::{Gauge, HoldError};
use super::ladder::{Counts, DISK, Plan};
use super::noise::Noise;

mod claim;
mod load;

pub(crate) use claim::sweep;
pub(crate) use load::Rates;

use claim::Claim;
use load::Load;

/// So much is written at a time, in bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// The directory of the part that is smaller than the smallest size.
const REST: &str = "d-rest";

/// What is held.
#[derive(Debug)]
pub(crate) struct Disk {
    data_directory: PathBuf,
    claim: Option<Claim>,
    rest_bytes: u64,
    load: Option<Load>,
    noise: Noise,
    block: Vec<u8>,
}

impl Disk {
    /// Nothing yet; the directory is made when the first file is.
    pub(crate) fn new(data_directory: PathBuf) -> Self {
        let noise = Noise::new(fastrand::u64(..));
        Self { data_directory, claim: None, rest_bytes: 0, load: None, noise, block: Vec::new() }
    }

    /// What is there, as files: looked up, not remembered.
    pub(crate) fn plan(&self) -> Plan {
        let Some(claim) = &self.claim else { return Plan::default() };
        let mut counts = Counts::default();
        for (count, size_bytes) in counts.iter_mut().zip(DISK.sizes_bytes()) {
            let directory = open_directory(&claim.directory, &directory_of(size_bytes));
            *count = directory.and_then(|directory| numbers(&directory)).map_or(0, |numbers| numbers.len() as u64);
        }
        Plan { counts, rest_bytes: self.rest_there() }
    }

    /// The part that is smaller than the smallest size, as it is there, in bytes.
    fn rest_there(&self) -> u64 {
        let Some(claim) = &self.claim else { return 0 };
        let found = open_directory(&claim.directory, REST)
            .and_then(|rest| Ok(statat(&rest, file_of(1), AtFlags::SYMLINK_NOFOLLOW)?));
        found.ok().and_then(|found| u64::try_from(found.st_size).ok()).unwrap_or(0)
    }

    /// What is there, told to the gauge, too.
    pub(crate) fn look_up(&self, gauge: &Gauge) -> Plan {
        let plan = self.plan();
        gauge.held.store(DISK.total_bytes(&plan), Relaxed);
        plan
    }

    /// Removes and writes files until this plan is held, then reads and writes at `rates`. What was written before an
    /// error stays, but for the file that could not be finished.
    ///
    /// # Errors
    /// Of `may_grow`, which is asked before every file; [`HoldError::Disk`]; [`HoldError::Cancelled`].
    pub(crate) fn hold(
        &mut self,
        wanted: &Plan,
        rates: Rates,
        gauge: &Arc<Gauge>,
        may_grow: impl Fn(u64) -> Result<(), HoldError>,
    ) -> Result<(), HoldError> {
        // Nothing is moved under its feet, and what it was told may have changed.
        self.load = None;
        if *wanted == Plan::default() && !rates.is_load() {
            self.claim = None;
            self.rest_bytes = 0;
            self.look_up(gauge);
            return Ok(());
        }
        let result = self.shrink_and_grow(wanted, rates.sync, gauge, may_grow);
        self.look_up(gauge);
        result?;
        if let Some(claim) = &self.claim
            && rates.is_load()
        {
            self.load = Some(Load::start(claim, rates, Arc::clone(gauge))?);
        }
        Ok(())
    }

    fn shrink_and_grow(
        &mut self,
        wanted: &Plan,
        sync: bool,
        gauge: &Gauge,
        may_grow: impl Fn(u64) -> Result<(), HoldError>,
    ) -> Result<(), HoldError> {
        // A directory that others removed is there as long as it is open, but holds nothing any more.
        if self.claim.as_ref().is_some_and(|claim| fstat(&claim.directory).is_ok_and(|found| found.st_nlink == 0)) {
            self.claim = None;
        }
        if self.claim.is_none() {
            self.claim = Some(Claim::make(&self.data_directory)?);
        }
        self.rest_bytes = self.rest_there();
        let Self { claim: Some(claim), rest_bytes, noise, block, .. } = self else { return Ok(()) };
        let failed = |path: String| move |source: io::Error| HoldError::Disk { path, source };
        let within = |name: &str| claim.path.join(name).display().to_string();
        let mut growing = Vec::new();
        for (wanted, size_bytes) in wanted.counts.into_iter().zip(DISK.sizes_bytes()) {
            let name = directory_of(size_bytes);
            let made = make_directory(&claim.directory, &name).map_err(failed(within(&name)))?;
            let mut there = numbers(&made).map_err(failed(within(&name)))?;
            while there.len() as u64 > wanted {
                let Some(number) = there.pop() else { break };
                remove_file(&made, &file_of(number)).map_err(failed(within(&name)))?;
            }
            growing.push((made, name, there, wanted, size_bytes));
        }
        if *rest_bytes != wanted.rest_bytes && *rest_bytes > 0 {
            let made = make_directory(&claim.directory, REST).map_err(failed(within(REST)))?;
            remove_file(&made, &file_of(1)).map_err(failed(within(REST)))?;
            *rest_bytes = 0;
        }
        let mut write = |directory: &OwnedFd, name: &str, number: u64, size_bytes: u64| {
            may_grow(size_bytes)?;
            let file = file_of(number);
            let written = create(directory, &file)
                .map_err(failed(within(name)))
                .and_then(|opened| write_file(opened, size_bytes, sync, noise, block, gauge, &within(name)));
            if written.is_err() {
                let _ = remove_file(directory, &file);
            }
            written
        };
        for (directory, name, there, wanted, size_bytes) in growing {
            let mut last = there.last().copied().unwrap_or(0);
            for _ in there.len() as u64..wanted {
                last += 1;
                write(&directory, &name, last, size_bytes)?;
            }
        }
        if *rest_bytes != wanted.rest_bytes {
            let made = make_directory(&claim.directory, REST).map_err(failed(within(REST)))?;
            write(&made, REST, 1, wanted.rest_bytes)?;
            *rest_bytes = wanted.rest_bytes;
        }
        Ok(())
    }
}

fn directory_of(size_bytes: u64) -> String {
    format!("d-{size_bytes}")
}

fn file_of(number: u64) -> String {
    format!("f-{number}")
}

/// A directory below another, never through a link.
fn open_directory(below: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(below, name, flags, Mode::empty())?)
}

fn make_directory(below: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(below.as_fd(), name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => open_directory(below, name),
        Err(error) => Err(error.into()),
    }
}

fn create(directory: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(File::from(openat(directory, name, flags, Mode::from_raw_mode(0o644))?))
}

fn remove_file(directory: impl AsFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether an entry is of this type; a link is not of the type of what it leads to.
fn is_a(directory: impl AsFd, entry: &DirEntry, wanted: FileType) -> bool {
    let found = match entry.file_type() {
        // Some file systems do not say.
        FileType::Unknown => statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
        told => told,
    };
    found == wanted
}

/// Numbers of the regular files `f-<number>`, in their order.
fn numbers(directory: impl AsFd) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        let number = name.strip_prefix("f-").and_then(|number| number.parse().ok());
        if let (true, Some(number)) = (is_a(&directory, &entry, FileType::RegularFile), number) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn write_file(
    mut file: File,
    size_bytes: u64,
    sync: bool,
    noise: &mut Noise,
    block: &mut Vec<u8>,
    gauge: &Gauge,
    path: &str,
) -> Result<(), HoldError> {
    let failed = |source: io::Error| HoldError::Disk { path: path.to_owned(), source };
    let mut left = size_bytes;
    while left > 0 {
        if gauge.cancel.load(Relaxed) {
            return Err(HoldError::Cancelled);
        }
        block.resize(usize::try_from(left).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES), 0);
        noise.fill(block);
        file.write_all(block).map_err(failed)?;
        left -= block.len() as u64;
        gauge.held.fetch_add(block.len() as u64, Relaxed);
        gauge.written.fetch_add(block.len() as u64, Relaxed);
    }
    if sync {
        fdatasync(&file).map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
