//! What one sample costs: processor time of the thread that takes it, on this machine and on one with many containers.
//!
//! `sample_cost [ROUNDS [SAMPLES]]` prints a line for each round. Samples are 100 ms apart, ten times as often as they
//! are taken by default: what is costly is then read as often as its share of a processor lets it, so that a sample a
//! second costs no more than what is told here.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nuncius_machine::{MachineConfig, Roots, Sampler};

/// Time between two samples.
const PERIOD: Duration = Duration::from_millis(100);
/// Containers of the machine that is made of files.
const CONTAINERS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().parse::<u32>());
    let rounds = arguments.next().transpose()?.unwrap_or(3);
    let samples = arguments.next().transpose()?.unwrap_or(50);
    let root = std::env::temp_dir().join(format!("nuncius-sample-cost-{}", std::process::id()));
    make_containers(&root)?;
    let many = MachineConfig { roots: Roots { sys: root.join("sys"), ..Roots::default() }, ..MachineConfig::default() };
    for _ in 0..rounds {
        let (plain_us, plain_bytes) = cost(MachineConfig::default(), samples)?;
        let (many_us, many_bytes) = cost(many.clone(), samples)?;
        println!(
            "sample_us={plain_us:.1} sample_bytes={plain_bytes} containers={CONTAINERS} containers_us={many_us:.1} \
             containers_bytes={many_bytes}"
        );
    }
    fs::remove_dir_all(root)?;
    Ok(())
}

/// Microseconds of processor time of a sample, all of them together, the first left out; and the bytes of the largest.
fn cost(config: MachineConfig, samples: u32) -> Result<(f64, usize), Box<dyn std::error::Error>> {
    let mut sampler = Sampler::new(config);
    let mut before_ns = sampler.sample().sampling.cpu_ns;
    let first_ns = before_ns;
    let mut bytes = 0;
    let mut due = Instant::now();
    for _ in 0..samples {
        due += PERIOD;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sample = sampler.sample();
        before_ns = sample.sampling.cpu_ns;
        bytes = bytes.max(nuncius_schemas::codec::encode(&sample)?.len());
    }
    Ok(((before_ns - first_ns) as f64 / 1e3 / f64::from(samples.max(1)), bytes))
}

/// A tree of control groups as Docker leaves it.
fn make_containers(root: &Path) -> std::io::Result<()> {
    let tree = root.join("sys/fs/cgroup");
    fs::create_dir_all(&tree)?;
    fs::write(tree.join("cgroup.controllers"), "cpu io memory pids\n")?;
    for number in 0..CONTAINERS {
        let group = tree.join(format!("system.slice/docker-{number:064x}.scope"));
        fs::create_dir_all(&group)?;
        for (file, text) in [
            ("cpu.stat", "usage_usec 1\nuser_usec 1\nsystem_usec 1\nnr_periods 1\nnr_throttled 1\nthrottled_usec 1\n"),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 1\nfile 2\nkernel 3\ninactive_file 300\nactive_file 4\n"),
            ("memory.max", "max\n"),
            ("memory.swap.current", "0\n"),
            ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"),
            ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n"),
            ("pids.current", "4\n"),
            ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\n"),
            ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\n"),
            ("io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\n"),
            ("cgroup.procs", "1\n"),
        ] {
            fs::write(group.join(file), text)?;
        }
    }
    Ok(())
}
