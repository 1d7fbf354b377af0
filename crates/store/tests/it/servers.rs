//! Servers that are away, full, read-only, in each other's way, or take less than they are given: each is told without
//! a password, and nothing is half done afterwards.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nuncius_store::{Piece, Place, StepNames, Store, StoreError, StoreLimits, inspect};
use nuncius_testkit::{SqlKind, SqlServer, TempDir, eventually};

use crate::common::{Kind, Site, batch, event, record, report, second, spec};

const SERVERS: [SqlKind; 2] = [SqlKind::Postgres, SqlKind::MariaDb];

fn place(server: &SqlServer, database: &str) -> Place {
    Place::parse(&server.url(database)).unwrap()
}

fn hasty() -> StoreLimits {
    StoreLimits {
        busy: Duration::from_millis(300),
        write: Duration::from_secs(5),
        owner: Duration::from_millis(600),
        ..StoreLimits::default()
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_told_at_once_and_used_when_it_is_back() {
    for kind in SERVERS {
        let mut server = SqlServer::start(kind, &[]).await.unwrap();
        let place = place(&server, &server.database().unwrap());
        let store = Store::open_as_owner(&place, hasty()).await.unwrap();
        store.upsert_experiment(&record("e1")).await.unwrap();
        assert_eq!(store.events("e1").await.unwrap().len(), 0);
        server.stop();
        let asked = Instant::now();
        let error = store.add_event(&event("e1", 3, "away")).await.unwrap_err().to_string();
        assert!(asked.elapsed() < Duration::from_secs(2), "{error}");
        assert!(error.contains(&place.to_string()) && !error.contains(server.password()), "{error}");
        let names = StepNames::of(&spec());
        assert!(store.add_records(&batch("e1", "n1", 1, 10), &names).await.is_err());
        let error = inspect(&place, Duration::from_secs(2)).await.unwrap_err().to_string();
        assert!(error.contains("check that the server runs there"), "{error}");
        server.resume().await.unwrap();
        // The very first is written, by the connection that was broken, too.
        store.add_event(&event("e1", 4, "back")).await.unwrap();
        assert_eq!(store.add_records(&batch("e1", "n1", 1, 10), &names).await.unwrap(), 10);
        let messages: Vec<_> = store.events("e1").await.unwrap().into_iter().map(|event| event.message).collect();
        assert_eq!(messages, ["back"]);
        // It goes away between two statements of one that is open, with nobody having noticed.
        server.stop();
        server.resume().await.unwrap();
        store.add_event(&event("e1", 5, "again")).await.unwrap();
        assert_eq!(store.events("e1").await.unwrap().len(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn who_may_not_in_is_told_without_a_password() {
    for kind in SERVERS {
        let server = SqlServer::shared(kind).await.unwrap();
        let database = server.database().unwrap();
        let wrong = server.url(&database).replace(server.password(), "wr0ng-one");
        let error = Store::open(Place::parse(&wrong).unwrap()).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        assert!(told.contains("the password") && !told.contains("wr0ng-one"), "{told}");
        let nowhere = Place::parse(&server.url("nowhere")).unwrap();
        let error = Store::open(nowhere).await.unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("the database"), "{error}");
        assert!(!error.contains(server.password()), "{error}");
    }
}

#[tokio::test]
async fn who_may_only_read_reads_and_is_told_what_cannot_be_written() {
    for kind in SERVERS {
        let server = SqlServer::shared(kind).await.unwrap();
        let database = server.database().unwrap();
        let place = place(server, &database);
        let store = Store::open(&place).await.unwrap();
        store.upsert_experiment(&record("e1")).await.unwrap();
        store.close().await;
        let user = format!("reader_{database}");
        let grant = match kind {
            SqlKind::Postgres => format!(
                "CREATE USER {user} PASSWORD 'p'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}; \
                 ALTER DATABASE {database} SET default_transaction_read_only = on"
            ),
            SqlKind::MariaDb => {
                format!("CREATE USER {user}@'%' IDENTIFIED BY 'p'; GRANT SELECT ON {database}.* TO {user}@'%'")
            }
        };
        server.sql(&database, &grant).unwrap();
        let url = server.url(&database).replace("nuncius:", &format!("{user}:")).replace(server.password(), "p");
        let place = Place::parse(&url).unwrap();
        let reader = Store::open(&place).await.unwrap();
        assert_eq!(reader.list_experiments(10).await.unwrap().len(), 1);
        let error = reader.add_event(&event("e1", 1, "x")).await.unwrap_err().to_string();
        assert!(error.contains("cannot write an event"), "{error}");
        assert!(error.contains("read-only") || error.contains("denied"), "{error}");
        assert!(Store::open_as_owner(&place, hasty()).await.is_err(), "a daemon finds it out when it starts");
        if kind == SqlKind::Postgres {
            assert!(inspect(&place, Duration::from_secs(5)).await.unwrap().is_read_only);
        }
        reader.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_are_in_each_others_way_are_tried_again() {
    for kind in SERVERS {
        let server = SqlServer::shared(kind).await.unwrap();
        let place = place(server, &server.database().unwrap());
        let first = Store::open_as_owner(&place, hasty()).await.unwrap();
        let second = Store::open_as_owner(&place, hasty()).await.unwrap();
        // Each takes the row of one experiment and wants that of the other.
        let write = |store: Store, one: &'static str, two: &'static str| {
            tokio::spawn(async move {
                let (one, two) = (record(one), record(two));
                for _ in 0..200 {
                    store.keep(&[Piece::Experiment(&one), Piece::Experiment(&two)]).await.unwrap();
                }
            })
        };
        let (one, two) = (write(first.clone(), "e1", "e2"), write(second.clone(), "e2", "e1"));
        one.await.unwrap();
        two.await.unwrap();
        assert_eq!(first.list_experiments(10).await.unwrap().len(), 2);
        first.close().await;
        second.close().await;
    }
}

#[tokio::test]
async fn what_is_larger_than_the_server_takes_is_told_and_many_rows_go_in_parts() {
    let server = SqlServer::start(SqlKind::MariaDb, &["--max-allowed-packet=1M"]).await.unwrap();
    let store = Store::open(place(&server, &server.database().unwrap())).await.unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    let mut seconds: Vec<_> = (0..40).map(|at| second("e1", at)).collect();
    for second in &mut seconds {
        second.groups[0].steps[0].response.histogram = vec![7; 100_000];
    }
    let pieces: Vec<_> = seconds.iter().map(Piece::Second).collect();
    store.keep(&pieces).await.unwrap();
    assert_eq!(store.held("e1").await.unwrap().seconds, 40);
    let mut large = report("e1");
    large.reasons = vec!["x".repeat(2_000_000)];
    let error = store.set_report(&large).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: 1_048_576, .. }), "{error}");
    assert!(error.to_string().contains("`max_allowed_packet`"), "{error}");
    assert!(!store.held("e1").await.unwrap().has_report);
    store.set_report(&report("e1")).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn documents_of_many_megabytes_come_back_whole() {
    let server = SqlServer::start(SqlKind::MariaDb, &["--max-allowed-packet=64M"]).await.unwrap();
    let postgres = Site::new(Kind::Postgres).await;
    for place in [place(&server, &server.database().unwrap()), postgres.place()] {
        let store = Store::open(place).await.unwrap();
        store.upsert_experiment(&record("e1")).await.unwrap();
        let mut large = report("e1");
        // One message of MySQL's has 16 MiB at most.
        large.reasons = vec!["x".repeat(20_000_000)];
        store.set_report(&large).await.unwrap();
        assert_eq!(store.report("e1").await.unwrap().unwrap().reasons, large.reasons);
        store.close().await;
    }
}

#[tokio::test]
async fn what_has_not_ended_belongs_to_its_process_for_as_long_as_the_server_sees_it() {
    for kind in SERVERS {
        let server = SqlServer::shared(kind).await.unwrap();
        let place = place(server, &server.database().unwrap());
        let first = Store::open_as_owner(&place, hasty()).await.unwrap();
        let second = Store::open_as_owner(&place, hasty()).await.unwrap();
        first.upsert_experiment(&record("e1")).await.unwrap();
        let owners = async |store: &Store| {
            let unended = store.unended(10).await.unwrap();
            unended.iter().map(|unended| (unended.has_owner, unended.is_own)).collect::<Vec<_>>()
        };
        assert_eq!(owners(&first).await, [(true, true)]);
        // For longer than one that is silent would be believed.
        let until = Instant::now() + Duration::from_millis(1_500);
        while Instant::now() < until {
            assert_eq!(owners(&second).await, [(true, false)]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        first.close().await;
        drop(first);
        let gone = async || (owners(&second).await == [(false, false)]).then_some(());
        assert!(eventually(Duration::from_secs(10), gone).await.is_some());
        assert!(second.close_abandoned("e1", "nobody", 9).await.unwrap());
        assert!(!second.close_abandoned("e1", "nobody", 10).await.unwrap());
        second.close().await;
    }
}

/// A disk of its own; none where this user may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(directory: &TempDir, size: &str) -> Option<Self> {
        let place = directory.path().join("disk");
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0777"), "tmpfs"]).arg(&place);
        mount.output().is_ok_and(|done| done.status.success()).then_some(Self(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_server_whose_disk_is_full_is_told_and_what_comes_after_is_whole() {
    let directory = TempDir::new("full").unwrap();
    let Some(disk) = SmallDisk::new(&directory, "24m") else {
        eprintln!("no disk can be mounted here");
        return;
    };
    let server = SqlServer::start(SqlKind::Postgres, &[]).await.unwrap();
    let space = disk.0.join("space");
    std::fs::create_dir(&space).unwrap();
    let chown = Command::new("chown").arg("65534:65534").arg(&space).status().unwrap();
    assert!(chown.success());
    server.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", space.display())).unwrap();
    server.sql("postgres", "CREATE DATABASE small TABLESPACE small").unwrap();
    let store = Store::open(place(&server, "small")).await.unwrap();
    let names = StepNames::of(&spec());
    store.upsert_experiment(&record("e1")).await.unwrap();
    let mut sequence = 0;
    let error = loop {
        sequence += 1;
        match store.add_records(&batch("e1", "n1", sequence, 1_000), &names).await {
            Ok(added) => assert_eq!(added, 1_000),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("No space left"), "{error}");
    assert_eq!(store.record_count("e1").await.unwrap(), (sequence - 1) * 1_000, "whole batches");
    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk.0).status().unwrap();
    assert!(grown.success());
    assert_eq!(store.add_records(&batch("e1", "n1", sequence, 1_000), &names).await.unwrap(), 1_000);
    assert_eq!(store.held("e1").await.unwrap().record_rows, i64::try_from(sequence).unwrap() * 1_000);
    store.close().await;
}
