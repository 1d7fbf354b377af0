use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nuncius_testkit::{TempDir, eventually};

use super::*;

/// A made-up root.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(TempDir::new("inventory").unwrap())
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Hardware at a slot of the bus, with these files.
    fn hardware(&self, slot: &str, driver: &str, files: &[(&str, &str)]) {
        self.write(&format!("sys/bus/pci/drivers/{driver}/bind"), "");
        files.iter().for_each(|(file, text)| self.write(&format!("sys/devices/{slot}/{file}"), text));
        let link = self.root().join(format!("sys/devices/{slot}/driver"));
        symlink(self.root().join("sys/bus/pci/drivers").join(driver), link).unwrap();
    }

    /// A node of the hardware at a slot.
    fn node(&self, name: &str, slot: &str) {
        self.write(&format!("dev/dri/{name}"), "");
        self.write(&format!("sys/class/drm/{name}/dev"), "226:0");
        let link = self.root().join(format!("sys/class/drm/{name}/device"));
        symlink(self.root().join("sys/devices").join(slot), link).unwrap();
    }

    fn find(&self, files: &[&str]) -> Inventory {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        Inventory::find(self.root(), &files)
    }
}

const AMD: [(&str, &str); 9] = [
    ("vendor", "0x1002\n"),
    ("device", "0x73bf\n"),
    ("gpu_busy_percent", "42\n"),
    ("mem_info_vram_total", "17163091968\n"),
    ("mem_info_vram_used", "1048576\n"),
    ("hwmon/hwmon3/temp1_input", "61500\n"),
    ("hwmon/hwmon3/power1_average", "123000000\n"),
    ("hwmon/hwmon3/name", "amdgpu\n"),
    ("power/runtime_status", "active\n"),
];

fn amd() -> Tree {
    let tree = Tree::new();
    tree.hardware("0000:03:00.0", "amdgpu", &AMD);
    tree.node("card0", "0000:03:00.0");
    tree.node("renderD128", "0000:03:00.0");
    tree
}

fn names(inventory: &Inventory) -> Vec<&str> {
    inventory.devices().iter().map(|device| device.name.as_str()).collect()
}

#[test]
fn nodes_are_told_with_driver_ids_and_memory() {
    let tree = amd();
    tree.write("dev/dri/by-path/pci-0000:03:00.0-card", "");
    tree.write("dev/dri/controlD64", "");
    let inventory = tree.find(&[]);
    assert_eq!(names(&inventory), ["renderD128", "card0"]);
    for device in inventory.devices() {
        assert_eq!(device.kind, DeviceKind::Drm);
        assert_eq!(device.path, format!("/dev/dri/{}", device.name));
        assert_eq!(device.model.as_deref(), Some("amdgpu 1002:73bf"));
        assert_eq!(device.memory_bytes, Some(17_163_091_968));
    }
}

#[test]
fn one_piece_of_hardware_gives_one_sample_under_the_name_that_results_use() {
    let tree = amd();
    for (files, name) in [(&[][..], "renderD128"), (&["/dev/dri/card0"], "card0")] {
        let samples = tree.find(files).samples();
        let wanted = DeviceSample {
            name: name.to_owned(),
            emulated: false,
            utilization: Some(0.42),
            memory_used_bytes: Some(1_048_576),
            temperature_celsius: Some(61.5),
            power_watts: Some(123.0),
        };
        assert_eq!(samples, [wanted]);
    }
}

#[test]
fn hardware_that_sleeps_is_not_asked_and_what_is_not_there_is_absent() {
    let tree = amd();
    let inventory = tree.find(&[]);
    tree.write("sys/devices/0000:03:00.0/power/runtime_status", "suspended\n");
    assert!(inventory.samples().is_empty());
    tree.write("sys/devices/0000:03:00.0/power/runtime_status", "active\n");
    tree.write("sys/devices/0000:03:00.0/gpu_busy_percent", "no number\n");
    let samples = inventory.samples();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].utilization, None);
    fs::remove_dir_all(tree.root().join("sys")).unwrap();
    assert!(inventory.samples().is_empty());
}

#[test]
fn hardware_without_sensors_is_told_of_and_says_nothing() {
    let tree = Tree::new();
    tree.hardware("0000:00:02.0", "i915", &[("vendor", "0x8086\n"), ("device", "0x9a49\n")]);
    tree.node("card1", "0000:00:02.0");
    tree.write("dev/dri/renderD200", "");
    let inventory = tree.find(&[]);
    let models: Vec<_> = inventory.devices().iter().map(|device| device.model.as_deref()).collect();
    assert_eq!(names(&inventory), ["renderD200", "card1"]);
    assert_eq!(models, [None, Some("i915 8086:9a49")]);
    assert!(inventory.samples().is_empty());
}

#[test]
fn nvidia_files_are_told_of_in_the_order_of_their_numbers() {
    let tree = Tree::new();
    for name in ["nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-uvm", "nvidia", "nvidia99999999999999"] {
        tree.write(&format!("dev/{name}"), "");
    }
    let inventory = tree.find(&[]);
    assert_eq!(names(&inventory), ["nvidia0", "nvidia2", "nvidia10"]);
    assert!(inventory.devices().iter().all(|device| device.kind == DeviceKind::Nvidia && device.model.is_none()));
    assert!(inventory.samples().is_empty());
}

#[test]
fn files_of_the_pattern_are_devices_and_none_is_told_of_twice() {
    let tree = amd();
    tree.write("dev/nvidia0", "");
    let inventory = tree.find(&["/dev/dri/renderD128", "/dev/nvidia0", "/dev/fpga0", "/dev/fpga0"]);
    assert_eq!(names(&inventory), ["renderD128", "card0", "nvidia0", "fpga0"]);
    let last = inventory.devices().last().unwrap();
    assert_eq!((last.kind, last.path.as_str()), (DeviceKind::File, "/dev/fpga0"));
}

#[test]
fn an_empty_machine_has_no_devices_and_too_many_are_cut() {
    let tree = Tree::new();
    assert!(tree.find(&[]).devices().is_empty());
    let files: Vec<PathBuf> = (0..=DEVICES_MAX).map(|number| format!("/dev/x{number}").into()).collect();
    assert_eq!(Inventory::find(tree.root(), &files).devices().len(), DEVICES_MAX);
}

#[test]
fn looking_at_this_machine_does_not_fail() {
    let inventory = Inventory::find(Path::new("/"), &[]);
    assert!(inventory.samples().len() <= inventory.devices().len());
}

#[tokio::test]
async fn the_host_tells_its_memory_at_once_and_its_processors_once_there_is_a_span() {
    let mut inventory = Tree::new().find(&[]);
    let first = inventory.host_sample();
    assert!(first.memory_total_bytes.unwrap() > first.memory_used_bytes.unwrap());
    assert_eq!(first.cpu_share, None);
    let mut share = || {
        let share = inventory.host_sample().cpu_share;
        async move { share }
    };
    let share = eventually(Duration::from_secs(10), &mut share).await.unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
}
