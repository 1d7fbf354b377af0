//! What a machine is.

use nuncius_schemas::telemetry::MachineDescription;

use crate::config::Roots;
use crate::processor::parse_stat;
use crate::source::{Source, Tree};

/// Describes a machine; `host` is its name as the host gives it. Reads files.
pub fn describe(roots: &Roots, host: &str) -> MachineDescription {
    let mut source = Source::new(roots.clone());
    let stat = source.parse(Tree::Proc, "stat", |text| parse_stat(text, 1)).unwrap_or_default();
    let memory = crate::memory::read(&mut source).map_or(0, |memory| memory.total_bytes);
    let system = rustix::system::uname();
    let kernel_file = source.path(Tree::Proc, "sys/kernel/osrelease");
    let kernel = source.line_at(&kernel_file).unwrap_or_else(|| system.release().to_string_lossy().into_owned());
    let processor = source.parse(Tree::Proc, "cpuinfo", |text| Ok(model(text))).flatten();
    let named = |names: Vec<String>, is_wanted: fn(&str) -> bool| {
        names.into_iter().filter(|name| is_wanted(name)).take(64).collect::<Vec<_>>()
    };
    let disks = named(source.names(Tree::Sys, "block"), |name| !name.starts_with("loop") && !name.starts_with("ram"));
    let interfaces = named(source.names(Tree::Sys, "class/net"), |name| name != "lo");
    MachineDescription {
        host: host.to_owned(),
        machine: machine(&mut source),
        architecture: system.machine().to_string_lossy().into_owned(),
        kernel: format!("{} {kernel}", system.sysname().to_string_lossy()),
        processor,
        processors: u32::try_from(stat.cores.len()).unwrap_or(u32::MAX),
        memory_bytes: memory,
        booted_unix_ms: stat.booted.unwrap_or(0).saturating_mul(1_000),
        disks,
        interfaces,
        gpus: Vec::new(),
    }
}

/// Identifier of the machine since it was booted; empty where the kernel does not say.
pub(crate) fn machine(source: &mut Source) -> String {
    let path = source.path(Tree::Proc, "sys/kernel/random/boot_id");
    source.line_at(&path).unwrap_or_default()
}

/// What processors call themselves in /proc/cpuinfo: on x86, on ARM boards, on others.
fn model(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().chars().take(128).collect::<String>())
        })
    };
    value("model name").or_else(|| value("Model")).or_else(|| value("cpu model")).filter(|model| !model.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_what_it_is() {
        let machine = describe(&Roots::default(), "h");
        assert_eq!(machine.host, "h");
        assert!(machine.processors > 0 && machine.memory_bytes > 0 && machine.booted_unix_ms > 0, "{machine:?}");
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
        assert_eq!(machine.machine.len(), 36);
    }

    #[test]
    fn processors_are_named_whatever_their_kind() {
        assert_eq!(model("processor : 0\nmodel name\t: A B\n").as_deref(), Some("A B"));
        assert_eq!(model("processor : 0\nModel : Raspberry Pi 4\n").as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(model("nothing\n"), None);
    }
}
