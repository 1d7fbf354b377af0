//! What may be had now: the narrowest of the control groups (version 2 or 1), the host and the settings, with a floor
//! that is always left. Read anew for every request.

use std::io;
use std::path::{Component, Path, PathBuf};

use nuncius_schemas::resource::ResourceKind;

/// The floor is at least this, unless it was set, in bytes.
const FLOOR_LEAST_BYTES: u64 = 64 << 20;
/// The floor is at least one in this many bytes of the whole, unless it was set: 5 %.
const FLOOR_SHARE: u64 = 20;
/// And at most one in this many: a volume of 64 MiB is not all floor.
const FLOOR_SHARE_MOST: u64 = 4;
/// Types of file systems that are memory (statfs(2)): tmpfs and ramfs.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Where limits come from.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Below this are `proc` and `sys`: `/`, but for tests.
    pub(crate) root: PathBuf,
    /// Where files go.
    pub(crate) data_directory: PathBuf,
    /// What is left free, in bytes; none: 5 %, and 64 MiB at least where that is no more than a quarter.
    pub(crate) floor_bytes: Option<u64>,
    /// Most memory that may be held, in bytes.
    pub(crate) memory_cap_bytes: Option<u64>,
    /// Most disk that may be held, in bytes.
    pub(crate) disk_cap_bytes: Option<u64>,
    /// Processors that this process may run on.
    pub(crate) cores: u64,
}

/// Room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Free for this process, the floor included, in bytes.
    pub(crate) available_bytes: u64,
    /// What must be left, in bytes.
    pub(crate) floor_bytes: u64,
}

/// A limit that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the limit of {kind} cannot be read from {path}: {problem}")]
pub(crate) struct LimitError {
    kind: ResourceKind,
    path: String,
    problem: String,
}

/// Processors that this process may run on.
pub(crate) fn allowed_cores() -> u64 {
    let allowed = rustix::thread::sched_getaffinity(None).map_or(1, |set| u64::from(set.count()));
    allowed.max(1)
}

impl Limits {
    /// Room for memory or disk.
    pub(crate) fn room(&self, kind: ResourceKind) -> Result<Room, LimitError> {
        let (available_bytes, whole_bytes) = match kind {
            ResourceKind::Disk => self.disk_bytes()?,
            _ => self.memory_bytes()?,
        };
        let usual_bytes = FLOOR_LEAST_BYTES.min(whole_bytes / FLOOR_SHARE_MOST).max(whole_bytes / FLOOR_SHARE);
        let floor_bytes = self.floor_bytes.unwrap_or(usual_bytes);
        Ok(Room { available_bytes, floor_bytes })
    }

    /// Most that may be wanted in all where `held_bytes` are held already.
    pub(crate) fn most_bytes(&self, kind: ResourceKind, room: Room, held_bytes: u64) -> u64 {
        let cap_bytes = match kind {
            ResourceKind::Disk => self.disk_cap_bytes,
            _ => self.memory_cap_bytes,
        };
        let most_bytes = held_bytes.saturating_add(room.available_bytes).saturating_sub(room.floor_bytes);
        most_bytes.min(cap_bytes.unwrap_or(u64::MAX))
    }

    /// Most load that may be wanted, in thousandths of a percent of one core.
    pub(crate) fn most_core_millipercent(&self) -> u64 {
        let quotas = self.groups("cpu").into_iter().filter_map(|group| quota_millipercent(&group));
        quotas.fold(self.cores.saturating_mul(100_000), u64::min)
    }

