//! Memory and swap.

use nuncius_schemas::telemetry::MemoryTelemetry;

use crate::source::{Source, Tree};

/// Memory and what was paged.
pub(crate) fn read(source: &mut Source) -> Option<MemoryTelemetry> {
    let memory = source.parse(Tree::Proc, "meminfo", parse_meminfo)?;
    let page_bytes = rustix::param::page_size() as u64;
    let paged = source.parse(Tree::Proc, "vmstat", |text| Ok(parse_vmstat(text, page_bytes))).unwrap_or_default();
    Some(MemoryTelemetry {
        swapped_in_bytes: paged.swapped_in_bytes,
        swapped_out_bytes: paged.swapped_out_bytes,
        major_faults: paged.major_faults,
        oom_kills: paged.oom_kills,
        ..memory
    })
}

/// Understands /proc/meminfo.
fn parse_meminfo(text: &str) -> Result<MemoryTelemetry, String> {
    let mut memory = MemoryTelemetry::default();
    let (mut has_total, mut available) = (false, None);
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let place = match name {
            "MemTotal" => {
                has_total = true;
                &mut memory.total_bytes
            }
            "MemAvailable" => available.insert(0),
            "MemFree" => &mut memory.free_bytes,
            "Buffers" => &mut memory.buffers_bytes,
            "Cached" => &mut memory.cached_bytes,
            "Dirty" => &mut memory.dirty_bytes,
            "SUnreclaim" => &mut memory.slab_unreclaimable_bytes,
            "SwapTotal" => &mut memory.swap_total_bytes,
            "SwapFree" => &mut memory.swap_free_bytes,
            _ => continue,
        };
        let number = rest.split_ascii_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        let number = number.ok_or_else(|| format!("`{}` is no amount of memory", line.escape_debug()))?;
        *place = number.saturating_mul(1_024);
    }
    if !has_total {
        return Err("has no line `MemTotal`".to_owned());
    }
    // Kernels before 3.14 do not say: what is free and what files have is near.
    let estimate = memory.free_bytes.saturating_add(memory.buffers_bytes).saturating_add(memory.cached_bytes);
    memory.available_bytes = available.unwrap_or(estimate).min(memory.total_bytes);
    Ok(memory)
}

/// Understands /proc/vmstat.
fn parse_vmstat(text: &str, page_bytes: u64) -> MemoryTelemetry {
    let mut paged = MemoryTelemetry::default();
    for line in text.lines() {
        let Some((name, number)) = line.split_once(' ') else { continue };
        let number = || number.trim().parse::<u64>().ok();
        let bytes = || number().map(|pages| pages.saturating_mul(page_bytes));
        match name {
            "pswpin" => paged.swapped_in_bytes = bytes(),
            "pswpout" => paged.swapped_out_bytes = bytes(),
            "pgmajfault" => paged.major_faults = number(),
            "oom_kill" => paged.oom_kills = number(),
            _ => {}
        }
    }
    paged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        let text = "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    6000000 kB\n\
                    Buffers:             100 kB\nCached:              200 kB\nSwapTotal:          1024 kB\n\
                    SwapFree:            512 kB\nDirty:  3 kB\nSUnreclaim: 4 kB\nHugePages_Total:       0\n";
        let memory = parse_meminfo(text).unwrap();
        assert_eq!((memory.total_bytes, memory.available_bytes), (8_192_000_000, 6_144_000_000));
        assert_eq!((memory.swap_total_bytes, memory.swap_free_bytes), (1 << 20, 1 << 19));
        assert_eq!((memory.dirty_bytes, memory.slab_unreclaimable_bytes), (3_072, 4_096));
        let old = parse_meminfo("MemTotal: 10 kB\nMemFree: 1 kB\nBuffers: 2 kB\nCached: 3 kB\n").unwrap();
        assert_eq!(old.available_bytes, 6 * 1_024);
        for bad in ["", "MemFree: 1 kB\n", "MemTotal: x kB\n", "MemTotal:\n"] {
            assert!(parse_meminfo(bad).is_err(), "{bad}");
        }
        let paged = parse_vmstat("pswpin 2\npswpout 3\npgmajfault 5\noom_kill 7\nother x\n", 4_096);
        assert_eq!((paged.swapped_in_bytes, paged.swapped_out_bytes), (Some(8_192), Some(12_288)));
        assert_eq!((paged.major_faults, paged.oom_kills), (Some(5), Some(7)));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in "(MemTotal:|Cached:|pswpin |[ 0-9\n]|\\PC){0,40}") {
            let _ = parse_meminfo(&text);
            parse_vmstat(&text, 4_096);
        }
    }
}
