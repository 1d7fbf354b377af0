use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nuncius_schemas::telemetry::{CgroupVersion, Runtime, for_each_value};
use nuncius_testkit::TempDir;

use super::*;
use crate::config::{MachineLimits, Roots};

const SECOND_NS: u64 = 1_000_000_000;

/// A machine that is made of files.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(TempDir::new("machine").unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    /// A machine as edge boxes are, a second before `at`.
    fn whole(at: u64) -> Self {
        let machine = Self::new();
        machine.tick(at);
        machine
    }

    /// What changes with time.
    fn tick(&self, at: u64) {
        let ticks = at * 100;
        self.write(
            "proc/stat",
            &format!(
                "cpu {user} 0 {ticks} {idle} 0 0 0 {steal} 0 0\ncpu0 {user} 0 {ticks} {idle} 0 0 0 {steal} 0 0\nctxt \
                 {at}\nbtime 1700000000\nprocs_blocked 1\n",
                user = ticks / 2,
                idle = ticks * 2,
                steal = ticks / 2
            ),
        );
        self.write("proc/sys/kernel/random/boot_id", "6f3b1a9e-0000-4000-8000-000000000000\n");
        self.write("proc/loadavg", "1.50 1.25 1.00 2/300 4711\n");
        self.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n");
        self.write("proc/pressure/cpu", &format!("some avg10=1.00 avg60=2.00 avg300=3.00 total={at}000000\n"));
        let counters = |bytes: u64| format!("{bytes} 1 2 3 0 0 0 0 {} 5 6 7 0 0 0 0", bytes * 2);
        let head = "Inter-|   Receive |  Transmit\n face |bytes |bytes\n";
        self.write(
            "proc/net/dev",
            &format!("{head}lo: {}\neth0: {}\n wlan0:{}\n", counters(1), counters(at * 1_000), counters(7)),
        );
        self.write("proc/net/wireless", "Inter-| sta-|\n face | tus |\n wlan0: 0000   55.  -55.  -256\n");
        self.write("sys/class/net/eth0/speed", "1000\n");
        self.write("sys/class/net/wlan0/speed", "-1\n");
        self.write("sys/class/net/wlan0/phy80211/name", "phy0\n");
        self.write(
            "proc/diskstats",
            &format!("8 0 sda 1 0 {} 2 3 0 {} 4 0 5 6\n8 1 sda1 1 1 1 1 1 1 1 1 1 1 1\n", at * 2, at),
        );
        self.write("sys/block/sda/size", "1\n");
        self.write("proc/net/snmp", "Tcp: ActiveOpens RetransSegs\nTcp: 5 6\n");
        self.write("proc/net/tcp", "sl local rem st\n0: A:1 B:2 0A x\n1: A:1 B:2 01 x\n");
        self.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2400000\n");
        self.write("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3\n");
        self.write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
        self.write("sys/class/powercap/intel-rapl:0/energy_uj", &format!("{at}500000\n"));
        self.write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
        self.write("sys/class/thermal/thermal_zone0/temp", "51500\n");
        let card = "sys/class/drm/card0";
        self.link(&format!("{card}/device/driver"), "../../../bus/pci/drivers/amdgpu");
        self.write(&format!("{card}/device/gpu_busy_percent"), "75\n");
        self.write(&format!("{card}/device/mem_info_vram_used"), "1024\n");
        self.write(&format!("{card}/device/hwmon/hwmon4/power1_average"), "12500000\n");
        self.write(&format!("{card}/device/hwmon/hwmon4/freq1_input"), "1800000000\n");
        self.link("sys/class/drm/card1/device/driver", "../../../bus/pci/drivers/i915");
        self.write("sys/class/drm/card1/gt/gt0/rps_act_freq_mhz", "350\n");
        self.write("sys/class/drm/card1/gt/gt0/rc6_residency_ms", &format!("{}\n", at * 250));
        self.write("sys/class/drm/card0-HDMI-A-1/status", "connected\n");
        self.write("sys/devices/platform/gpu.0/load", "500\n");
        self.write("sys/class/devfreq/57000000.gpu/cur_freq", "921600000\n");
    }

    fn container_v2(&self, path: &str, cpu_us: u64, process: u32) {
        let group = format!("sys/fs/cgroup{path}");
        self.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
        self.write(
            &format!("{group}/cpu.stat"),
            &format!(
                "usage_usec {cpu_us}\nuser_usec 1\nsystem_usec 2\nnr_periods 3\nnr_throttled 4\nthrottled_usec 5\n"
            ),
        );
        self.write(&format!("{group}/memory.current"), "1000\n");
        self.write(&format!("{group}/memory.stat"), "anon 1\ninactive_file 300\n");
        self.write(&format!("{group}/memory.max"), "max\n");
        self.write(&format!("{group}/memory.events"), "low 0\noom_kill 2\n");
        self.write(&format!("{group}/io.stat"), "8:0 rbytes=10 wbytes=20 rios=1 wios=1\n");
        self.write(&format!("{group}/pids.current"), "4\n");
        self.write(&format!("{group}/cpu.pressure"), "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\n");
        self.write(&format!("{group}/cgroup.procs"), &format!("{process}\n"));
        self.link("proc/1/ns/net", "net:[1]");
        self.link(&format!("proc/{process}/ns/net"), &format!("net:[{process}]"));
        self.write(
            &format!("proc/{process}/net/dev"),
            "a|b|c\nlo: 9 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0\neth0: 100 0 0 0 0 0 0 0 50 0 0 0 0 0 0 0\n",
        );
    }

    fn sampler(&self) -> Sampler {
        Sampler::new(MachineConfig { roots: Roots::below(self.0.path()), ..MachineConfig::default() })
    }
}

