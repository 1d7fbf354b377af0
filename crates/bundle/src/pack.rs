//! From a directory to a bundle. What is in it decides every byte: neither the order in which the system lists files
//! nor their times, owners and permissions do.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use nuncius_schemas::bundle::check_path;

use crate::digest::digest_of;
use crate::manifest::{FileEntry, Manifest, spec_among};
use crate::names::Names;
use crate::{BundleError, Limits};

/// Permissions of every file.
const FILE_MODE: u32 = 0o444;
/// What gzip says of the system where nobody knows it (RFC 1952).
const SYSTEM_UNKNOWN: u8 = 255;

/// A bundle that has been packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What is in it.
    pub manifest: Manifest,
    /// The bundle.
    pub bytes: Vec<u8>,
    /// Files and directories that were left out because their names begin with a dot, a directory with a slash behind
    /// it.
    pub left_out: Vec<String>,
}

/// Packs all files of a directory and of those in it as the application `name`. What begins with a dot is left out.
///
/// # Errors
/// When the directory has no specification, or what no bundle may have; when something in it cannot be read.
pub fn pack_directory(directory: &Path, name: &str, limits: &Limits) -> Result<Packed, BundleError> {
    let root = fs::canonicalize(directory).map_err(BundleError::io(directory))?;
    let mut found = Found { root: &root, limits, files: BTreeMap::new(), left_out: Vec::new() };
    found.collect(directory, "")?;
    let Found { files, left_out, .. } = found;
    let spec = spec_among(files.keys().map(String::as_str))?.to_owned();
    pack(name, spec, &files, left_out, limits)
}

/// Packs these files alone, one of which is the specification; their paths are relative to `directory`. A file may be
/// named more than once.
///
/// # Errors
/// As [`pack_directory`], and when a file is not there.
pub fn pack_files(
    directory: &Path,
    name: &str,
    spec: &str,
    paths: &[String],
    limits: &Limits,
) -> Result<Packed, BundleError> {
    let root = fs::canonicalize(directory).map_err(BundleError::io(directory))?;
    let mut files = BTreeMap::new();
    for path in paths.iter().map(String::as_str).chain([spec]) {
        check_path(path)?;
        let place = directory.join(path);
        let leads_to = fs::canonicalize(&place).map_err(BundleError::io(&place))?;
        if !leads_to.starts_with(&root) {
            return Err(BundleError::LinkLeadsOut { path: place });
        }
        files.insert(path.to_owned(), place);
    }
    pack(name, spec.to_owned(), &files, Vec::new(), limits)
}

/// What is to be packed.
struct Found<'a> {
    /// The directory, without links.
    root: &'a Path,
    limits: &'a Limits,
    /// By their paths in the bundle, in the order in which they are packed.
    files: BTreeMap<String, PathBuf>,
    left_out: Vec<String>,
}

impl Found<'_> {
    /// Collects the files below a directory, whose path in the bundle ends in a slash unless it is the root.
    fn collect(&mut self, directory: &Path, prefix: &str) -> Result<(), BundleError> {
        for entry in fs::read_dir(directory).map_err(BundleError::io(directory))? {
            let entry = entry.map_err(BundleError::io(directory))?;
            let place = entry.path();
            let kind = entry.file_type().map_err(BundleError::io(&place))?;
            let path = format!("{prefix}{}", utf8(entry.file_name())?);
            if path.rsplit('/').next().is_some_and(|name| name.starts_with('.')) {
                self.left_out.push(if kind.is_dir() { format!("{path}/") } else { path });
                continue;
            }
            check_path(&path)?;
            if kind.is_dir() {
                self.collect(&place, &format!("{path}/"))?;
                continue;
            }
            if kind.is_symlink() {
                self.check_link(&place)?;
            }
            if self.files.len() >= self.limits.files as usize {
                return Err(BundleError::TooManyFiles { limit: self.limits.files });
            }
            self.files.insert(path, place);
        }
        self.left_out.sort();
        Ok(())
    }

    /// A link stands for the file that it leads to, which must be in the directory itself.
    fn check_link(&self, place: &Path) -> Result<(), BundleError> {
        match fs::canonicalize(place) {
            Ok(target) if target.starts_with(self.root) => Ok(()),
            Ok(_) | Err(_) => Err(BundleError::LinkLeadsOut { path: place.to_owned() }),
        }
    }
}

fn utf8(name: OsString) -> Result<String, BundleError> {
    name.into_string().map_err(|name| BundleError::NotUtf8 { name: name.to_string_lossy().escape_debug().to_string() })
}

fn pack(
    name: &str,
    spec: String,
    files: &BTreeMap<String, PathBuf>,
    left_out: Vec<String>,
    limits: &Limits,
) -> Result<Packed, BundleError> {
    if files.len() > limits.files as usize {
        return Err(BundleError::TooManyFiles { limit: limits.files });
    }
    let gzip = GzBuilder::new().mtime(0).operating_system(SYSTEM_UNKNOWN);
    let mut archive = tar::Builder::new(gzip.write(Vec::new(), Compression::default()));
    let mut names = Names::default();
    let mut entries = Vec::with_capacity(files.len());
    let mut left_bytes = limits.unpacked_bytes;
    for (path, place) in files {
        names.add(path)?;
        let contents = read(place, left_bytes, limits)?;
        left_bytes -= contents.len() as u64;
        append(&mut archive, path, &contents).map_err(BundleError::io(place))?;
        entries.push(FileEntry { path: path.clone(), bytes: contents.len() as u64, digest: digest_of(&contents) });
    }
    let written = archive.into_inner().and_then(GzEncoder::finish);
    let bytes = written.map_err(|error| BundleError::Unreadable { reason: error.to_string() })?;
    let digest = digest_of(&bytes);
    let manifest = Manifest { name: name.to_owned(), digest, bytes: bytes.len() as u64, spec, files: entries };
    Ok(Packed { manifest, bytes, left_out })
}

/// The whole file, which may change while it is read: what was read is what counts.
fn read(place: &Path, left_bytes: u64, limits: &Limits) -> Result<Vec<u8>, BundleError> {
    let found = fs::metadata(place).map_err(BundleError::io(place))?;
    if found.is_dir() {
        return Err(BundleError::Special { path: place.to_owned(), kind: "a directory, or a link to one" });
    }
    // To open a pipe would be to wait for its other end.
    if !found.is_file() {
        return Err(BundleError::Special { path: place.to_owned(), kind: "a socket, a pipe or a device" });
    }
    let file = File::open(place).map_err(BundleError::io(place))?;
    let mut contents = Vec::new();
    file.take(left_bytes.saturating_add(1)).read_to_end(&mut contents).map_err(BundleError::io(place))?;
    if contents.len() as u64 > left_bytes {
        return Err(BundleError::TooLarge { limit_bytes: limits.unpacked_bytes });
    }
    Ok(contents)
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, contents: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(path)?;
    header.set_mode(FILE_MODE);
    header.set_size(contents.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    archive.append(&header, contents)
}
