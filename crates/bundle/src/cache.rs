//! Bundles of a host, unpacked, each once for all of its processes.
//!
//! A bundle is a directory that is named by its digest. Beside it lie a list of its files and a file that is locked: by
//! many while they read, by one while it fills or removes. Locks end with their processes, so that whoever comes after
//! one that was killed finds nothing held, and takes away what it left. A directory gets its name when everything is in
//! it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::BufReader;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nuncius_schemas::bundle::check_digest;

use crate::digest::digest_of_file;
use crate::manifest::{FileEntry, total_bytes};
use crate::{BundleError, Limits, tree, unpack};

/// Ends of names: of the locked file, of the list of files, of a tree that is being filled, of a bundle that comes in.
const LOCK: &str = "lock";
const LIST: &str = "files";
const PARTIAL: &str = "partial";
const DOWNLOAD: &str = "download";
/// Locked while somebody makes room: two must not count the same bytes.
const ROOM: &str = "room.lock";
/// Permissions of files that are nobody else's business.
const OWNER_ONLY: u32 = 0o600;
/// How often a lock is tried whose file somebody takes away at the same moment.
const LOCK_TRIES: u32 = 100;

/// A place for bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    directory: PathBuf,
    max_bytes: u64,
}

/// A bundle that is there, and stays for as long as this lives.
#[derive(Debug)]
pub struct Held {
    tree: PathBuf,
    _lock: File,
}

impl Held {
    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.tree
    }
}

/// How it stands with a bundle.
#[derive(Debug)]
pub enum Lookup {
    /// It is there.
    Here(Held),
    /// It is not, and it is for the caller to fetch it: nobody else does meanwhile.
    Missing(Place),
    /// Somebody else fetches it: look again in a while.
    Busy,
}

/// Where a bundle is to come to. Dropped, it leaves the place to others.
#[derive(Debug)]
pub struct Place {
    cache: Cache,
    digest: String,
    _lock: File,
}

/// Whose lock.
#[derive(Debug, Clone, Copy)]
enum Share {
    Many,
    One,
}

impl Cache {
    /// A cache of at most `max_bytes` of files in this directory, which is made when it is needed.
    pub fn new(directory: PathBuf, max_bytes: u64) -> Self {
        Self { directory, max_bytes }
    }

    /// How it stands with a bundle. Its files are read, all of them: a disk that lost some of them is found out here.
    ///
    /// # Errors
    /// When the cache cannot be used.
    pub fn look(&self, digest: &str) -> Result<Lookup, BundleError> {
        check_digest(digest)?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(BundleError::io(&self.directory))?;
        let Some(lock) = self.lock(digest, Share::Many)? else { return Ok(Lookup::Busy) };
        if self.is_whole(digest) {
            // By this it is told which has not been used for the longest time.
            let _ = lock.set_modified(SystemTime::now());
            return Ok(Lookup::Here(Held { tree: self.tree(digest), _lock: lock }));
        }
        drop(lock);
        let Some(lock) = self.lock(digest, Share::One)? else { return Ok(Lookup::Busy) };
        if self.is_whole(digest) {
            // Between the two locks somebody has fetched it.
            return Ok(Lookup::Busy);
        }
        self.clear(digest)?;
        Ok(Lookup::Missing(Place { cache: self.clone(), digest: digest.to_owned(), _lock: lock }))
    }

    fn tree(&self, digest: &str) -> PathBuf {
        self.directory.join(digest)
    }

    fn beside(&self, digest: &str, what: &str) -> PathBuf {
        self.directory.join(format!("{digest}.{what}"))
    }

