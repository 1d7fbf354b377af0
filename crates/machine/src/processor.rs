//! Processors: time by mode, frequency, throttling; load and pressure.

use nuncius_schemas::telemetry::{
    CoreTelemetry, CpuTelemetry, CpuTimes, LoadTelemetry, Omitted, PressureResource, PressureTelemetry, PressureTotal,
};

use crate::omitted::omit;
use crate::paced::Paced;
use crate::source::{Source, Tree};

/// What /proc/stat says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stat {
    pub(crate) times: CpuTimes,
    pub(crate) cores: Vec<(u32, CpuTimes)>,
    pub(crate) context_switches: Option<u64>,
    pub(crate) interrupts: Option<u64>,
    pub(crate) forks: Option<u64>,
    pub(crate) blocked: Option<u64>,
    /// Seconds since the Unix epoch.
    pub(crate) booted: Option<u64>,
}

/// Reads processors; keeps what differences need.
#[derive(Debug)]
pub(crate) struct Processors {
    tick_ns: u64,
    before: Option<CpuTimes>,
    frequencies: Paced,
    /// As they were read last, by number.
    frequency_hertz: Vec<(u32, u64)>,
    throttles: Option<u64>,
}

impl Processors {
    pub(crate) fn new() -> Self {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        Self {
            tick_ns: 1_000_000_000 / ticks,
            before: None,
            frequencies: Paced::one_in(500),
            frequency_hertz: Vec::new(),
            throttles: None,
        }
    }

    /// Processors, and threads that wait for disks.
    pub(crate) fn read(
        &mut self,
        source: &mut Source,
        now_ns: u64,
        limit: usize,
        omitted: &mut Vec<Omitted>,
    ) -> Option<(CpuTelemetry, Option<u64>)> {
        let tick_ns = self.tick_ns;
        let stat = source.parse(Tree::Proc, "stat", |text| parse_stat(text, tick_ns))?;
        let (busy_ratio, steal_ratio) = match self.before.replace(stat.times) {
            Some(before) => shares(&before, &stat.times),
            None => (None, None),
        };
        let numbers: Vec<u32> = stat.cores.iter().map(|(core, _)| *core).collect();
        if let Some((frequencies, throttles)) = self.frequencies.run(now_ns, || slow_part(source, &numbers)) {
            (self.frequency_hertz, self.throttles) = (frequencies, throttles);
        }
        let of_core = |core: u32| {
            let place = self.frequency_hertz.binary_search_by_key(&core, |(core, _)| *core).ok()?;
            self.frequency_hertz.get(place).map(|(_, hertz)| *hertz)
        };
        let sum: u64 = self.frequency_hertz.iter().fold(0, |sum, (_, hertz)| sum.saturating_add(*hertz));
        omit(omitted, "cores", stat.cores.len().saturating_sub(limit) as u64, limit);
        let cores = stat.cores.iter().take(limit);
        let cores =
            cores.map(|(core, times)| CoreTelemetry { core: *core, times: *times, frequency_hertz: of_core(*core) });
        let cpu = CpuTelemetry {
            times: stat.times,
            busy_ratio,
            steal_ratio,
            frequency_hertz: (sum > 0).then_some(sum),
            context_switches: stat.context_switches,
            interrupts: stat.interrupts,
            forks: stat.forks,
            thermal_throttles: self.throttles,
            cores: cores.collect(),
        };
        Some((cpu, stat.blocked))
    }
}

/// Frequencies by processor, and how often any was slowed because of heat. Some drivers ask each processor.
fn slow_part(source: &mut Source, cores: &[u32]) -> (Vec<(u32, u64)>, Option<u64>) {
    let mut frequencies = Vec::new();
    let mut throttles = None;
    for core in cores {
        let directory = format!("devices/system/cpu/cpu{core}");
        if let Some(kilohertz) = source.number(Tree::Sys, &format!("{directory}/cpufreq/scaling_cur_freq")) {
            frequencies.push((*core, kilohertz.saturating_mul(1_000)));
        }
        if let Some(count) = source.number(Tree::Sys, &format!("{directory}/thermal_throttle/core_throttle_count")) {
            throttles = Some(throttles.unwrap_or(0u64).saturating_add(count));
        }
    }
    (frequencies, throttles)
}