    /// Available and whole, in bytes. A disk that is memory has no more than there is of that.
    fn disk_bytes(&self) -> Result<(u64, u64), LimitError> {
        let wrong = |error: rustix::io::Errno| LimitError {
            kind: ResourceKind::Disk,
            path: self.data_directory.display().to_string(),
            problem: io::Error::from(error).to_string(),
        };
        let read = rustix::fs::statvfs(&self.data_directory).map_err(wrong)?;
        let disk = (read.f_bavail.saturating_mul(read.f_frsize), read.f_blocks.saturating_mul(read.f_frsize));
        let kind = rustix::fs::statfs(&self.data_directory).map_err(wrong)?.f_type;
        // The field's type differs between architectures; numbers of types have 32 bits.
        let is_memory = u64::try_from(kind).is_ok_and(|kind| MEMORY_FILE_SYSTEMS.contains(&(kind & 0xffff_ffff)));
        if !is_memory {
            return Ok(disk);
        }
        // What memory there is may be hidden here; what the file system says of itself is not.
        let Ok(memory) = self.memory_bytes() else { return Ok(disk) };
        // A ramfs says 0 of itself: it has no limit of its own.
        Ok(if disk.1 == 0 { memory } else { (disk.0.min(memory.0), disk.1.min(memory.1)) })
    }

    /// Available and whole, in bytes.
    fn memory_bytes(&self) -> Result<(u64, u64), LimitError> {
        let path = self.root.join("proc/meminfo");
        let wrong =
            |problem: String| LimitError { kind: ResourceKind::Memory, path: path.display().to_string(), problem };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let field = |name: &str| field_of(&text, name).and_then(|kibibytes| kibibytes.checked_mul(1024));
        let available = field("MemAvailable:").ok_or_else(|| wrong("no MemAvailable in it".to_owned()))?;
        let whole = field("MemTotal:").unwrap_or(available);
        let groups = self.groups("memory").into_iter().filter_map(|group| group_memory(&group));
        Ok(groups.fold((available, whole), |least, group| (least.0.min(group.0), least.1.min(group.1))))
    }

    /// Directories of the control groups that this process is in, with all that they are in.
    fn groups(&self, controller: &str) -> Vec<PathBuf> {
        // Without it there are no groups to heed.
        let text = std::fs::read_to_string(self.root.join("proc/self/cgroup")).unwrap_or_default();
        let mut groups = Vec::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let mount = if controllers.is_empty() {
                self.root.join("sys/fs/cgroup")
            } else if controllers.split(',').any(|name| name == controller) {
                self.root.join("sys/fs/cgroup").join(controller)
            } else {
                continue;
            };
            let within: PathBuf =
                Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
            groups.extend(within.ancestors().map(|part| mount.join(part)));
        }
        groups
    }
}

