//! One value of each message about machines, with every field set to something.

use nuncius_schemas::telemetry::{
    CgroupNetwork, CgroupTelemetry, CgroupVersion, CoreTelemetry, CpuTelemetry, CpuTimes, DiskTelemetry,
    EnergyTelemetry, GpuTelemetry, LoadTelemetry, MachineDescription, MemoryTelemetry, NetworkTelemetry, NodeTelemetry,
    Omitted, PressureResource, PressureTelemetry, PressureTotal, RailTelemetry, Runtime, SamplingCost, TcpStates,
    TcpTelemetry, TelemetryControl, TelemetryHold, TelemetryState, ThermalTelemetry, WirelessTelemetry,
};
use nuncius_schemas::units::HumanDuration;

fn times() -> CpuTimes {
    CpuTimes {
        user_ns: 1_000_000_000,
        nice_ns: 2_000_000_000,
        system_ns: 3_000_000_000,
        idle_ns: 4_000_000_000,
        iowait_ns: 5_000_000_000,
        irq_ns: 6_000_000_000,
        softirq_ns: 7_000_000_000,
        steal_ns: 8_000_000_000,
        guest_ns: 9_000_000_000,
        guest_nice_ns: 10_000_000_000,
    }
}

fn cgroup() -> CgroupTelemetry {
    CgroupTelemetry {
        name: "0123456789ab".into(),
        path: "/system.slice/docker-0123456789abcdef.scope".into(),
        version: CgroupVersion::V1,
        runtime: Some(Runtime::Docker),
        container: Some("0123456789abcdef".into()),
        pod: Some("p-1".into()),
        cpu_ns: Some(1),
        cpu_user_ns: Some(2),
        cpu_system_ns: Some(3),
        periods: Some(4),
        throttled_periods: Some(5),
        throttled_ns: Some(6),
        memory_bytes: Some(7),
        memory_working_set_bytes: Some(8),
        memory_limit_bytes: Some(9),
        swap_bytes: Some(10),
        oom_kills: Some(11),
        read_bytes: Some(12),
        written_bytes: Some(13),
        threads: Some(14),
        cpu_pressure_ns: Some(15),
        memory_pressure_ns: Some(16),
        io_pressure_ns: Some(17),
        networks: vec![CgroupNetwork { interface: "eth0".into(), received_bytes: 18, sent_bytes: 19 }],
    }
}

fn gpu() -> GpuTelemetry {
    GpuTelemetry {
        index: 1,
        device: "nvidia1".into(),
        source: "nvml".into(),
        model: Some("NVIDIA H200".into()),
        uuid: Some("GPU-1".into()),
        busy_ratio: Some(0.5),
        memory_busy_ratio: Some(0.25),
        memory_used_bytes: Some(1 << 30),
        memory_total_bytes: Some(1 << 37),
        frequency_hertz: Some(1_980_000_000),
        memory_frequency_hertz: Some(3_201_000_000),
        power_watts: Some(123.5),
        energy_joules: Some(1_000.5),
        temperature_celsius: Some(40.0),
        fan_ratio: Some(0.25),
        is_throttled: Some(true),
        throttle_reasons: vec!["SW_POWER_CAP".into()],
        memory_errors: Some(1),
    }
}

