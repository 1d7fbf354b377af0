//! The database and the disk it is on.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nuncius_store::inspect;

use super::Findings;
use crate::output::plain;

/// Free room below which a run of some length may not find place.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// How long the lock of the database is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// What is written to see whether the disk takes anything.
const PROBE_BYTES: usize = 64 * 1024;

pub(super) async fn check(findings: &mut Findings, data: &Path) {
    match probe(data) {
        Ok(()) => findings.good("disk", &format!("{} can be written", data.display())),
        Err(error) => findings.bad(
            "disk",
            &format!("{} cannot be written: {}", data.display(), plain(&error)),
            "make room there, or name a directory on another disk with --data",
        ),
    }
    if let Ok(disk) = rustix::fs::statvfs(data) {
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        let shown = nuncius_report::text::bytes(free_bytes);
        if free_bytes < FREE_BYTES_MIN {
            let text = format!("only {shown} free in {}", data.display());
            findings.warn("disk_space", &text, "make room there: a result that is not all stored is no PASS");
        } else {
            findings.good("disk_space", &format!("{shown} free in {}", data.display()));
        }
    }
    let path = data.join("nuncius.db");
    let Ok(found) = std::fs::metadata(&path) else {
        return findings.good("store", &format!("no database yet; the first run makes {}", path.display()));
    };
    if found.permissions().mode() & 0o077 != 0 {
        let text = format!("{} can be read by other users", path.display());
        findings.warn("store_permissions", &text, &format!("chmod 600 {}", path.display()));
    }
    match inspect(&path, LOCK_PATIENCE).await {
        Err(error) => {
            let advice = "move the file away, and a new one is made; what is in it may be read with sqlite3";
            findings.bad("store", &plain(&error), advice);
        }
        Ok(seen) if seen.version > seen.newest => findings.bad(
            "store",
            &format!("{} has tables of version {}, this program knows {}", path.display(), seen.version, seen.newest),
            "use a newer nuncius, or another directory with --data",
        ),
        Ok(seen) if seen.is_locked => findings.bad(
            "store",
            &format!("{} was locked by another program for {LOCK_PATIENCE:?}", path.display()),
            "end what holds it (fuser shows who); results cannot be stored meanwhile",
        ),
        Ok(seen) => findings.good("store", &format!("database {}, tables of version {}", path.display(), seen.version)),
    }
}

/// Writes a file of some size, and takes it away.
fn probe(directory: &Path) -> std::io::Result<()> {
    let path = directory.join(format!(".doctor-{}-{:08x}", std::process::id(), fastrand::u32(..)));
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()
    };
    let written = write();
    let _ = std::fs::remove_file(&path);
    written
}