fn field_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn number_in(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Available and whole, in bytes; none where the group has no limit.
fn group_memory(group: &Path) -> Option<(u64, u64)> {
    let files = [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ];
    files.into_iter().find_map(|(limit, usage, cache)| {
        // `max` is no number, and no limit.
        let limit = number_in(&group.join(limit))?;
        let used = number_in(&group.join(usage))?;
        // Files that are cached make room as soon as it is needed.
        let statistics = std::fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let cached = field_of(&statistics, &format!("{cache} ")).unwrap_or(0);
        Some((limit.saturating_sub(used.saturating_sub(cached)), limit))
    })
}

fn quota_millipercent(group: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(group.join("cpu.max")).ok();
    let (quota, period): (u64, u64) = match text.as_deref().and_then(|text| text.trim().split_once(' ')) {
        // `max` is no number, and no limit.
        Some((quota, period)) => (quota.parse().ok()?, period.parse().ok()?),
        None => (number_in(&group.join("cpu.cfs_quota_us"))?, number_in(&group.join("cpu.cfs_period_us"))?),
    };
    quota.checked_mul(100_000)?.checked_div(period)
}

#[cfg(test)]
mod tests {
    use nuncius_testkit::TempDir;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn made_up(files: &[(&str, &str)]) -> (TempDir, Limits) {
        let root = TempDir::new("limits").unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let limits = Limits {
            root: root.path().to_owned(),
            data_directory: root.path().to_owned(),
            floor_bytes: None,
            memory_cap_bytes: None,
            disk_cap_bytes: None,
            cores: 8,
        };
        (root, limits)
    }

    const HOST: (&str, &str) = ("proc/meminfo", "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable:   8388608 kB\n");

    #[test]
    fn without_groups_the_host_limits_and_a_floor_is_left() {
        let (_root, mut limits) = made_up(&[HOST]);
        let room = limits.room(ResourceKind::Memory).unwrap();
        assert_eq!(room, Room { available_bytes: 8 * GIB, floor_bytes: 16 * GIB / 20 });
        assert_eq!(limits.most_bytes(ResourceKind::Memory, room, GIB), 9 * GIB - 16 * GIB / 20);
        limits.memory_cap_bytes = Some(GIB);
        assert_eq!(limits.most_bytes(ResourceKind::Memory, room, GIB), GIB);
        assert_eq!(limits.most_core_millipercent(), 800_000);
        limits.floor_bytes = Some(0);
        assert_eq!(limits.room(ResourceKind::Memory).unwrap().floor_bytes, 0);
    }

    #[test]
    fn what_is_left_is_a_quarter_at_most_of_what_is_small() {
        const MIB: u64 = 1 << 20;
        let small = ("proc/meminfo", "MemTotal: 65536 kB\nMemAvailable: 61440 kB\n");
        let (_root, limits) = made_up(&[small]);
        let room = limits.room(ResourceKind::Memory).unwrap();
        assert_eq!(room, Room { available_bytes: 60 * MIB, floor_bytes: 16 * MIB });
        assert_eq!(limits.most_bytes(ResourceKind::Memory, room, 0), 44 * MIB);
    }

    #[test]
    fn a_disk_that_is_memory_has_no_more_than_there_is_of_that() {
        let (_root, mut limits) = made_up(&[("proc/meminfo", "MemTotal: 8192 kB\nMemAvailable: 4096 kB\n")]);
        limits.data_directory = PathBuf::from("/dev/shm");
        let kind = rustix::fs::statfs(&limits.data_directory).map(|read| read.f_type as u64 & 0xffff_ffff);
        if !kind.is_ok_and(|kind| MEMORY_FILE_SYSTEMS.contains(&kind)) {
            println!("no file system in memory is here");
            return;
        }
        assert!(limits.room(ResourceKind::Disk).unwrap().available_bytes <= 4096 * 1024);
    }

    #[test]
    fn the_narrowest_group_of_version_2_limits_and_its_cached_files_count_as_free() {
        let (_root, limits) = made_up(&[
            HOST,
            ("proc/self/cgroup", "0::/pods/one\n"),
            ("sys/fs/cgroup/pods/one/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/one/memory.current", "1\n"),
            ("sys/fs/cgroup/pods/one/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/pods/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/pods/memory.current", "536870912\n"),
            ("sys/fs/cgroup/pods/memory.stat", "anon 5\ninactive_file 134217728\n"),
            ("sys/fs/cgroup/pods/cpu.max", "150000 100000\n"),
        ]);
        let room = limits.room(ResourceKind::Memory).unwrap();
        assert_eq!(room, Room { available_bytes: 640 << 20, floor_bytes: 64 << 20 });
        assert_eq!(limits.most_core_millipercent(), 150_000);
        std::fs::write(limits.root.join("sys/fs/cgroup/pods/memory.max"), "536870912").unwrap();
        assert_eq!(limits.room(ResourceKind::Memory).unwrap().available_bytes, 128 << 20, "read anew");
    }

    #[test]
    fn groups_of_version_1_limit_too_even_where_only_the_mount_is_seen() {
        let (_root, limits) = made_up(&[
            HOST,
            ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/../abc\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(limits.room(ResourceKind::Memory).unwrap().available_bytes, GIB);
        assert_eq!(limits.most_core_millipercent(), 250_000);
        std::fs::write(limits.root.join("sys/fs/cgroup/cpu/cpu.cfs_quota_us"), "-1").unwrap();
        assert_eq!(limits.most_core_millipercent(), 800_000);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let (_root, mut limits) = made_up(&[("proc/meminfo", "MemTotal: x kB\n")]);
        let error = limits.room(ResourceKind::Memory).unwrap_err().to_string();
        assert!(error.contains("MemAvailable") && error.contains("proc/meminfo"), "{error}");
        assert!(limits.room(ResourceKind::Disk).unwrap().available_bytes > 0);
        limits.data_directory.push("gone");
        assert!(limits.room(ResourceKind::Disk).unwrap_err().to_string().contains("gone"));
    }
}
