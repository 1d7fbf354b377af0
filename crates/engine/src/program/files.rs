//! Files of the bundle, which are named by the specification and read before the load.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The file of this name in the bundle.
///
/// # Errors
/// There is no bundle, or the name leads out of it.
pub(crate) fn locate(bundle: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let Some(bundle) = bundle else {
        return Err("names a file, but the experiment came without its files: run it from their directory".to_owned());
    };
    let name = Path::new(name);
    // It names what the author of the test has packed, and nothing else of the node.
    if !name.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)) {
        return Err("a file is named by its path within the bundle, without `..`".to_owned());
    }
    Ok(bundle.join(name))
}

/// All of a file, of at most `max_bytes`.
///
/// # Errors
/// It is not there, cannot be read, or is larger.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > max_bytes { Err(format!("is larger than {max_bytes} bytes")) } else { Ok(bytes) }
}

/// Opens a file.
///
/// # Errors
/// It is not there, or is none.
pub(crate) fn open(path: &Path) -> Result<File, String> {
    match File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => Ok(file),
        Ok(_) => Err("is no file".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("is not in the bundle".to_owned()),
        Err(error) => Err(format!("cannot be opened: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_lead_out_of_the_bundle() {
        let bundle = Path::new("/bundle");
        assert_eq!(locate(Some(bundle), "data/users.csv").unwrap(), Path::new("/bundle/data/users.csv"));
        for name in ["../x", "a/../../x", "/etc/passwd"] {
            assert!(locate(Some(bundle), name).unwrap_err().contains("within the bundle"), "{name}");
        }
        assert!(locate(None, "x").is_err());
    }

    #[test]
    fn a_file_that_is_too_large_or_not_there_is_told_so() {
        let directory = std::env::temp_dir().join(format!("nuncius-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().contains("4 bytes"));
        assert!(read(&directory.join("b"), 4).unwrap_err().contains("not in the bundle"));
        assert!(read(&directory, 4).unwrap_err().contains("no file"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
