//! From a bundle to a tree of files. Nothing that a bundle says of itself is believed: where its files lie, what they
//! are, how many and how large.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use flate2::read::GzDecoder;
use tar::EntryType;

use crate::digest::{BLOCK_BYTES, Hasher};
use crate::limits::END_MAX_BYTES;
use crate::manifest::FileEntry;
use crate::names::Names;
use crate::{BundleError, Limits, tree};

/// Permissions of every file, whatever the bundle says.
const FILE_MODE: u32 = 0o444;
/// Bytes of a block of a tar file.
const TAR_BLOCK_BYTES: u64 = 512;
/// Bytes of the two empty blocks at the end of one.
const TAR_END_BYTES: u64 = 2 * TAR_BLOCK_BYTES;
/// Characters of a name that errors show.
const SHOWN_CHARACTERS: usize = 200;

/// Unpacks a bundle into `directory`, which it makes. Files are read only (0444), directories, too (0555). Returns the
/// files in the order of their paths.
///
/// # Errors
/// The first thing that no bundle may have, or that the system refuses; then `directory` is not there.
pub fn unpack(packed: impl Read, directory: &Path, limits: &Limits) -> Result<Vec<FileEntry>, BundleError> {
    tree::make(directory).map_err(BundleError::io(directory))?;
    let unpacked = unpack_into(packed, directory, limits);
    if unpacked.is_err() {
        let _ = tree::remove(directory);
    }
    unpacked
}

fn unpack_into(packed: impl Read, directory: &Path, limits: &Limits) -> Result<Vec<FileEntry>, BundleError> {
    // However little came in, no more than this comes out of the decoder.
    let tar_bytes = Counted { inner: GzDecoder::new(packed).take(limits.tar_bytes()), count: 0 };
    let mut archive = tar::Archive::new(tar_bytes);
    let mut files = Vec::new();
    let mut names = Names::default();
    let mut directories = Vec::new();
    let mut left_bytes = limits.unpacked_bytes;
    let mut expected_bytes = TAR_END_BYTES;
    // Raw: extensions of the form, which can hold names and sizes of any length, are entries like any other, and are
    // refused like any other.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let path = path_of(entry.header())?;
        check_kind(entry.header().entry_type(), &path)?;
        if files.len() >= limits.files as usize {
            return Err(BundleError::TooManyFiles { limit: limits.files });
        }
        let bytes = entry.header().entry_size().map_err(unreadable)?;
        left_bytes =
            left_bytes.checked_sub(bytes).ok_or(BundleError::TooLarge { limit_bytes: limits.unpacked_bytes })?;
        expected_bytes += TAR_BLOCK_BYTES + bytes.next_multiple_of(TAR_BLOCK_BYTES);
        for new in names.add(&path)? {
            let place = directory.join(&new);
            tree::make(&place).map_err(BundleError::io(&place))?;
            directories.push(place);
        }
        let digest = write(&mut entry, &directory.join(&path), bytes)?;
        files.push(FileEntry { path, bytes, digest });
    }
    let mut rest = archive.into_inner();
    check_end(&mut rest)?;
    if rest.count < expected_bytes {
        return Err(BundleError::Truncated);
    }
    // The innermost first: one that is sealed takes no more.
    for place in directories.iter().rev().map(std::path::PathBuf::as_path).chain([directory]) {
        tree::seal(place).map_err(BundleError::io(place))?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The path that a header has, as it is written.
fn path_of(header: &tar::Header) -> Result<String, BundleError> {
    let bytes = header.path_bytes();
    match std::str::from_utf8(&bytes) {
        Ok(path) => Ok(path.to_owned()),
        Err(_) => Err(BundleError::NotUtf8 { name: shown(&String::from_utf8_lossy(&bytes)) }),
    }
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARACTERS).collect::<String>().escape_debug().to_string()
}

fn check_kind(kind: EntryType, path: &str) -> Result<(), BundleError> {
    let kind = match kind {
        EntryType::Regular => return Ok(()),
        EntryType::Link => "a link to a file",
        EntryType::Symlink => "a symbolic link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::Directory => "a directory of its own",
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader => {
            "an extension of the form"
        }
        // The enum of the library may grow.
        _ => "something else",
    };
    Err(BundleError::NoFile { path: shown(path), kind })
}

/// Writes a file, which must not be there, and returns the digest of its contents.
fn write(contents: &mut impl Read, place: &Path, bytes: u64) -> Result<String, BundleError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(place);
    let mut file = opened.map_err(BundleError::io(place))?;
    let mut hasher = Hasher::default();
    let mut block = vec![0; BLOCK_BYTES];
    let mut written_bytes = 0;
    loop {
        let read = contents.read(&mut block).map_err(unreadable)?;
        let Some(read) = block.get(..read).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        file.write_all(read).map_err(BundleError::io(place))?;
        written_bytes += read.len() as u64;
    }
    if written_bytes != bytes {
        return Err(BundleError::Truncated);
    }
    // Whatever the mask of the process is.
    fs::set_permissions(place, Permissions::from_mode(FILE_MODE)).map_err(BundleError::io(place))?;
    Ok(hasher.finish())
}

/// Reads to the very end, where gzip has its checksum. There are empty blocks, and not many.
fn check_end(rest: &mut impl Read) -> Result<(), BundleError> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut count = 0;
    loop {
        let read = rest.read(&mut block).map_err(unreadable)?;
        let Some(read) = block.get(..read).filter(|read| !read.is_empty()) else { return Ok(()) };
        count += read.len() as u64;
        if count > END_MAX_BYTES || read.iter().any(|byte| *byte != 0) {
            return Err(BundleError::Unreadable { reason: "something follows its end".to_owned() });
        }
    }
}

fn unreadable(error: std::io::Error) -> BundleError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => BundleError::Truncated,
        _ => BundleError::Unreadable { reason: error.to_string() },
    }
}

/// A reader that counts.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}
