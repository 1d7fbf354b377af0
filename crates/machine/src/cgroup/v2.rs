//! A control group of version 2.

use std::path::Path;

use nuncius_schemas::telemetry::{CgroupTelemetry, CgroupVersion};

use super::files::{directory, limit, shown, table};
use crate::processor::parse_pressure;
use crate::source::Source;

const MICROSECOND_NS: u64 = 1_000;

/// Reads a group; `false` where it is not there any more.
pub(super) fn read(source: &mut Source, path: &str, group: &mut CgroupTelemetry) -> bool {
    let directory = directory(CgroupVersion::V2, source, path);
    let is_there = table(source, &directory.join("cpu.stat"), |name, number| {
        let nanoseconds = Some(number.saturating_mul(MICROSECOND_NS));
        match name {
            "usage_usec" => group.cpu_ns = nanoseconds,
            "user_usec" => group.cpu_user_ns = nanoseconds,
            "system_usec" => group.cpu_system_ns = nanoseconds,
            "nr_periods" => group.periods = Some(number),
            "nr_throttled" => group.throttled_periods = Some(number),
            "throttled_usec" => group.throttled_ns = nanoseconds,
            _ => {}
        }
    });
    if !is_there && !directory.is_dir() {
        return false;
    }
    group.memory_bytes = source.number_at(&directory.join("memory.current"));
    let mut inactive = None;
    table(source, &directory.join("memory.stat"), |name, number| {
        if name == "inactive_file" {
            inactive = Some(number);
        }
    });
    let working_set = group.memory_bytes.zip(inactive).map(|(all, inactive)| all.saturating_sub(inactive));
    group.memory_working_set_bytes = working_set;
    group.memory_limit_bytes = limit(source, &directory.join("memory.max"));
    group.swap_bytes = source.number_at(&directory.join("memory.swap.current"));
    table(source, &directory.join("memory.events"), |name, number| {
        if name == "oom_kill" {
            group.oom_kills = Some(number);
        }
    });
    if let Some((read, written)) = source.parse_at(&directory.join("io.stat"), parse_io) {
        (group.read_bytes, group.written_bytes) = (Some(read), Some(written));
    }
    group.threads = source.number_at(&directory.join("pids.current"));
    group.cpu_pressure_ns = stalled(source, &directory.join("cpu.pressure"));
    group.memory_pressure_ns = stalled(source, &directory.join("memory.pressure"));
    group.io_pressure_ns = stalled(source, &directory.join("io.pressure"));
    true
}

fn stalled(source: &mut Source, path: &Path) -> Option<u64> {
    source.parse_at(path, parse_pressure).map(|(some, _)| some.total_ns)
}

/// Understands io.stat: bytes read and written, of all disks.
fn parse_io(text: &str) -> Result<(u64, u64), String> {
    let (mut read, mut written) = (0u64, 0u64);
    for word in text.lines().flat_map(|line| line.split_ascii_whitespace().skip(1)) {
        let sum = match word.split_once('=') {
            Some(("rbytes", _)) => &mut read,
            Some(("wbytes", _)) => &mut written,
            Some(_) | None => continue,
        };
        let number = word.rsplit_once('=').and_then(|(_, number)| number.parse().ok());
        *sum = sum.saturating_add(number.ok_or_else(|| format!("`{}` is no figure", shown(word)))?);
    }
    Ok((read, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_disks_are_added() {
        let text =
            "254:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=2 rios=1 wios=1\n259:0 \n";
        assert_eq!(parse_io(text), Ok((101, 202)));
        assert_eq!(parse_io(""), Ok((0, 0)));
        assert!(parse_io("254:0 rbytes=x").is_err());
        assert_eq!(parse_io(&format!("8:0 rbytes={max}\n8:1 rbytes={max}", max = u64::MAX)), Ok((u64::MAX, 0)));
    }
}