/// Shares of busy and of stolen time between two readings. Modes that went back, as some do, count as still.
fn shares(before: &CpuTimes, now: &CpuTimes) -> (Option<f64>, Option<f64>) {
    let since = CpuTimes {
        user_ns: now.user_ns.saturating_sub(before.user_ns),
        nice_ns: now.nice_ns.saturating_sub(before.nice_ns),
        system_ns: now.system_ns.saturating_sub(before.system_ns),
        idle_ns: now.idle_ns.saturating_sub(before.idle_ns),
        iowait_ns: now.iowait_ns.saturating_sub(before.iowait_ns),
        irq_ns: now.irq_ns.saturating_sub(before.irq_ns),
        softirq_ns: now.softirq_ns.saturating_sub(before.softirq_ns),
        steal_ns: now.steal_ns.saturating_sub(before.steal_ns),
        guest_ns: 0,
        guest_nice_ns: 0,
    };
    let total = since.total_ns();
    if total == 0 {
        return (None, None);
    }
    let share = |part: u64| Some((part as f64 / total as f64).clamp(0.0, 1.0));
    (share(since.busy_ns()), share(since.steal_ns))
}

/// Understands /proc/stat.
pub(crate) fn parse_stat(text: &str, tick_ns: u64) -> Result<Stat, String> {
    let mut stat = Stat::default();
    let mut is_there = false;
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(' ') else { continue };
        let first = || rest.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
        match key {
            "cpu" => (stat.times, is_there) = (parse_times(rest, tick_ns)?, true),
            "ctxt" => stat.context_switches = first(),
            "intr" => stat.interrupts = first(),
            "processes" => stat.forks = first(),
            "procs_blocked" => stat.blocked = first(),
            "btime" => stat.booted = first(),
            _ => {
                if let Some(core) = key.strip_prefix("cpu").and_then(|core| core.parse().ok()) {
                    stat.cores.push((core, parse_times(rest, tick_ns)?));
                }
            }
        }
    }
    if is_there { Ok(stat) } else { Err("has no line `cpu`".to_owned()) }
}

fn parse_times(rest: &str, tick_ns: u64) -> Result<CpuTimes, String> {
    let mut ticks = [0u64; 10];
    let mut words = rest.split_ascii_whitespace();
    let mut count = 0;
    for (slot, word) in ticks.iter_mut().zip(&mut words) {
        let number: u64 = word.parse().map_err(|_| format!("`{}` is no number of ticks", word.escape_debug()))?;
        *slot = number.saturating_mul(tick_ns);
        count += 1;
    }
    // Kernels have had four at least; what later ones added is 0 on those.
    if count < 4 {
        return Err(format!("a line of processor time has {count} numbers, it takes 4"));
    }
    let [user_ns, nice_ns, system_ns, idle_ns, iowait_ns, irq_ns, softirq_ns, steal_ns, guest_ns, guest_nice_ns] =
        ticks;
    Ok(CpuTimes {
        user_ns,
        nice_ns,
        system_ns,
        idle_ns,
        iowait_ns,
        irq_ns,
        softirq_ns,
        steal_ns,
        guest_ns,
        guest_nice_ns,
    })
}

/// Load averages.
pub(crate) fn load(source: &mut Source, blocked: Option<u64>) -> Option<LoadTelemetry> {
    let load = source.parse(Tree::Proc, "loadavg", parse_load)?;
    Some(LoadTelemetry { blocked, ..load })
}

/// Understands /proc/loadavg.
pub(crate) fn parse_load(text: &str) -> Result<LoadTelemetry, String> {
    let wrong = || format!("`{}` are no load averages", text.trim().chars().take(60).collect::<String>());
    let mut words = text.split_ascii_whitespace();
    let mut average = || {
        let value: f64 = words.next()?.parse().ok()?;
        (value.is_finite() && value >= 0.0).then_some(value)
    };
    let (load1, load5, load15) =
        (average().ok_or_else(wrong)?, average().ok_or_else(wrong)?, average().ok_or_else(wrong)?);
    let (runnable, threads) = words.next().and_then(|pair| pair.split_once('/')).ok_or_else(wrong)?;
    let count = |text: &str| text.parse().map_err(|_| wrong());
    Ok(LoadTelemetry { load1, load5, load15, runnable: count(runnable)?, threads: count(threads)?, blocked: None })
}

/// Pressure of the machine.
pub(crate) fn pressure(source: &mut Source) -> Vec<PressureTelemetry> {
    let mut all = Vec::new();
    for resource in PressureResource::ALL {
        let read = source.parse(Tree::Proc, &format!("pressure/{}", resource.name()), parse_pressure);
        if let Some((some, full)) = read {
            all.push(PressureTelemetry { resource, some, full });
        }
    }
    all
}

