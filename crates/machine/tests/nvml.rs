//! NVML that is missing, of the wrong version, crashes, babbles or never answers: it is told once, and the machine is
//! sampled all the same. There is no such library on most machines that run tests: real ones are stood for by programs,
//! and by a library with NVML's interface that is compiled here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use std::ffi::OsString;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nuncius_machine::gpu::nvml::{NvmlAnswer, serve};
use nuncius_machine::{MachineConfig, Roots, Sampler};
use nuncius_schemas::telemetry::{GpuTelemetry, NodeTelemetry};
use nuncius_testkit::TempDir;

/// A machine with an NVIDIA driver, whose NVML is asked by this script.
fn sampler(directory: &TempDir, script: &str) -> Sampler {
    std::fs::create_dir_all(directory.path().join("dev")).unwrap();
    std::fs::write(directory.path().join("dev/nvidiactl"), "").unwrap();
    let words: [OsString; 3] = ["sh".into(), "-c".into(), script.into()];
    let roots = Roots { dev: directory.path().join("dev"), ..Roots::default() };
    Sampler::new(MachineConfig { roots, nvml: Some(words.to_vec()), ..MachineConfig::default() })
}

/// Samples until something is told of NVML, or a GPU is; at most for half a minute.
fn until_told(sampler: &mut Sampler) -> NodeTelemetry {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let sample = sampler.sample();
        if sample.problems.iter().any(|problem| problem.contains("NVML")) || !sample.gpus.is_empty() {
            return sample;
        }
        assert!(Instant::now() < deadline, "nothing is told of NVML");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nvml_that_fails_in_any_way_is_told_once_and_the_machine_is_sampled() {
    let endless = "while :; do printf 0123456789012345678901234567890123456789; done";
    for (script, told) in [
        ("read line; kill -SEGV $$", "NVML crashed with signal 11"),
        ("read line; exit 3", "NVML's process ended with 3"),
        ("read line; echo nonsense; read line", "cannot be read"),
        ("while read line; do echo '{\"error\":\"no driver\"}'; done", "NVML says nothing: no driver"),
        (endless, "the limit"),
    ] {
        let directory = TempDir::new("nvml").unwrap();
        let mut sampler = sampler(&directory, script);
        let sample = until_told(&mut sampler);
        assert_eq!(sample.problems.len(), 1, "{:?}", sample.problems);
        assert!(sample.problems[0].contains(told) && sample.gpus.is_empty(), "{script}: {:?}", sample.problems);
        for _ in 0..5 {
            let sample = sampler.sample();
            assert!(sample.problems.is_empty() && sample.cpu.is_some(), "{script}: {:?}", sample.problems);
        }
    }
}

#[test]
fn nvml_that_never_answers_holds_up_no_sample() {
    let directory = TempDir::new("nvml").unwrap();
    let mut sampler = sampler(&directory, "exec sleep 60");
    for _ in 0..3 {
        let sample = sampler.sample();
        assert!(sample.cpu.is_some() && sample.gpus.is_empty() && sample.problems.is_empty());
        assert!(sample.sampling.took_ns < 5_000_000_000, "{} ns", sample.sampling.took_ns);
    }
}

#[test]
fn a_machine_without_nvidias_driver_is_not_asked() {
    let directory = TempDir::new("nvml").unwrap();
    let mark = directory.path().join("begun");
    let mut sampler = sampler(&directory, &format!("touch {}; read line", mark.display()));
    std::fs::remove_file(directory.path().join("dev/nvidiactl")).unwrap();
    assert!(sampler.sample().problems.is_empty());
    assert!(!mark.exists());
}

#[test]
fn gpus_of_nvml_come_first_and_others_are_numbered_after_them() {
    let gpu = GpuTelemetry { index: 3, device: "nvidia3".into(), source: "nvml".into(), ..GpuTelemetry::default() };
    let answer = serde_json::to_string(&NvmlAnswer { gpus: vec![gpu.clone()], error: None }).unwrap();
    let directory = TempDir::new("nvml").unwrap();
    let sys = directory.path().join("sys");
    std::fs::create_dir_all(sys.join("devices/gpu.0")).unwrap();
    std::fs::write(sys.join("devices/gpu.0/load"), "250\n").unwrap();
    std::fs::create_dir_all(directory.path().join("dev")).unwrap();
    std::fs::write(directory.path().join("dev/nvidiactl"), "").unwrap();
    let script = format!("while read line; do echo '{answer}'; done");
    let config = MachineConfig {
        roots: Roots { sys, dev: directory.path().join("dev"), ..Roots::default() },
        nvml: Some(vec!["sh".into(), "-c".into(), script.into()]),
        ..MachineConfig::default()
    };
    let mut sampler = Sampler::new(config);
    let deadline = Instant::now() + Duration::from_secs(30);
    let gpus = loop {
        let gpus = sampler.sample().gpus;
        if gpus.len() == 2 {
            break gpus;
        }
        assert!(Instant::now() < deadline, "{gpus:?}");
    };
    assert_eq!(gpus[0], gpu);
    assert_eq!((gpus[1].index, gpus[1].source.as_str(), gpus[1].busy_ratio), (4, "jetson", Some(0.25)));
}

/// What is asked for once, of a library.
fn asked(library: &Path) -> NvmlAnswer {
    let mut output = Vec::new();
    serve(Cursor::new(b"\n"), &mut output, Some(library)).unwrap();
    serde_json::from_slice(&output).unwrap()
}

/// A library that is compiled from C.
fn library(directory: &TempDir, name: &str, source: &str) -> PathBuf {
    let (from, to) = (directory.path().join(format!("{name}.c")), directory.path().join(format!("lib{name}.so")));
    std::fs::write(&from, source).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&to).arg(&from).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    to
}

