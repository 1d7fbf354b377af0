//! Telemetry: every sample once, its figures exact, and gone with its experiment.

use nuncius_schemas::telemetry::{LoadTelemetry, NodeTelemetry, RailTelemetry, for_each_value};
use nuncius_store::{Store, StoreError, TelemetryRow, TelemetrySeries, telemetry_rows};

use crate::common::{Directory, Kind, in_each, record};

fn sample(node: &str, sequence: u64, load1: f64) -> NodeTelemetry {
    NodeTelemetry {
        node: node.to_owned(),
        epoch: u64::MAX,
        sequence,
        at_unix_ns: 1_767_225_600_123_456_789 + sequence,
        load: Some(LoadTelemetry { load1, load5: f64::NAN, ..LoadTelemetry::default() }),
        rails: vec![RailTelemetry { rail: "VDD, \"IN\"".to_owned(), power_watts: 0.1 + 0.2 }],
        ..NodeTelemetry::default()
    }
}

/// Two machines, one of which restarted.
pub(crate) fn samples() -> Vec<NodeTelemetry> {
    vec![sample("a", 3, 0.1), sample("b", 3, 2.0), sample("a", 4, f64::INFINITY), sample("a", 7, 1e300)]
}

async fn rows(store: &Store, id: &str) -> Vec<TelemetryRow> {
    let mut rows = Vec::new();
    let read = store.for_each_telemetry(id, |row| {
        rows.push(row);
        Ok(())
    });
    read.await.unwrap();
    rows
}

#[tokio::test]
async fn samples_are_kept_once_exactly_and_in_order_and_what_is_missing_is_known() {
    in_each(async |site| {
        let store = site.open().await;
        let mut series = TelemetrySeries::default();
        let refused = store.add_telemetry("e1", &[sample("a", 1, 1.0)], &mut series).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { .. }), "{refused}");
        store.upsert_experiment(&record("e1")).await.unwrap();
        store.upsert_experiment(&record("e2")).await.unwrap();
        let told = samples();
        let added = store.add_telemetry("e1", &told, &mut series).await.unwrap();
        assert_eq!(added, told.iter().map(telemetry_rows).sum::<u64>());
        // Told again, by another process: nothing is there twice.
        let other = site.open().await;
        assert_eq!(other.add_telemetry("e1", &told, &mut TelemetrySeries::default()).await.unwrap(), 0);
        assert_eq!(
            other.add_telemetry("e2", &told[..1], &mut TelemetrySeries::default()).await.unwrap(),
            added / 4 + 1
        );
        assert_eq!(store.telemetry_rows("e1").await.unwrap(), added);

        let mut expected = Vec::new();
        for sample in &told {
            for_each_value(sample, |value| {
                if value.value.is_finite() {
                    expected.push((sample.at_unix_ns, sample.node.clone(), value.metric.name, value.value));
                }
            });
        }
        let found: Vec<_> = rows(&store, "e1").await;
        let mut found: Vec<_> =
            found.iter().map(|row| (row.at_unix_ns, row.node.clone(), row.metric.as_str(), row.value)).collect();
        let by_key =
            |a: &(u64, String, &str, f64), b: &(u64, String, &str, f64)| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2));
        expected.sort_by(by_key);
        found.sort_by(by_key);
        assert_eq!(found, expected);

        let coverage = store.telemetry_coverage("e1").await.unwrap();
        let told: Vec<_> = coverage
            .iter()
            .map(|of| (of.node.as_str(), of.epoch, of.first_sequence, of.last_sequence, of.samples))
            .collect();
        assert_eq!(told, [("a", u64::MAX, 3, 7, 3), ("b", u64::MAX, 3, 3, 1)]);

        let out = site.directory().join("csv");
        nuncius_store::export::csv(&store, "e1", &out).await.unwrap();
        let csv = std::fs::read_to_string(out.join("telemetry.csv")).unwrap();
        let line = "e1,1767225600.123456792,power,\"VDD, \"\"IN\"\"\",a,0.30000000000000004,watts\r\n";
        assert!(csv.contains(line), "{csv}");

        if site.kind == Kind::Sqlite {
            // The table as Galileo has it: seconds, and NULL where a figure is of the whole machine.
            let view = |what: &str| format!("SELECT CAST(count(*) AS TEXT) FROM telemetry WHERE {what}");
            let is_of_e1 = "EXP_ID = 'e1' AND TIMESTAMP BETWEEN 1767225600.123 AND 1767225600.124";
            assert_eq!(site.sql(&view(is_of_e1)).await, added.to_string());
            let load = "EXP_ID = 'e1' AND NODE = 'b' AND METRIC = 'load1' AND SUBSYSTEM IS NULL AND VALUE = 2.0";
            assert_eq!(site.sql(&view(load)).await, "1");
            let power = "SUBSYSTEM = 'VDD, \"IN\"' AND METRIC = 'power' AND EXP_ID = 'e1'";
            assert_eq!(site.sql(&view(power)).await, "4");
        }
        assert!(store.remove("e1").await.unwrap());
        assert_eq!((rows(&store, "e1").await.len(), store.telemetry_rows("e1").await.unwrap()), (0, 0));
        assert!(!rows(&store, "e2").await.is_empty(), "others keep theirs");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_made_anew_gives_figures_their_numbers_anew() {
    let directory = Directory::new();
    let store = Store::open(directory.file()).await.unwrap();
    let mut series = TelemetrySeries::default();
    store.upsert_experiment(&record("e1")).await.unwrap();
    store.add_telemetry("e1", &[sample("b", 1, 1.0), sample("a", 1, 1.0)], &mut series).await.unwrap();
    std::fs::remove_file(directory.file()).unwrap();
    store.upsert_experiment(&record("e1")).await.unwrap();
    store.add_telemetry("e1", &[sample("a", 2, 1.0)], &mut series).await.unwrap();
    let rows = rows(&store, "e1").await;
    assert_eq!(rows.len() as u64, telemetry_rows(&sample("a", 2, 1.0)));
    assert!(rows.iter().all(|row| row.node == "a"));
}