/// Understands a file of pressure stall information.
pub(crate) fn parse_pressure(text: &str) -> Result<(PressureTotal, Option<PressureTotal>), String> {
    let (mut some, mut full) = (None, None);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let place = match words.next() {
            Some("some") => &mut some,
            Some("full") => &mut full,
            _ => continue,
        };
        let mut total = PressureTotal::default();
        for word in words {
            let wrong = || format!("`{}` is no figure of pressure", word.escape_debug());
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            let percent = || {
                let percent: f64 = value.parse().map_err(|_| wrong())?;
                if percent.is_finite() { Ok((percent / 100.0).clamp(0.0, 1.0)) } else { Err(wrong()) }
            };
            match name {
                "avg10" => total.average_10s_ratio = percent()?,
                "avg60" => total.average_60s_ratio = percent()?,
                "avg300" => total.average_300s_ratio = percent()?,
                "total" => {
                    total.total_ns = value.parse::<u64>().map_err(|_| wrong())?.saturating_mul(1_000);
                }
                _ => {}
            }
        }
        *place = Some(total);
    }
    Ok((some.ok_or("has no line `some`")?, full))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK_NS: u64 = 10_000_000;

    #[test]
    fn time_is_told_by_mode_and_core() {
        let text = "cpu  74807 3 10754 25122 249 1 74 40 5 6\ncpu0 37248 0 5107 13066 70 0 5 18 0 0\n\
                    cpu3 37559 0 5646 12056 178 0 68 21 0 0\nintr 478880 0 0\nctxt 9\nbtime 1700000000\nprocesses 12\n\
                    procs_running 2\nprocs_blocked 1\nsoftirq 1 2\n";
        let stat = parse_stat(text, TICK_NS).unwrap();
        assert_eq!((stat.times.user_ns, stat.times.guest_nice_ns), (748_070_000_000, 60_000_000));
        assert_eq!(stat.times.busy_ns(), (74_807 + 3 + 10_754 + 1 + 74) * TICK_NS);
        assert_eq!(stat.cores.iter().map(|(core, _)| *core).collect::<Vec<_>>(), [0, 3]);
        assert_eq!((stat.interrupts, stat.context_switches, stat.forks), (Some(478_880), Some(9), Some(12)));
        assert_eq!((stat.blocked, stat.booted), (Some(1), Some(1_700_000_000)));
        // Linux 2.4 knew four.
        assert_eq!(parse_stat("cpu 1 2 3 4\n", TICK_NS).unwrap().times.idle_ns, 4 * TICK_NS);
        for bad in ["", "cpu\n", "cpu 1 2 3\n", "cpu 1 2 x 4\n", "cpu0 1 2 3 4\n", "cpu -1 2 3 4\n"] {
            assert!(parse_stat(bad, TICK_NS).is_err(), "{bad}");
        }
    }

    #[test]
    fn load_and_pressure_are_told_in_base_units() {
        let load = parse_load("1.81 1.69 0.91 3/104 28469\n").unwrap();
        assert_eq!((load.load1, load.load15, load.runnable, load.threads), (1.81, 0.91, 3, 104));
        for bad in ["", "1 2 3", "1 2 3 4", "nan 1 1 1/1", "1 1 1 x/1"] {
            assert!(parse_load(bad).is_err(), "{bad}");
        }
        let text =
            "some avg10=6.35 avg60=8.98 avg300=10.26 total=72647428\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let (some, full) = parse_pressure(text).unwrap();
        assert_eq!((some.total_ns, full.unwrap().total_ns), (72_647_428_000, 7_000));
        assert!((some.average_300s_ratio - 0.1026).abs() < 1e-12);
        // Processors had no `full` before Linux 5.13.
        assert!(parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n").unwrap().1.is_none());
        for bad in ["", "some avg10=x", "some avg10", "full total=1", "some total=-1", "some avg10=nan"] {
            assert!(parse_pressure(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_shares_whatever_the_counters_do(a in any::<[u64; 8]>(), b in any::<[u64; 8]>()) {
            let times = |t: [u64; 8]| CpuTimes {
                user_ns: t[0], nice_ns: t[1], system_ns: t[2], idle_ns: t[3], iowait_ns: t[4], irq_ns: t[5],
                softirq_ns: t[6], steal_ns: t[7], guest_ns: 0, guest_nice_ns: 0,
            };
            let (busy, steal) = shares(&times(a), &times(b));
            for share in [busy, steal].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&share));
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "(cpu[0-9]{0,3}|some|full|avg10=|total=|[ 0-9./=\n-]|\\PC){0,40}") {
            let _ = parse_stat(&text, TICK_NS);
            let _ = parse_load(&text);
            let _ = parse_pressure(&text);
        }
    }
}