/// Every figure of a sample by name and subsystem.
fn figures(sample: &NodeTelemetry) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    for_each_value(sample, |value| {
        let key = format!("{}/{}", value.metric.name, value.subsystem);
        assert!(figures.insert(key.clone(), value.value).is_none(), "{key} is there twice");
    });
    figures
}

#[test]
fn a_whole_machine_is_told_in_base_units() {
    let machine = Machine::whole(10);
    let mut sampler = machine.sampler();
    let first = figures(&sampler.sample_at(10 * SECOND_NS, 1));
    assert!(!first.contains_key("cpu/") && !first.contains_key("rx/eth0"), "there is no span to tell of yet");
    machine.tick(12);
    let sample = sampler.sample_at(12 * SECOND_NS, 2);
    assert_eq!((sample.problems.as_slice(), sample.omitted.as_slice()), (&[][..], &[][..]));
    let found = figures(&sample);
    for (name, value) in [
        // A quarter programs, half the rest: of 4 parts 1.5 are work, half a part is stolen.
        ("cpu/", 1.5 / 4.0),
        ("cpu_steal_share/", 0.5 / 4.0),
        ("cpu_system/", 12.0),
        ("core_idle/0", 24.0),
        ("freq/", 2.4e9),
        ("core_freq/0", 2.4e9),
        ("thermal_throttles/", 3.0),
        ("load5/", 1.25),
        ("procs/", 2.0),
        ("procs_blocked/", 1.0),
        ("ram/", 600.0 * 1024.0),
        ("swap/", 6.0 * 1024.0),
        ("psi_cpu/some", 12.0),
        ("psi_cpu_avg60/some", 0.02),
        ("rx/eth0", 1_000.0),
        ("tx/eth0", 2_000.0),
        ("rx_bytes/eth0", 12_000.0),
        ("link_speed/eth0", 1e9),
        ("signal/wlan0", -55.0),
        ("rd/sda", 1_024.0),
        ("wr/sda", 512.0),
        ("rd_bytes/sda", 24.0 * 512.0),
        ("tcp_active_opens/", 5.0),
        ("tcp_retransmitted_segments/", 6.0),
        ("tcp_sockets/listen", 1.0),
        ("tcp_sockets/established", 1.0),
        ("energy/package-0", 2.0),
        ("energy_power/package-0", 1.0),
        ("temperature/x86_pkg_temp", 51.5),
        ("gpu_util/0", 0.75),
        ("gpu_memory/0", 1024.0),
        ("gpu_power/0", 12.5),
        ("gpu_freq/0", 1.8e9),
        // It rested for half a second of two.
        ("gpu_util/1", 0.75),
        ("gpu_freq/1", 3.5e8),
        ("gpu_util/2", 0.5),
        ("gpu_freq/2", 921.6e6),
    ] {
        let told = found.get(name).unwrap_or_else(|| panic!("{name} is not told: {found:#?}"));
        assert!((told - value).abs() < 1e-9 * value.abs().max(1.0), "{name} is {told}, not {value}");
    }
    assert!(!found.contains_key("link_speed/wlan0") && !found.contains_key("rx/lo") && !found.contains_key("rd/sda1"));
}

