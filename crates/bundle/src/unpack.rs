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
    let mut files = Vec::new();
    let mut directories = Vec::new();
    each_entry(packed, limits, &mut |entry| {
        for new in entry.new_directories {
            let place = directory.join(&new);
            tree::make(&place).map_err(BundleError::io(&place))?;
            directories.push(place);
        }
        let digest = write(entry.contents, &directory.join(entry.path), entry.bytes)?;
        files.push(FileEntry { path: entry.path.to_owned(), bytes: entry.bytes, digest });
        Ok(())
    })?;
    // The innermost first: one that is sealed takes no more.
    for place in directories.iter().rev().map(std::path::PathBuf::as_path).chain([directory]) {
        tree::seal(place).map_err(BundleError::io(place))?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Goes through the files of a bundle as they come, to its very end, without writing anything: `look` is given the path
/// of each and its contents, and may leave as much of them unread as it likes.
///
/// # Errors
/// The first thing that no bundle may have, or that cannot be read; another digest than `digest`.
pub fn read_through(
    packed: impl Read,
    digest: &str,
    limits: &Limits,
    look: &mut dyn FnMut(&str, &mut dyn Read),
) -> Result<(), BundleError> {
    let mut hashed = Hashed { inner: packed, hasher: Hasher::default() };
    each_entry(&mut hashed, limits, &mut |entry| {
        look(entry.path, entry.contents);
        std::io::copy(entry.contents, &mut std::io::sink()).map_err(unreadable)?;
        Ok(())
    })?;
    // What the decoder did not need.
    std::io::copy(&mut hashed, &mut std::io::sink()).map_err(unreadable)?;
    let found = hashed.hasher.finish();
    if found == digest { Ok(()) } else { Err(BundleError::WrongDigest { wanted: digest.to_owned(), found }) }
}

/// A file of a bundle as it comes.
struct Entry<'a> {
    path: &'a str,
    bytes: u64,
    /// The directories that it is the first to lie in, the outermost first.
    new_directories: Vec<String>,
    contents: &'a mut dyn Read,
}

fn each_entry(
    packed: impl Read,
    limits: &Limits,
    take: &mut dyn FnMut(Entry<'_>) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    // However little came in, no more than this comes out of the decoder.
    let tar_bytes = Counted { inner: GzDecoder::new(packed).take(limits.tar_bytes()), count: 0 };
    let mut archive = tar::Archive::new(tar_bytes);
    let mut names = Names::default();
    let mut left_bytes = limits.unpacked_bytes;
    let mut expected_bytes = TAR_END_BYTES;
    // Raw: extensions of the form, which can hold names and sizes of any length, are entries like any other, and are
    // refused like any other.
    for (count, entry) in (0u32..).zip(archive.entries().map_err(unreadable)?.raw(true)) {
        let mut entry = entry.map_err(unreadable)?;
        let path = path_of(entry.header())?;
        check_kind(entry.header().entry_type(), &path)?;
        if count >= limits.files {
            return Err(BundleError::TooManyFiles { limit: limits.files });
        }
        let bytes = entry.header().entry_size().map_err(unreadable)?;
        left_bytes =
            left_bytes.checked_sub(bytes).ok_or(BundleError::TooLarge { limit_bytes: limits.unpacked_bytes })?;
        expected_bytes += TAR_BLOCK_BYTES + bytes.next_multiple_of(TAR_BLOCK_BYTES);
        let new_directories = names.add(&path)?;
        take(Entry { path: &path, bytes, new_directories, contents: &mut entry })?;
    }
    let mut rest = archive.into_inner();
    check_end(&mut rest)?;
    if rest.count < expected_bytes { Err(BundleError::Truncated) } else { Ok(()) }
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
fn write(contents: &mut dyn Read, place: &Path, bytes: u64) -> Result<String, BundleError> {
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

/// A reader that makes the digest of what goes through it.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest_of, pack_directory};

    fn packed() -> Vec<u8> {
        let directory = nuncius_testkit::TempDir::new("read-through").unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        for (path, text) in [("experiment.yaml", "groups: []"), ("a.csv", "1\n2\n"), ("d/b.csv", &"x".repeat(200_000))]
        {
            std::fs::write(directory.path().join(path), text).unwrap();
        }
        pack_directory(directory.path(), "shop", &Limits::default()).unwrap().bytes
    }

    #[test]
    fn files_are_read_as_they_come_and_the_bundle_to_its_end() {
        let packed = packed();
        let mut seen = Vec::new();
        let digest = digest_of(&packed);
        read_through(packed.as_slice(), &digest, &Limits::default(), &mut |path, contents| {
            let mut begin = [0; 4];
            let read = contents.read(&mut begin).unwrap();
            seen.push((path.to_owned(), String::from_utf8_lossy(&begin[..read]).into_owned()));
        })
        .unwrap();
        seen.sort();
        let expected = [("a.csv", "1\n2\n"), ("d/b.csv", "xxxx"), ("experiment.yaml", "grou")];
        assert_eq!(seen, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }

    #[test]
    fn one_that_is_damaged_or_another_is_refused_though_the_file_was_read() {
        let packed = packed();
        let mut nothing = |_: &str, _: &mut dyn Read| {};
        let other = digest_of(b"other");
        let refused = read_through(packed.as_slice(), &other, &Limits::default(), &mut nothing).unwrap_err();
        assert!(matches!(refused, BundleError::WrongDigest { .. }), "{refused}");
        let cut = packed.get(..packed.len() - 20).unwrap();
        assert!(read_through(cut, &digest_of(&packed), &Limits::default(), &mut nothing).is_err());
        let small = Limits { unpacked_bytes: 1_000, ..Limits::default() };
        let refused = read_through(packed.as_slice(), &digest_of(&packed), &small, &mut nothing).unwrap_err();
        assert!(matches!(refused, BundleError::TooLarge { .. }), "{refused}");
    }
}
