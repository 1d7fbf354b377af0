//! Which process is called so.

use std::fs;
use std::path::Path;

/// Bytes of a name that the kernel keeps.
const COMM_BYTES: usize = 15;

/// The process of this name that began first.
pub(super) fn first_called(name: &str) -> Option<u32> {
    if name.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?;
    processes
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            is_called(&entry.path(), name).then(|| Some((started(&entry.path())?, id))).flatten()
        })
        .min()
        .map(|(_, id)| id)
}

/// Whether it is what the kernel calls the process, or the last part of the path that it was started by.
fn is_called(process: &Path, name: &str) -> bool {
    let kept = name.as_bytes().get(..COMM_BYTES).unwrap_or(name.as_bytes());
    let comm = fs::read(process.join("comm")).unwrap_or_default();
    if comm.strip_suffix(b"\n").unwrap_or(&comm) == kept && name.len() <= COMM_BYTES {
        return true;
    }
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
    program.rsplit(|byte| *byte == b'/').next() == Some(name.as_bytes())
}

/// When it began, in ticks of the kernel since its own start: the twenty-second field, after the name, which may hold
/// anything.
fn started(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_name_and_of_two_the_first() {
        // This one is called by its file.
        let own = std::env::current_exe().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        let found = first_called(name).unwrap();
        assert!(started(Path::new(&format!("/proc/{found}"))) <= started(Path::new("/proc/self")));
        assert_eq!(first_called("no such process at all"), None);
        assert_eq!(first_called(""), None);
    }
}
