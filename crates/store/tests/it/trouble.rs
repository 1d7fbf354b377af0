//! A disk that is full, a file that is gone, locked or slow: each is told, and nothing is half done afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nuncius_schemas::run::RunStatus;
use nuncius_store::{Piece, StepNames, Store, StoreError, StoreLimits, inspect};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::common::{Directory, batch, event, record, report, second, spec};

/// A disk of its own; none where this user may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(directory: &Directory) -> Option<Self> {
        let place = directory.path().join("disk");
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&place);
        mount.output().is_ok_and(|done| done.status.success()).then_some(Self(place))
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Short, so that a test is.
fn hasty() -> StoreLimits {
    StoreLimits { busy: Duration::from_millis(50), write: Duration::from_millis(400), ..StoreLimits::default() }
}

/// Another program that has the file open.
async fn other(path: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap()
}

/// Every insert into `event` takes far longer than it may.
const SLOW: &str = "CREATE TRIGGER slow AFTER INSERT ON event BEGIN \
                    INSERT INTO owner SELECT 'x' || max(n), 0, 0 FROM (WITH RECURSIVE c (n) AS \
                    (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 8000000) SELECT n FROM c); END";

#[tokio::test]
async fn a_full_disk_is_told_and_what_comes_after_is_whole() {
    let directory = Directory::new();
    let Some(disk) = SmallDisk::new(&directory) else {
        eprintln!("no disk can be mounted here: the test of the whole system limits the size of files instead");
        return;
    };
    let path = disk.0.join("nuncius.db");
    let store = Store::open_as_owner(&path, StoreLimits::default()).await.unwrap();
    let names = StepNames::of(&spec());
    store.upsert_experiment(&record("e1")).await.unwrap();
    let ballast = disk.fill();
    for sequence in 1..=3 {
        let error = store.add_records(&batch("e1", "n1", sequence, 1_000), &names).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        assert!(store.set_report(&report("e1")).await.is_err());
    }
    std::fs::remove_file(ballast).unwrap();
    // The very first after that is written, and another program sees it.
    store.set_report(&report("e1")).await.unwrap();
    assert_eq!(store.add_records(&batch("e1", "n1", 1, 1_000), &names).await.unwrap(), 1_000);
    let seen = Store::open(&path).await.unwrap();
    let held = seen.held("e1").await.unwrap();
    assert!(held.has_report && held.has_ended);
    assert_eq!((held.record_rows, seen.record_count("e1").await.unwrap()), (1_000, 1_000));
    seen.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_file_that_was_removed_is_made_anew_and_counted() {
    for is_directory_gone in [false, true] {
        let directory = Directory::new();
        let place = directory.path().join("data");
        let path = place.join("nuncius.db");
        let store = Store::open_as_owner(&path, StoreLimits::default()).await.unwrap();
        store.upsert_experiment(&record("e1")).await.unwrap();
        assert_eq!(store.generation(), 0);
        if is_directory_gone {
            std::fs::remove_dir_all(&place).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let error = store.add_event(&event("e1", 3, "late")).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
        assert_eq!(store.generation(), 1);
        store.keep(&[Piece::Experiment(&record("e1")), Piece::Second(&second("e1", 0))]).await.unwrap();
        let seen = Store::open(&path).await.unwrap();
        assert_eq!(seen.held("e1").await.unwrap().seconds, 1);
        assert!(seen.unended(10).await.unwrap()[0].has_owner, "it is known whose it is in the new file, too");
        assert_eq!(seen.generation(), 0);
        seen.close().await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_store_that_another_program_keeps_locked_is_told_and_used_once_it_is_free() {
    let directory = Directory::new();
    let store = Store::open_as_owner(directory.file(), hasty()).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    let other = other(&directory.file()).await;
    let mut held = other.acquire().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *held).await.unwrap();
    assert!(inspect(&directory.file(), Duration::from_millis(50)).await.unwrap().is_locked);
    let error = store.add_event(&event("e1", 3, "a")).await.unwrap_err();
    assert!(error.to_string().contains("locked"), "{error}");
    sqlx::query("ROLLBACK").execute(&mut *held).await.unwrap();
    store.add_event(&event("e1", 4, "b")).await.unwrap();
    let seen = inspect(&directory.file(), Duration::from_millis(50)).await.unwrap();
    assert_eq!((seen.is_locked, seen.version), (false, seen.newest));
    assert_eq!(store.events("e1").await.unwrap().len(), 1);
    drop(held);
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_takes_too_long_is_told_with_its_limit_and_leaves_nothing_half_done() {
    let directory = Directory::new();
    let store = Store::open_as_owner(directory.file(), hasty()).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    let other = other(&directory.file()).await;
    sqlx::query(SLOW).execute(&other).await.unwrap();
    let error = store.add_event(&event("e1", 3, "slow")).await.unwrap_err();
    assert!(matches!(error, StoreError::Slow { .. }) && error.to_string().contains("400ms"), "{error}");
    // One that is given up by who wanted it is no better.
    let (known, slow) = (record("e1"), event("e1", 4, "slow"));
    let pieces = [Piece::Experiment(&known), Piece::Event(&slow)];
    let given_up = store.keep(&pieces);
    assert!(tokio::time::timeout(Duration::from_millis(10), given_up).await.is_err());
    let mut drop_trigger = sqlx::query("DROP TRIGGER slow").execute(&other).await;
    while drop_trigger.is_err() {
        drop_trigger = sqlx::query("DROP TRIGGER slow").execute(&other).await;
    }
    let mut written = store.add_event(&event("e1", 5, "quick")).await;
    while written.is_err() {
        written = store.add_event(&event("e1", 5, "quick")).await;
    }
    let messages: Vec<_> = store.events("e1").await.unwrap().into_iter().map(|event| event.message).collect();
    assert_eq!(messages, ["quick"]);
    other.close().await;
}

#[tokio::test]
async fn what_has_not_ended_belongs_to_its_process_for_as_long_as_that_lives() {
    let directory = Directory::new();
    let first = Store::open_as_owner(directory.file(), StoreLimits::default()).await.unwrap();
    let second = Store::open_as_owner(directory.file(), StoreLimits::default()).await.unwrap();
    first.upsert_experiment(&record("e1")).await.unwrap();
    let mut ended = record("e2");
    ended.status = RunStatus::Finished;
    first.upsert_experiment(&ended).await.unwrap();
    let only = |mut unended: Vec<nuncius_store::Unended>| {
        assert_eq!(unended.len(), 1);
        let unended = unended.remove(0);
        assert_eq!((unended.id.as_str(), unended.status), ("e1", RunStatus::Running));
        (unended.has_owner, unended.is_own)
    };
    assert_eq!(only(first.unended(10).await.unwrap()), (true, true));
    assert_eq!(only(second.unended(10).await.unwrap()), (true, false));
    // Its process ends: the lock goes with it.
    first.close().await;
    drop(first);
    assert_eq!(only(second.unended(10).await.unwrap()), (false, false));
    assert!(second.close_abandoned("e1", "nobody", 9).await.unwrap());
    assert!(!second.close_abandoned("e1", "nobody", 10).await.unwrap());
    assert!(second.unended(10).await.unwrap().is_empty());
    let closed = second.experiment("e1").await.unwrap();
    assert_eq!(
        (closed.status, closed.reason.as_deref(), closed.ended_unix_ms),
        (RunStatus::Failed, Some("nobody"), Some(9))
    );
    let left = std::fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("-owner-"));
    assert_eq!(left.count(), 1, "only that of the process that lives");
}
