//! A control group of version 1: one directory for each controller.

use nuncius_schemas::telemetry::CgroupTelemetry;

use super::files::{ACCOUNT, DISK, MEMORY, PROCESSOR, THREADS, of_controller, shown, table};
use crate::source::Source;

/// Limits from here on are none: the kernel writes the largest whole number of pages.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// Reads a group; `false` where it is not there any more.
pub(super) fn read(source: &mut Source, path: &str, group: &mut CgroupTelemetry) -> bool {
    let account = of_controller(source, ACCOUNT, path);
    group.cpu_ns = source.number_at(&account.join("cpuacct.usage"));
    group.cpu_user_ns = source.number_at(&account.join("cpuacct.usage_user"));
    group.cpu_system_ns = source.number_at(&account.join("cpuacct.usage_sys"));
    let memory = of_controller(source, MEMORY, path);
    group.memory_bytes = source.number_at(&memory.join("memory.usage_in_bytes"));
    if group.cpu_ns.is_none() && group.memory_bytes.is_none() && !account.is_dir() && !memory.is_dir() {
        return false;
    }
    let mut inactive = None;
    table(source, &memory.join("memory.stat"), |name, number| match name {
        "total_inactive_file" => inactive = Some(number),
        // Only counted where swap is accounted.
        "total_swap" => group.swap_bytes = Some(number),
        _ => {}
    });
    let working_set = group.memory_bytes.zip(inactive).map(|(all, inactive)| all.saturating_sub(inactive));
    group.memory_working_set_bytes = working_set;
    let limit = source.number_at(&memory.join("memory.limit_in_bytes"));
    group.memory_limit_bytes = limit.filter(|limit| *limit < UNLIMITED_BYTES);
    table(source, &memory.join("memory.oom_control"), |name, number| {
        if name == "oom_kill" {
            group.oom_kills = Some(number);
        }
    });
    let processor = of_controller(source, PROCESSOR, path);
    table(source, &processor.join("cpu.stat"), |name, number| match name {
        "nr_periods" => group.periods = Some(number),
        "nr_throttled" => group.throttled_periods = Some(number),
        "throttled_time" => group.throttled_ns = Some(number),
        _ => {}
    });
    let disk = of_controller(source, DISK, path);
    // Schedulers of disks fill the one or the other.
    for file in ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"] {
        if let Some((read, written)) = source.parse_at(&disk.join(file), parse_blkio) {
            (group.read_bytes, group.written_bytes) = (Some(read), Some(written));
            break;
        }
    }
    group.threads = source.number_at(&of_controller(source, THREADS, path).join("pids.current"));
    true
}

/// Understands a file of blkio: `8:0 Read 100`, and the sum of all disks, `Total 300`.
fn parse_blkio(text: &str) -> Result<(u64, u64), String> {
    let (mut read, mut written) = (0u64, 0u64);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let sum = match words.next() {
            Some("Read") => &mut read,
            Some("Write") => &mut written,
            Some(_) | None => continue,
        };
        let number = words.next().and_then(|number| number.parse().ok());
        *sum = sum.saturating_add(number.ok_or_else(|| format!("`{}` is no figure", shown(line)))?);
    }
    Ok((read, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_disks_are_added() {
        let text = "8:0 Read 100\n8:0 Write 200\n8:0 Sync 1\n8:0 Total 300\n8:16 Read 1\n8:16 Write 2\nTotal 303\n";
        assert_eq!(parse_blkio(text), Ok((101, 202)));
        assert_eq!(parse_blkio("Total 0\n"), Ok((0, 0)));
        assert!(parse_blkio("8:0 Read x\n").is_err());
        assert!(parse_blkio("8:0 Read\n").is_err());
    }
}