pub(crate) fn node_telemetry() -> NodeTelemetry {
    let total =
        PressureTotal { average_10s_ratio: 0.5, average_60s_ratio: 0.25, average_300s_ratio: 0.125, total_ns: 1_000 };
    NodeTelemetry {
        node: "edge-1".into(),
        host: "edge-1.example".into(),
        machine: "6f3b1a9e-0000-4000-8000-000000000000".into(),
        epoch: u64::MAX,
        sequence: 7,
        at_unix_ns: 1_700_000_000_123_456_789,
        at_monotonic_ns: 5_000_000_000,
        period_ns: 1_000_000_000,
        sampling: SamplingCost { took_ns: 400_000, cpu_ns: 300_000 },
        cpu: Some(CpuTelemetry {
            times: times(),
            busy_ratio: Some(0.75),
            steal_ratio: Some(0.125),
            frequency_hertz: Some(5_000_000_000),
            context_switches: Some(1),
            interrupts: Some(2),
            forks: Some(3),
            thermal_throttles: Some(4),
            cores: vec![CoreTelemetry { core: 3, times: times(), frequency_hertz: Some(2_500_000_000) }],
        }),
        load: Some(LoadTelemetry { load1: 1.5, load5: 1.25, load15: 1.0, runnable: 2, threads: 300, blocked: Some(1) }),
        memory: Some(MemoryTelemetry {
            total_bytes: 1,
            available_bytes: 2,
            free_bytes: 3,
            buffers_bytes: 4,
            cached_bytes: 5,
            dirty_bytes: 6,
            slab_unreclaimable_bytes: 7,
            swap_total_bytes: 8,
            swap_free_bytes: 9,
            swapped_in_bytes: Some(10),
            swapped_out_bytes: Some(11),
            major_faults: Some(12),
            oom_kills: Some(13),
        }),
        pressure: vec![PressureTelemetry { resource: PressureResource::Io, some: total, full: Some(total) }],
        networks: vec![NetworkTelemetry {
            interface: "wlan0".into(),
            received_bytes: 1,
            received_packets: 2,
            received_errors: 3,
            received_dropped: 4,
            sent_bytes: 5,
            sent_packets: 6,
            sent_errors: 7,
            sent_dropped: 8,
            received_bytes_per_second: Some(9.5),
            sent_bytes_per_second: Some(10.5),
            speed_bits_per_second: Some(1_000_000_000),
            wireless: Some(WirelessTelemetry {
                signal_dbm: Some(-55.0),
                sent_bits_per_second: Some(866_700_000),
                received_bits_per_second: Some(6_000_000),
            }),
        }],
        disks: vec![DiskTelemetry {
            device: "nvme0n1".into(),
            read_bytes: 1,
            written_bytes: 2,
            reads: 3,
            writes: 4,
            read_time_ns: 5,
            write_time_ns: 6,
            busy_time_ns: 7,
            in_flight: 8,
            read_bytes_per_second: Some(9.5),
            written_bytes_per_second: Some(10.5),
        }],
        tcp: Some(TcpTelemetry {
            active_opens: 1,
            passive_opens: 2,
            failed_attempts: 3,
            resets: 4,
            established: 5,
            received_segments: 6,
            sent_segments: 7,
            retransmitted_segments: 8,
            received_errors: 9,
            sent_resets: 10,
            listen_overflows: Some(11),
            listen_drops: Some(12),
            orphans: Some(13),
            memory_bytes: Some(14),
            states: Some(TcpStates {
                established: 1,
                syn_sent: 2,
                syn_received: 3,
                fin_wait_1: 4,
                fin_wait_2: 5,
                time_wait: 6,
                close: 7,
                close_wait: 8,
                last_ack: 9,
                listen: 10,
                closing: 11,
                age_ns: 12,
            }),
        }),
        cgroups: vec![cgroup()],
        energy: vec![EnergyTelemetry { zone: "package-0/core".into(), energy_joules: 12.5, power_watts: Some(6.25) }],
        rails: vec![RailTelemetry { rail: "VDD_IN".into(), power_watts: 4.5 }],
        thermal: vec![ThermalTelemetry { zone: "x86_pkg_temp".into(), temperature_celsius: 51.5 }],
        gpus: vec![gpu()],
        omitted: vec![Omitted { what: "cgroups".into(), count: 9_744, limit: 256 }],
        problems: vec!["p".into()],
    }
}

pub(crate) fn controls() -> Vec<(&'static str, TelemetryControl)> {
    let period = HumanDuration::from_millis(500);
    let experiment = "e-1".to_owned();
    vec![
        ("", TelemetryControl::Describe {}),
        ("-pause", TelemetryControl::Pause {}),
        ("-resume", TelemetryControl::Resume {}),
        ("-period", TelemetryControl::Period { period }),
        (
            "-hold",
            TelemetryControl::Hold {
                experiment: experiment.clone(),
                period: Some(period),
                lasts: HumanDuration::from_secs(30),
            },
        ),
        ("-release", TelemetryControl::Release { experiment }),
    ]
}

pub(crate) fn state() -> TelemetryState {
    TelemetryState {
        node: "edge-1".into(),
        error: Some("e".into()),
        is_paused: true,
        period: HumanDuration::from_secs(1),
        sampled_every: Some(HumanDuration::from_millis(500)),
        holds: vec![TelemetryHold {
            experiment: "e-1".into(),
            period: Some(HumanDuration::from_millis(500)),
            remaining: HumanDuration::from_secs(29),
        }],
        epoch: u64::MAX,
        sequence: 7,
        process_id: 4711,
        process: "telemetry".into(),
        machine: machine(),
        problems: vec!["p".into()],
    }
}

pub(crate) fn machine() -> MachineDescription {
    MachineDescription {
        host: "edge-1.example".into(),
        machine: "6f3b1a9e-0000-4000-8000-000000000000".into(),
        architecture: "x86_64".into(),
        kernel: "Linux 6.1.0".into(),
        processor: Some("a processor".into()),
        processors: 4,
        memory_bytes: 1 << 33,
        booted_unix_ms: 1_700_000_000_000,
        disks: vec!["nvme0n1".into()],
        interfaces: vec!["eth0".into()],
        gpus: vec!["NVIDIA H200".into()],
    }
}