#[test]
fn containers_of_version_2_are_told_under_telemds_names() {
    let machine = Machine::whole(1);
    let id = "0123456789abcdef".repeat(4);
    machine.container_v2(&format!("/system.slice/docker-{id}.scope"), 2_500_000, 77);
    let uid = "6f3b1a9e_1234_4000_8000_0123456789ab";
    let pod = "f".repeat(64);
    machine.container_v2(&format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{pod}.scope"), 1_000_000, 78);
    machine.write("sys/fs/cgroup/system.slice/cpu.stat", "usage_usec 9000000\n");
    let sample = machine.sampler().sample_at(SECOND_NS, 1);
    assert!(sample.problems.is_empty(), "{:?}", sample.problems);
    let found = figures(&sample);
    for (name, value) in [
        ("docker_cgrp_cpu/0123456789ab", 2.5),
        ("docker_cgrp_blkio/0123456789ab", 30.0),
        ("docker_cgrp_memory/0123456789ab", 1_000.0),
        ("docker_cgrp_net/0123456789ab", 150.0),
        ("docker_cgrp_net/0123456789ab/eth0", 150.0),
        ("docker_cgrp_net/0123456789ab/eth0/rx", 100.0),
        ("docker_cgrp_net/0123456789ab/eth0/tx", 50.0),
        ("kubernetes_cgrp_cpu/ffffffffffff", 1.0),
        ("kubernetes_cgrp_net/ffffffffffff", 150.0),
        ("cgroup_memory_working_set/0123456789ab", 700.0),
        ("cgroup_cpu_throttled/0123456789ab", 5e-6),
        ("cgroup_oom_kills/0123456789ab", 2.0),
        ("cgroup_psi_cpu/ffffffffffff", 6e-6),
        ("cgroup_cpu//system.slice", 9.0),
    ] {
        let told = found.get(name).unwrap_or_else(|| panic!("{name} is not told: {found:#?}"));
        assert!((told - value).abs() < 1e-9, "{name} is {told}, not {value}");
    }
    assert!(!found.contains_key("cgroup_memory_limit/0123456789ab"), "there is no limit");
    let pods: Vec<_> = sample.cgroups.iter().filter_map(|group| group.pod.as_deref()).collect();
    assert_eq!(pods, ["6f3b1a9e-1234-4000-8000-0123456789ab"]);
}

#[test]
fn containers_of_version_1_are_read_from_all_their_trees() {
    let machine = Machine::whole(1);
    let id = "a".repeat(64);
    let group = |controller: &str, file: &str| format!("sys/fs/cgroup/{controller}/docker/{id}/{file}");
    machine.write(&group("cpuacct", "cpuacct.usage"), "1500000000\n");
    machine.write(&group("cpu", "cpu.stat"), "nr_periods 3\nnr_throttled 4\nthrottled_time 5000000000\n");
    machine.write(&group("memory", "memory.usage_in_bytes"), "1000\n");
    machine.write(&group("memory", "memory.stat"), "cache 1\ntotal_inactive_file 100\n");
    machine.write(&group("memory", "memory.limit_in_bytes"), "9223372036854771712\n");
    machine.write(&group("blkio", "blkio.throttle.io_service_bytes"), "8:0 Read 10\n8:0 Write 20\nTotal 30\n");
    machine.write(&group("pids", "pids.current"), "4\n");
    // Its processes are in the machine's own network.
    machine.write(&group("cpuacct", "cgroup.procs"), "77\n");
    machine.link("proc/1/ns/net", "net:[1]");
    machine.link("proc/77/ns/net", "net:[1]");
    machine.write("proc/77/net/dev", "a|b|c\neth0: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n");
    let sample = machine.sampler().sample_at(SECOND_NS, 1);
    assert!(sample.problems.is_empty(), "{:?}", sample.problems);
    let container = sample.cgroups.iter().find(|group| group.container.as_deref() == Some(&id)).unwrap();
    assert_eq!((container.version, container.runtime), (CgroupVersion::V1, Some(Runtime::Docker)));
    assert_eq!((container.cpu_ns, container.throttled_ns), (Some(1_500_000_000), Some(5_000_000_000)));
    assert_eq!((container.memory_working_set_bytes, container.memory_limit_bytes), (Some(900), None));
    assert_eq!((container.read_bytes, container.written_bytes, container.threads), (Some(10), Some(20), Some(4)));
    assert!(container.networks.is_empty());
}

#[test]
fn an_empty_machine_is_silent_and_a_broken_one_is_told_of_once() {
    let empty = Machine::new();
    let sample = empty.sampler().sample_at(SECOND_NS, 1);
    assert!(figures(&sample).keys().all(|name| name.starts_with("sampling_")), "{sample:?}");
    assert!(sample.problems.is_empty());

    let machine = Machine::whole(1);
    for file in ["proc/stat", "proc/meminfo", "proc/net/dev", "proc/diskstats", "proc/loadavg", "proc/pressure/cpu"] {
        machine.write(file, "\u{0}gar\u{7}bage: 1 x\n");
    }
    machine.write("proc/diskstats", "8 0 sda 1 2 x\n");
    machine.container_v2("/garbage", 1, 77);
    machine.write("sys/fs/cgroup/garbage/cpu.stat", "usage_usec x\n");
    let mut sampler = machine.sampler();
    let told = sampler.sample_at(SECOND_NS, 1).problems;
    assert!(told.len() >= 7 && told.iter().all(|problem| !problem.contains('\u{7}')), "{told:#?}");
    assert!(sampler.sample_at(2 * SECOND_NS, 2).problems.is_empty(), "each is told once");
    // Mended, it is told again.
    machine.tick(3);
    assert!(sampler.sample_at(3 * SECOND_NS, 3).cpu.is_some());
}

#[test]
fn clocks_that_jump_and_counters_that_go_back_give_no_wrong_rates() {
    let machine = Machine::whole(100);
    let mut sampler = machine.sampler();
    sampler.sample_at(100 * SECOND_NS, 1);
    // The machine was booted anew, or the driver loaded: everything is less than before.
    machine.tick(50);
    let back = figures(&sampler.sample_at(101 * SECOND_NS, 0));
    assert!(
        !back.contains_key("rx/eth0") && !back.contains_key("wr/sda") && !back.contains_key("energy_power/package-0")
    );
    assert_eq!(back.get("rx_bytes/eth0"), Some(&50_000.0));
    // The clock stands still, then goes back.
    machine.tick(60);
    for now_ns in [101 * SECOND_NS, 7 * SECOND_NS] {
        let still = figures(&sampler.sample_at(now_ns, u64::MAX));
        assert!(still.values().all(|value| value.is_finite()), "{still:?}");
        assert!(!still.contains_key("rx/eth0"), "{still:?}");
    }
    machine.tick(61);
    let on = figures(&sampler.sample_at(8 * SECOND_NS, 3));
    assert_eq!(on.get("rx/eth0"), Some(&1_000.0));
}

#[test]
fn what_is_beyond_a_limit_is_counted() {
    let machine = Machine::whole(1);
    let mut text = "a|b\n".to_owned();
    (0..1_000).for_each(|n| text.push_str(&format!("veth{n}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")));
    machine.write("proc/net/dev", &text);
    let mut text = "cpu 1 2 3 4\n".to_owned();
    (0..1_000).for_each(|n| text.push_str(&format!("cpu{n} 1 2 3 4\n")));
    machine.write("proc/stat", &text);
    let sample = machine.sampler().sample_at(SECOND_NS, 1);
    let told: Vec<_> = sample.omitted.iter().map(|omitted| (omitted.what.as_str(), omitted.count)).collect();
    assert_eq!(told, [("cores", 744), ("networks", 936)]);
    let limits = MachineLimits::default();
    assert_eq!((sample.networks.len(), sample.cpu.unwrap().cores.len()), (limits.networks, limits.cores));
}

#[test]
fn this_machine_is_sampled_and_nothing_of_it_makes_no_sense() {
    let mut sampler = Sampler::new(MachineConfig::default());
    sampler.sample();
    let sample = sampler.sample();
    let (cpu, memory, load) = (sample.cpu.unwrap(), sample.memory.unwrap(), sample.load.unwrap());
    assert!(cpu.times.total_ns() > 0 && !cpu.cores.is_empty());
    assert!(memory.available_bytes <= memory.total_bytes && load.threads > 0);
    assert!(sample.tcp.is_some() && sample.sampling.cpu_ns > 0);
    assert_eq!(sample.problems, Vec::<String>::new());
}
