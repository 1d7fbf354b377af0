//! Disks.

use std::collections::BTreeSet;

use nuncius_schemas::telemetry::{DiskTelemetry, Omitted};

use crate::counter::Rates;
use crate::omitted::omit;
use crate::paced::Paced;
use crate::source::{Source, Tree};

/// Bytes of a sector in these counters, whatever those of the disk are.
const SECTOR_BYTES: u64 = 512;
const MILLISECOND_NS: u64 = 1_000_000;

/// Reads disks; keeps what rates need.
#[derive(Debug)]
pub(crate) struct Disks {
    rates: Rates,
    listing: Paced,
    /// Whole disks, without their partitions.
    whole: BTreeSet<String>,
}

impl Disks {
    pub(crate) fn new() -> Self {
        Self { rates: Rates::default(), listing: Paced::one_in(1_000), whole: BTreeSet::new() }
    }

    /// Whole disks that were ever used, in the order of the kernel, up to `limit`.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        now_ns: u64,
        limit: usize,
        omitted: &mut Vec<Omitted>,
    ) -> Vec<DiskTelemetry> {
        if let Some(names) = self.listing.run(now_ns, || source.names(Tree::Sys, "block")) {
            // The kernel writes `!` for `/` there.
            self.whole = names.into_iter().map(|name| name.replace('!', "/")).collect();
        }
        let whole = &self.whole;
        let is_whole = |name: &str| whole.is_empty() || whole.contains(name);
        let read = source.parse(Tree::Proc, "diskstats", |text| parse_diskstats(text, limit, is_whole));
        let Some((mut disks, beyond)) = read else { return Vec::new() };
        omit(omitted, "disks", beyond, limit);
        self.rates.tell(
            now_ns,
            &mut disks,
            |disk| (&disk.device, (disk.read_bytes, disk.written_bytes)),
            |disk, rates| [disk.read_bytes_per_second, disk.written_bytes_per_second] = rates,
        );
        disks
    }
}

/// Understands /proc/diskstats: the disks that are meant, and how many there are beyond the limit.
fn parse_diskstats(
    text: &str,
    limit: usize,
    is_meant: impl Fn(&str) -> bool,
) -> Result<(Vec<DiskTelemetry>, u64), String> {
    let mut disks = Vec::new();
    let mut beyond = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(name) = words.next() else {
            return Err(format!("`{}` is no disk", line.chars().take(60).collect::<String>().escape_debug()));
        };
        if !is_meant(name) {
            continue;
        }
        let mut fields = [0u64; 11];
        let mut count = 0;
        for (slot, word) in fields.iter_mut().zip(words) {
            *slot = word.parse().map_err(|_| format!("`{}` is no counter", word.escape_debug()))?;
            count += 1;
        }
        // Partitions had four in Linux 2.6.
        if count < fields.len() {
            continue;
        }
        let [reads, _, read_sectors, read_ms, writes, _, written_sectors, write_ms, in_flight, busy_ms, _] = fields;
        if reads == 0 && writes == 0 && (name.starts_with("loop") || name.starts_with("ram")) {
            continue;
        }
        if disks.len() >= limit {
            beyond += 1;
            continue;
        }
        disks.push(DiskTelemetry {
            device: name.chars().take(64).collect(),
            read_bytes: read_sectors.saturating_mul(SECTOR_BYTES),
            written_bytes: written_sectors.saturating_mul(SECTOR_BYTES),
            reads,
            writes,
            read_time_ns: read_ms.saturating_mul(MILLISECOND_NS),
            write_time_ns: write_ms.saturating_mul(MILLISECOND_NS),
            busy_time_ns: busy_ms.saturating_mul(MILLISECOND_NS),
            in_flight,
            read_bytes_per_second: None,
            written_bytes_per_second: None,
        });
    }
    Ok((disks, beyond))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n \
                        254 1 vda1 1 2 3 4 5 6 7 8 9 10 11\n 259 0 nvme0n1 4 0 8 0 0 0 0 0 0 0 0\n";

    #[test]
    fn whole_disks_are_told_in_bytes_and_nanoseconds() {
        let (disks, beyond) = parse_diskstats(TEXT, 64, |name| ["loop0", "vda", "nvme0n1"].contains(&name)).unwrap();
        assert_eq!(disks.iter().map(|disk| disk.device.as_str()).collect::<Vec<_>>(), ["vda", "nvme0n1"]);
        let vda = &disks[0];
        assert_eq!((vda.reads, vda.read_bytes, vda.read_time_ns), (1, 1_536, 4_000_000));
        assert_eq!((vda.writes, vda.written_bytes, vda.write_time_ns), (5, 3_584, 8_000_000));
        assert_eq!((vda.in_flight, vda.busy_time_ns, beyond), (9, 10_000_000, 0));
        assert_eq!(parse_diskstats(TEXT, 1, |_| true).unwrap().1, 2);
        for bad in ["x\n", "8 0 sda 1 2 x 4 5 6 7 8 9 10 11\n"] {
            assert!(parse_diskstats(bad, 64, |_| true).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "(sda|[ 0-9\n]|\\PC){0,60}") {
            let _ = parse_diskstats(&text, 4, |_| true);
        }
    }
}
