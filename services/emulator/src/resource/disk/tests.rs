use std::collections::HashSet;
use std::fs;
use std::path::Path;

use nuncius_testkit::TempDir;

use super::claim::tests::leave;
use super::*;

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn data_files(path: &Path) -> Vec<PathBuf> {
    files(path).into_iter().filter(|path| path.file_name().is_some_and(|name| name != ".nuncius-resource")).collect()
}

#[test]
fn files_are_written_and_removed_and_the_directory_goes_with_the_last_owner() {
    let data = TempDir::new("disk").unwrap();
    let (mut disk, gauge) = (Disk::new(data.path().to_owned()), Arc::new(Gauge::default()));
    for bytes in [3 << 20, (20 << 20) + 77, 600 << 10, 0, 1 << 20] {
        let plan = DISK.exact(bytes);
        disk.hold(&plan, Rates { sync: true, ..Rates::default() }, &gauge, |_| Ok(())).unwrap();
        let on_disk: u64 = data_files(data.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert_eq!((on_disk, disk.plan(), gauge.held.load(Relaxed)), (bytes, plan, bytes));
    }
    assert!(data_files(data.path())[0].ends_with("d-524288/f-1"));
    drop(disk);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn no_two_blocks_are_alike() {
    let data = TempDir::new("disk").unwrap();
    let (mut disk, gauge) = (Disk::new(data.path().to_owned()), Arc::new(Gauge::default()));
    disk.hold(&DISK.exact(16 << 20), Rates::default(), &gauge, |_| Ok(())).unwrap();
    let contents: Vec<Vec<u8>> = data_files(data.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    let blocks: Vec<&[u8]> = contents.iter().flat_map(|content| content.chunks(4096)).collect();
    assert_eq!(blocks.iter().collect::<HashSet<_>>().len(), blocks.len());
}

#[test]
fn files_that_somebody_removed_are_written_again_and_others_are_let_be() {
    let data = TempDir::new("disk").unwrap();
    let (mut disk, gauge) = (Disk::new(data.path().to_owned()), Arc::new(Gauge::default()));
    let plan = DISK.exact(4 << 20);
    disk.hold(&plan, Rates::default(), &gauge, |_| Ok(())).unwrap();
    let first = data_files(data.path()).remove(0);
    fs::remove_file(&first).unwrap();
    assert_eq!(disk.plan().counts[0], plan.counts[0] - 1);
    let directory = first.parent().unwrap().to_owned();
    fs::write(directory.join("notes"), b"mine").unwrap();
    disk.hold(&plan, Rates::default(), &gauge, |_| Ok(())).unwrap();
    assert_eq!(disk.plan(), plan);
    drop(disk);
    assert_eq!(data_files(data.path()), [directory.join("notes")]);
}

#[test]
fn a_full_device_is_told_and_the_unfinished_file_does_not_count() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let gauge = Gauge::default();
    let written = write_file(full, 1 << 20, false, &mut Noise::new(1), &mut Vec::new(), &gauge, "d-1");
    let error = written.unwrap_err().to_string();
    assert!(error.contains("No space left") && error.contains("d-1"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let data = TempDir::new("disk").unwrap();
    // Even root makes no directory there.
    for path in [data.path().join("gone"), PathBuf::from("/proc")] {
        let (mut disk, gauge) = (Disk::new(path.clone()), Arc::new(Gauge::default()));
        let error = disk.hold(&DISK.exact(1), Rates::default(), &gauge, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn only_marked_directories_of_processes_that_are_gone_are_swept() {
    let data = TempDir::new("sweep").unwrap();
    let gone = "nuncius-resource-00000000000000aa";
    let left = leave(data.path(), gone, std::process::id(), "1");
    let nameless = leave(data.path(), "my-data", std::process::id(), "1");
    let digits = leave(data.path(), "nuncius-resource-12", std::process::id(), "1");
    let unmarked = data.path().join("nuncius-resource-00000000000000bb");
    fs::create_dir_all(unmarked.join("d-524288")).unwrap();
    fs::write(unmarked.join("d-524288/f-1"), b"mine").unwrap();
    let locked = leave(data.path(), "nuncius-resource-00000000000000cc", std::process::id(), "1");
    let lock = File::open(locked.join(".nuncius-resource")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    // A link to what looks like one, and a marker that is a link.
    let elsewhere = TempDir::new("elsewhere").unwrap();
    let target = leave(elsewhere.path(), gone, std::process::id(), "1");
    std::os::unix::fs::symlink(&target, data.path().join("nuncius-resource-00000000000000dd")).unwrap();
    let linked = data.path().join("nuncius-resource-00000000000000ee");
    fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(target.join(".nuncius-resource"), linked.join(".nuncius-resource")).unwrap();
    let own = Claim::make(data.path()).unwrap();

    assert_eq!(sweep(data.path()).unwrap(), 1);
    assert!(!left.exists());
    for path in [&nameless, &digits, &unmarked, &locked, &target, &linked, &own.path] {
        assert!(path.exists(), "{}", path.display());
    }
    assert!(target.join("d-524288/f-1").exists());
    drop(lock);
    assert_eq!(sweep(data.path()).unwrap(), 1);
    assert!(!locked.exists());
}

#[test]
fn what_a_stranger_put_into_a_directory_that_was_left_stays() {
    let data = TempDir::new("sweep").unwrap();
    let left = leave(data.path(), "nuncius-resource-00000000000000aa", std::process::id(), "1");
    let elsewhere = TempDir::new("elsewhere").unwrap();
    fs::write(elsewhere.path().join("f-1"), b"mine").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), left.join("d-2097152")).unwrap();
    assert_eq!(sweep(data.path()).unwrap(), 0);
    assert!(elsewhere.path().join("f-1").exists() && left.join("d-2097152").is_symlink());
    assert!(!left.join("d-524288").exists());
}
