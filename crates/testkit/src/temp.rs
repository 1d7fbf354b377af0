//! A directory that goes away with its owner.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A fresh directory below the system's temporary directory, removed on drop; that of a test that fails stays where
/// NUNCIUS_KEEP is set.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes the directory; `label` becomes part of its name.
    pub fn new(label: &str) -> std::io::Result<Self> {
        let path =
            std::env::temp_dir().join(format!("nuncius-{label}-{}-{:016x}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("NUNCIUS_KEEP").is_some() {
            return eprintln!("kept: {}", self.path.display());
        }
        // Best effort: a test's verdict does not hang on tidying up.
        if std::fs::remove_dir_all(&self.path).is_err() {
            let _ = open(&self.path);
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes every directory of a tree writable: a test may have left some that are not.
fn open(directory: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_goes_away_with_its_owner() {
        let dir = TempDir::new("temp").unwrap();
        let path = dir.path().to_owned();
        std::fs::write(path.join("file"), b"x").unwrap();
        let sealed = path.join("sealed/inner");
        std::fs::create_dir_all(&sealed).unwrap();
        std::fs::set_permissions(&sealed, std::fs::Permissions::from_mode(0o555)).unwrap();
        std::fs::set_permissions(path.join("sealed"), std::fs::Permissions::from_mode(0o555)).unwrap();
        drop(dir);
        assert!(!path.exists());
    }
}
