//! Which nats-server to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServerError;

/// Oldest usable version, (major, minor).
pub const MINIMUM_VERSION: (u32, u32) = (2, 11);

/// `NATS_SERVER_BIN`; else `nats-server` on PATH if it is new enough; else `.tools/nats-server` upward from the
/// executable and from the current directory.
///
/// # Errors
/// [`ServerError::TooOld`] where only an old one is there, [`ServerError::NoBinary`] where there is none.
pub fn find_binary() -> Result<PathBuf, ServerError> {
    let told = std::env::var_os("NATS_SERVER_BIN").filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = told {
        return check(&path).map(|()| path);
    }
    let on_path: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|dir| dir.join("nats-server")).collect())
        .unwrap_or_default();
    let executable = std::env::current_exe().ok();
    let current = std::env::current_dir().ok();
    let in_tools = [executable, current]
        .into_iter()
        .flatten()
        .flat_map(|start| start.ancestors().map(|dir| dir.join(".tools/nats-server")).collect::<Vec<_>>());
    choose(on_path.into_iter().chain(in_tools).filter(|path| path.is_file()))
}

/// The first that is new enough; else why the first of them is not.
fn choose(candidates: impl Iterator<Item = PathBuf>) -> Result<PathBuf, ServerError> {
    let mut first_error = None;
    for path in candidates {
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or(ServerError::NoBinary))
}

fn check(path: &Path) -> Result<(), ServerError> {
    let unusable = |reason: String| ServerError::File { path: path.to_owned(), reason };
    let output = Command::new(path).arg("--version").output().map_err(|e| unusable(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version(&text).ok_or_else(|| unusable("does not tell a version".to_owned()))?;
    if (version.0, version.1) >= MINIMUM_VERSION {
        return Ok(());
    }
    let version = format!("{}.{}.{}", version.0, version.1, version.2);
    Err(ServerError::TooOld { path: path.to_owned(), version })
}

/// Reads `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let (_, numbers) = text.trim().rsplit_once('v')?;
    let mut parts = numbers.split(['.', '-', '+']).map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn versions_are_read_as_the_server_prints_them() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15, 1)));
        assert_eq!(version("nats-server: v2.12.0-RC.1\n"), Some((2, 12, 0)));
        assert_eq!(version("hello"), None);
    }

    #[test]
    fn an_old_server_is_passed_over_and_named_where_it_is_the_only_one() {
        let dir = nuncius_testkit::TempDir::new("binary").unwrap();
        let fake = |name: &str, version: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\necho nats-server: v{version}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let (old, new) = (fake("old", "2.9.10"), fake("new", "2.11.0"));
        assert_eq!(choose([old.clone(), new.clone()].into_iter()), Ok(new));
        let error = choose([old].into_iter()).unwrap_err();
        assert!(error.to_string().contains("2.9.10") && error.to_string().contains("ignores TTLs"), "{error}");
        assert_eq!(choose(std::iter::empty()), Err(ServerError::NoBinary));
    }
}
