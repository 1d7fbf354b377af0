//! The database and the disk it is on.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nuncius_store::{Place, inspect};

use super::findings::Findings;
use crate::output::plain;

/// Free room below which a run of some length may not find place.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// How long the lock of the database is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// What is written to see whether the disk takes anything.
const PROBE_BYTES: usize = 64 * 1024;

/// The disk of the data directory.
pub(super) fn check_disk(findings: &mut Findings, data: &Path) {
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
}

/// The database itself.
pub(super) async fn check(findings: &mut Findings, place: &Place) {
    if let Some(path) = place.path() {
        let Ok(found) = std::fs::metadata(path) else {
            return findings.good("store", &format!("no database yet; the first run makes {place}"));
        };
        if found.permissions().mode() & 0o077 != 0 {
            let text = format!("{place} can be read by other users");
            findings.warn("store_permissions", &text, &format!("chmod 600 {place}"));
        }
    }
    let seen = match inspect(place, LOCK_PATIENCE).await {
        Ok(seen) => seen,
        Err(error) if place.path().is_some() => {
            let advice = "move the file away, and a new one is made; what is in it may be read with sqlite3";
            return findings.bad("store", &plain(&error), advice);
        }
        Err(error) => {
            let advice = "start the server, or see to the user, the password and the database that --database names";
            return findings.bad("store", &plain(&error), advice);
        }
    };
    if seen.version > seen.newest {
        let text = format!("{place} has tables of version {}, this program knows {}", seen.version, seen.newest);
        findings.bad("store", &text, "use a newer nuncius, or another store with --database");
    } else if seen.is_locked {
        findings.bad(
            "store",
            &format!("{place} was locked by another program for {LOCK_PATIENCE:?}"),
            "end what holds it (fuser shows who); results cannot be stored meanwhile",
        );
    } else if seen.is_read_only {
        let text = format!("{place} can be read, and takes no writes");
        findings.bad("store", &text, "name the server that takes writes, or have this one take them");
    } else if seen.version == 0 && place.path().is_none() {
        findings.good("store", &format!("database {place}, without tables yet: the first run makes them"));
    } else {
        findings.good("store", &format!("database {place}, tables of version {}", seen.version));
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
