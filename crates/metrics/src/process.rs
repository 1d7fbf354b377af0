//! What a process says of itself: read from `/proc`.

use std::fs;

use crate::family::Families;
use crate::names::process;

/// Adds what this process uses. What cannot be read is left out.
pub fn add_own(families: &mut Families, node: &str) {
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
        families.number(&process::PROCESS_CPU_SECONDS, &[node], seconds);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kibibytes) = field(&status, "VmRSS:") {
            families.count(&process::PROCESS_RESIDENT_MEMORY_BYTES, &[node], kibibytes.saturating_mul(1024));
        }
        if let Some(threads) = field(&status, "Threads:") {
            families.count(&process::PROCESS_THREADS, &[node], threads);
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        families.count(&process::PROCESS_OPEN_FILES, &[node], (files.count() as u64).saturating_sub(1));
    }
}

/// User and system time of a line of `/proc/<pid>/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name, in parentheses, may have anything in it.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()?.checked_add(fields.next()?.parse().ok()?)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64)
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Value;

    #[test]
    fn a_process_knows_what_it_uses() {
        let mut families = Families::new();
        add_own(&mut families, "n1");
        for name in ["nuncius_process_resident_memory_bytes", "nuncius_process_threads", "nuncius_process_open_files"] {
            let series = &families.get(name).unwrap().series[0];
            assert!(matches!(series.value, Value::Count(count) if count > 0), "{name}: {series:?}");
        }
        assert!(families.get("nuncius_process_cpu_seconds_total").is_some());
    }

    #[test]
    fn the_name_of_a_program_does_not_shift_its_figures() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(cpu_seconds(line), Some(300.0 / ticks));
    }
}