#[test]
fn a_library_that_is_missing_or_of_the_wrong_version_says_why_it_says_nothing() {
    let directory = TempDir::new("nvml").unwrap();
    let missing = asked(&directory.path().join("libnvidia-ml.so.1"));
    assert!(missing.gpus.is_empty() && missing.error.unwrap().contains("libnvidia-ml.so.1"));
    // Something else altogether.
    let other = asked(&library(&directory, "other", "int nothing(void) { return 0; }"));
    assert!(other.gpus.is_empty() && !other.error.unwrap().is_empty());
    // The kernel's half of the driver has another version.
    let mismatch = asked(&library(&directory, "mismatch", "int nvmlInit_v2(void) { return 18; }"));
    let told = mismatch.error.unwrap();
    assert!(mismatch.gpus.is_empty() && told.contains("version"), "{told}");
}

#[test]
fn what_nvml_says_is_told_in_base_units_and_what_it_does_not_know_is_absent() {
    let source = r#"
        #include <string.h>
        int nvmlInit_v2(void) { return 0; }
        int nvmlShutdown(void) { return 0; }
        int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
            if (index == 1) return 15; /* it has fallen off the bus */
            *device = (void *)1;
            return 0;
        }
        int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) { *minor = 7; return 0; }
        int nvmlDeviceGetName(void *device, char *name, unsigned length) { strncpy(name, "A GPU", length); return 0; }
        int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) { rates[0] = 75; rates[1] = 250; return 0; }
        int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) { *milliwatts = 123500; return 0; }
        int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) { *mj = 1500; return 0; }
        int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius) { *celsius = 41; return 0; }
        int nvmlDeviceGetClockInfo(void *device, unsigned clock, unsigned *mhz) {
            *mhz = clock == 1 ? 1980 : 2619;
            return 0;
        }
        int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
            *reasons = 4;
            return 0;
        }
        int nvmlDeviceGetFanSpeed_v2(void *device, unsigned fan, unsigned *percent) { return 3; /* it has none */ }
    "#;
    let directory = TempDir::new("nvml").unwrap();
    let answer = asked(&library(&directory, "some", source));
    assert_eq!(answer.error, None);
    let [gpu] = answer.gpus.as_slice() else { panic!("{answer:?}") };
    let expected = GpuTelemetry {
        index: 0,
        device: "nvidia7".into(),
        source: "nvml".into(),
        model: Some("A GPU".into()),
        busy_ratio: Some(0.75),
        // More than all is all.
        memory_busy_ratio: Some(1.0),
        frequency_hertz: Some(1_980_000_000),
        memory_frequency_hertz: Some(2_619_000_000),
        power_watts: Some(123.5),
        energy_joules: Some(1.5),
        temperature_celsius: Some(41.0),
        is_throttled: Some(true),
        throttle_reasons: vec!["SW_POWER_CAP".into()],
        ..GpuTelemetry::default()
    };
    assert_eq!(*gpu, expected);
}
