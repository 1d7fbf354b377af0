//! Zip archives as Galileo's applications travel in: read with every guard, written without compression.

use std::io::{Read, Write};
use std::path::Path;

use flate2::read::DeflateDecoder;
use nuncius_schemas::bundle::{FILES_MAX, UNPACKED_MAX_BYTES, check_path};

use crate::error::{BundleError, ZipError};

/// What the end of an archive begins with.
const END: u32 = 0x0605_4b50;
/// What an entry of its list begins with.
const LISTED: u32 = 0x0201_4b50;
/// What a file begins with.
const LOCAL: u32 = 0x0403_4b50;
/// Bytes of the end, without its comment.
const END_BYTES: usize = 22;
/// Bytes of an entry of the list, without its texts.
const LISTED_BYTES: usize = 46;
/// Bytes before a file, without its texts.
const LOCAL_BYTES: usize = 30;
/// Longest comment at the end.
const COMMENT_MAX: usize = 65_535;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipFile {
    /// Its path.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Writes the files of an archive below `place`, which is made; of an archive with one directory at its root what is in
/// that. Returns their paths.
///
/// # Errors
/// What is no archive, or has what no application may have; what cannot be written.
pub fn unpack_zip(archive: &[u8], place: &Path) -> Result<Vec<String>, BundleError> {
    let mut files = read_zip(archive)?;
    let root = files.first().and_then(|file| file.path.split_once('/')).map(|(root, _)| format!("{root}/"));
    if let Some(root) = root.filter(|root| files.iter().all(|file| file.path.starts_with(root.as_str()))) {
        for file in &mut files {
            file.path.drain(..root.len());
        }
    }
    std::fs::create_dir_all(place).map_err(BundleError::io(place))?;
    for file in &files {
        let path = place.join(&file.path);
        put(&path, &file.bytes).map_err(BundleError::io(&path))?;
    }
    Ok(files.into_iter().map(|file| file.path).collect())
}

/// Writes a file whose path was checked.
fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::File::create(path)?.write_all(bytes)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
}

fn is_at(bytes: &[u8], at: usize, wanted: u32) -> bool {
    number(bytes, at, 4) == usize::try_from(wanted).ok()
}

/// The files of an archive, without directories.
///
/// # Errors
/// What is no archive, or has what no application may have.
pub fn read_zip(archive: &[u8]) -> Result<Vec<ZipFile>, ZipError> {
    let broken = || ZipError::NoArchive;
    let last = archive.len().checked_sub(END_BYTES).ok_or_else(broken)?;
    let first = last.saturating_sub(COMMENT_MAX);
    let end = (first..=last).rev().find(|at| is_at(archive, *at, END)).ok_or_else(broken)?;
    let count = number(archive, end + 10, 2).ok_or_else(broken)?;
    let mut at = number(archive, end + 16, 4).ok_or_else(broken)?;
    if count > FILES_MAX as usize {
        return Err(ZipError::TooManyFiles { count });
    }
    let mut left_bytes = UNPACKED_MAX_BYTES;
    let mut files: Vec<ZipFile> = Vec::new();
    for _ in 0..count {
        if !is_at(archive, at, LISTED) {
            return Err(broken());
        }
        let field = |offset: usize, length: usize| number(archive, at + offset, length).ok_or_else(broken);
        let (method, packed) = (field(10, 2)?, field(20, 4)?);
        let (name, extra, comment) = (field(28, 2)?, field(30, 2)?, field(32, 2)?);
        let place = field(42, 4)?;
        let path = archive.get(at + LISTED_BYTES..at + LISTED_BYTES + name).ok_or_else(broken)?;
        let path = std::str::from_utf8(path).map_err(|_| ZipError::NotUtf8)?.to_owned();
        at += LISTED_BYTES + name + extra + comment;
        if path.ends_with('/') {
            continue;
        }
        check_path(&path)?;
        if files.iter().any(|file| file.path == path) {
            return Err(ZipError::Twice { path });
        }
        let Some(bytes) = unpack(archive, place, method, packed, left_bytes) else {
            return Err(ZipError::Damaged { path });
        };
        left_bytes = left_bytes.saturating_sub(bytes.len() as u64);
        files.push(ZipFile { path, bytes });
    }
    Ok(files)
}

fn unpack(archive: &[u8], place: usize, method: usize, packed: usize, most_bytes: u64) -> Option<Vec<u8>> {
    if !is_at(archive, place, LOCAL) || number(archive, place + 6, 2)? & 1 == 1 {
        return None;
    }
    let start = place.checked_add(LOCAL_BYTES)?.checked_add(number(archive, place + 26, 2)?)?;
    let start = start.checked_add(number(archive, place + 28, 2)?)?;
    let packed = archive.get(start..start.checked_add(packed)?)?;
    let mut bytes = Vec::new();
    // One more than there may be: whether it is too much is seen.
    let most = most_bytes.saturating_add(1);
    match method {
        0 => packed.take(most).read_to_end(&mut bytes).ok()?,
        8 => DeflateDecoder::new(packed).take(most).read_to_end(&mut bytes).ok()?,
        _ => return None,
    };
    (bytes.len() as u64 <= most_bytes).then_some(bytes)
}

/// An archive of some files, not compressed.
pub fn write_zip(files: &[ZipFile]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut list = Vec::new();
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    let long = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    for file in files {
        let place = archive.len();
        let mut crc = flate2::Crc::new();
        crc.update(&file.bytes);
        let mut described = Vec::new();
        // Version, UTF-8 names, stored, no time.
        described.extend([20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0]);
        described.extend(crc.sum().to_le_bytes());
        described.extend(long(file.bytes.len()));
        described.extend(long(file.bytes.len()));
        described.extend(short(file.path.len()));
        described.extend(short(0));
        archive.extend(LOCAL.to_le_bytes());
        archive.extend(&described);
        archive.extend(file.path.as_bytes());
        archive.extend(&file.bytes);
        list.extend(LISTED.to_le_bytes());
        list.extend([20, 0]);
        list.extend(&described);
        // Comment, disk, attributes.
        list.extend([0; 10]);
        list.extend(long(place));
        list.extend(file.path.as_bytes());
    }
    let start = archive.len();
    archive.extend(&list);
    archive.extend(END.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend(short(files.len()));
    archive.extend(short(files.len()));
    archive.extend(long(list.len()));
    archive.extend(long(start));
    archive.extend(short(0));
    archive
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, bytes: &[u8]) -> ZipFile {
        ZipFile { path: path.to_owned(), bytes: bytes.to_vec() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let files = vec![file("manifest.yml", b"name: shop\n"), file("data/ü.csv", &[0; 100_000])];
        assert_eq!(read_zip(&write_zip(&files)).unwrap(), files);
        assert_eq!(read_zip(&write_zip(&[])).unwrap(), []);
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in ["../evil", "/etc/passwd", "a/../../b"] {
            assert!(read_zip(&write_zip(&[file(path, b"x")])).unwrap_err().to_string().contains("no path"), "{path}");
        }
        assert!(read_zip(&write_zip(&[file("a", b"1"), file("a", b"2")])).unwrap_err().to_string().contains("twice"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..200, value: u8) {
            let _ = read_zip(&bytes);
            let mut archive = write_zip(&[file("manifest.yml", b"name: shop")]);
            if let Some(byte) = archive.get_mut(at) {
                *byte = value;
            }
            let _ = read_zip(&archive);
        }
    }
}