    /// The lock of a bundle; none where somebody has it otherwise.
    fn lock(&self, digest: &str, share: Share) -> Result<Option<File>, BundleError> {
        let path = self.beside(digest, LOCK);
        for _ in 0..LOCK_TRIES {
            let file = open_lock(&path)?;
            let locked = match share {
                Share::Many => file.try_lock_shared(),
                Share::One => file.try_lock(),
            };
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(BundleError::Io { path, source }),
            }
            // Whoever removes a bundle removes the file, too: a lock on one that is gone is none.
            let own = file.metadata().map_err(BundleError::io(&path))?;
            if fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Whether all files of a bundle are there as they were unpacked.
    fn is_whole(&self, digest: &str) -> bool {
        let tree = self.tree(digest);
        let is_as_listed = |file: &FileEntry| {
            let place = tree.join(&file.path);
            fs::symlink_metadata(&place).is_ok_and(|found| found.is_file() && found.len() == file.bytes)
                && digest_of_file(&place).is_ok_and(|digest| digest == file.digest)
        };
        self.list(digest).is_some_and(|files| tree.is_dir() && files.iter().all(is_as_listed))
    }

    /// The files of a bundle, of which a process that was killed may have left none, or half.
    fn list(&self, digest: &str) -> Option<Vec<FileEntry>> {
        serde_json::from_slice(&fs::read(self.beside(digest, LIST)).ok()?).ok()
    }

    /// Takes away all there is of a bundle, but for its lock, which the caller has.
    fn clear(&self, digest: &str) -> Result<(), BundleError> {
        // The list first: a tree without one is no bundle, however much of it is left.
        for what in [LIST, PARTIAL, DOWNLOAD] {
            let path = self.beside(digest, what);
            tree::remove(&path).map_err(BundleError::io(&path))?;
        }
        let path = self.tree(digest);
        tree::remove(&path).map_err(BundleError::io(&path))
    }

    /// Takes away what has not been used for the longest time until `bytes` fit in, and whatever is no whole bundle.
    /// What somebody uses stays.
    fn make_room(&self, digest: &str, bytes: u64) -> Result<(), BundleError> {
        if bytes > self.max_bytes {
            return Err(BundleError::OverCache { bytes, limit_bytes: self.max_bytes });
        }
        let mut others = self.others(digest)?;
        others.sort_by_key(|other| (other.is_listed, other.used));
        let mut used_bytes = others.iter().fold(0, |sum: u64, other| sum.saturating_add(other.bytes));
        for other in &others {
            if other.is_listed && used_bytes.saturating_add(bytes) <= self.max_bytes {
                break;
            }
            let Some(lock) = self.lock(&other.digest, Share::One)? else { continue };
            self.clear(&other.digest)?;
            let path = self.beside(&other.digest, LOCK);
            tree::remove(&path).map_err(BundleError::io(&path))?;
            drop(lock);
            used_bytes = used_bytes.saturating_sub(other.bytes);
        }
        if used_bytes.saturating_add(bytes) > self.max_bytes {
            return Err(BundleError::CacheFull { bytes, used_bytes, limit_bytes: self.max_bytes });
        }
        Ok(())
    }

    /// All bundles but one, and what is left of some.
    fn others(&self, digest: &str) -> Result<Vec<Other>, BundleError> {
        let io = |source| BundleError::Io { path: self.directory.clone(), source };
        let mut found: Vec<Other> = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let Some(other) = name.to_str().and_then(|name| name.split('.').next()) else { continue };
            let is_known = found.iter().any(|known| known.digest == other);
            if other == digest || is_known || check_digest(other).is_err() {
                continue;
            }
            let list = self.list(other).filter(|_| self.tree(other).is_dir());
            let left = [PARTIAL, DOWNLOAD].iter().map(|what| tree::bytes_of(&self.beside(other, what))).sum::<u64>();
            let used = fs::metadata(self.beside(other, LOCK)).and_then(|lock| lock.modified());
            found.push(Other {
                digest: other.to_owned(),
                is_listed: list.is_some(),
                bytes: left + list.map_or_else(|| tree::bytes_of(&self.tree(other)), |files| total_bytes(&files)),
                used: used.unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
        Ok(found)
    }
}

/// A bundle that may have to go.
struct Other {
    digest: String,
    /// Whether it is whole, as far as its list says.
    is_listed: bool,
    bytes: u64,
    used: SystemTime,
}

fn open_lock(path: &Path) -> Result<File, BundleError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path);
    opened.map_err(BundleError::io(path))
}

impl Place {
    /// Where the bundle is to be written to, as it is packed. What was there is gone.
    pub fn download_path(&self) -> PathBuf {
        self.cache.beside(&self.digest, DOWNLOAD)
    }

    /// Checks what was written to [`Place::download_path`] and unpacks it: from here on everybody finds it.
    ///
    /// # Errors
    /// When it is not what its digest says, or no bundle; when there is no room for it. Then nothing of it is left.
    pub fn fill(self, limits: &Limits) -> Result<(), BundleError> {
        let filled = self.fill_in(limits);
        if filled.is_err() {
            let _ = self.cache.clear(&self.digest);
        }
        filled
    }

    fn fill_in(&self, limits: &Limits) -> Result<(), BundleError> {
        let (cache, digest) = (&self.cache, self.digest.as_str());
        let (download, partial) = (self.download_path(), cache.beside(digest, PARTIAL));
        let found = digest_of_file(&download)?;
        if found != digest {
            return Err(BundleError::WrongDigest { wanted: digest.to_owned(), found });
        }
        let packed = BufReader::new(File::open(&download).map_err(BundleError::io(&download))?);
        let files = unpack(packed, &partial, limits)?;
        tree::remove(&download).map_err(BundleError::io(&download))?;
        let list = cache.beside(digest, LIST);
        let written = serde_json::to_vec(&files).map_err(std::io::Error::other).and_then(|text| fs::write(&list, text));
        written.map_err(BundleError::io(&list))?;
        let room_path = cache.directory.join(ROOM);
        let room = open_lock(&room_path)?;
        // Nobody holds it for longer than it takes to remove some files.
        room.lock().map_err(BundleError::io(&room_path))?;
        cache.make_room(digest, total_bytes(&files))?;
        let tree = cache.tree(digest);
        fs::rename(&partial, &tree).map_err(BundleError::io(&tree))
    }
}

#[cfg(test)]
mod tests;
