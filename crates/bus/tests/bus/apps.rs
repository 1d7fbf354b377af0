use std::time::Duration;

use nuncius_bus::apps::{self, AppError, Deployed, Removed};
use nuncius_bus::streams::{StreamLimits, ensure_streams, ensure_streams_with};
use nuncius_bus::{Bus, BusError, ConnectOptions, connect};
use nuncius_schemas::bundle::{AppVersion, BundleReference};
use nuncius_testkit::TestServer;

use super::support::{bytes, client, none, server_and_bus, soon};

/// Bytes of three pieces and a bit, unlike those of another seed.
fn noise(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(400_000).collect()
}

/// A version of these bytes. Whether its digest is theirs is nothing that the bus can know.
fn version(seed: u64) -> AppVersion {
    AppVersion {
        digest: format!("{seed:064x}"),
        bytes: 400_000,
        unpacked_bytes: 1_000_000,
        files: 3,
        spec: "experiment.yaml".to_owned(),
        deployed_unix_ms: seed,
    }
}

async fn read(bus: &Bus, wanted: &BundleReference) -> Result<Option<Vec<u8>>, AppError> {
    let Some(mut reader) = apps::open(bus, wanted).await? else { return Ok(None) };
    let mut all = Vec::new();
    while let Some(piece) = soon(reader.next()).await? {
        all.extend_from_slice(&piece);
    }
    assert_eq!(reader.bytes(), all.len() as u64);
    Ok(Some(all))
}

async fn digests(bus: &Bus, app: &str) -> Vec<String> {
    let record = apps::find(bus, app).await.unwrap();
    record.into_iter().flat_map(|record| record.versions).map(|version| version.digest).collect()
}

#[tokio::test]
async fn a_bundle_is_stored_once_and_the_last_deployed_is_the_current_one() {
    let (_server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    assert_eq!(apps::find(&bus, "shop").await.unwrap(), None);
    let deploy = async |seed: u64| apps::deploy(&bus, "shop", &version(seed), &noise(seed)).await.unwrap();
    assert_eq!(deploy(1).await, Deployed { is_stored: true, is_changed: true });
    let stream = format!("OBJ_{}", bus.namespace().bucket_app());
    let stored = bus.last_sequence(&stream).await.unwrap();
    assert_eq!(deploy(1).await, Deployed { is_stored: false, is_changed: false });
    assert_eq!(bus.last_sequence(&stream).await.unwrap(), stored, "nothing was written");
    assert_eq!(deploy(2).await, Deployed { is_stored: true, is_changed: true });
    assert_eq!(digests(&bus, "shop").await, [version(1).digest, version(2).digest]);
    // What was there before is current again, and is not stored again.
    assert_eq!(deploy(1).await, Deployed { is_stored: false, is_changed: true });
    let record = apps::find(&bus, "shop").await.unwrap().unwrap();
    assert_eq!(record.versions, [version(2), version(1)]);
    for seed in [1, 2] {
        assert_eq!(read(&bus, &version(seed).reference("shop")).await.unwrap(), Some(noise(seed)));
    }
    assert_eq!(read(&bus, &version(1).reference("other")).await.unwrap(), None);
    let all = apps::list(&bus).await.unwrap().into_values();
    assert_eq!(all, [record]);
}

#[tokio::test]
async fn other_programs_read_bundles_and_remove_them() {
    let (_server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    // Other clients look at the digest, too.
    let contents = b"abc";
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
    let version = AppVersion { digest, bytes: 3, ..version(1) };
    apps::deploy(&bus, "shop", &version, contents).await.unwrap();
    let objects = bus.objects(&bus.namespace().bucket_app()).await.unwrap();
    let object = bus.namespace().app_bundle("shop", &version.digest);
    assert_eq!(objects.get(&object).await.unwrap().as_deref(), Some(&contents[..]));
    assert_eq!(objects.names().await.unwrap(), std::slice::from_ref(&object));
    assert!(objects.delete(&object).await.unwrap());
    assert_eq!(read(&bus, &version.reference("shop")).await.unwrap(), None);
    // Deployed again it is stored again.
    let again = apps::deploy(&bus, "shop", &version, contents).await.unwrap();
    assert_eq!(again, Deployed { is_stored: true, is_changed: false });
    assert_eq!(read(&bus, &version.reference("shop")).await.unwrap().as_deref(), Some(&contents[..]));
}

#[tokio::test]
async fn what_is_removed_is_gone_and_nothing_else() {
    let (_server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    for (app, seed) in [("shop", 1), ("shop", 2), ("shop", 3), ("shop-2", 1)] {
        apps::deploy(&bus, app, &version(seed), &noise(seed)).await.unwrap();
    }
    let is_there = async |app: &str, seed| read(&bus, &version(seed).reference(app)).await.unwrap().is_some();
    let old = apps::remove(&bus, "shop", true).await.unwrap();
    assert_eq!(old, Some(Removed { bundles: 2, is_gone: false }));
    assert_eq!(digests(&bus, "shop").await, [version(3).digest]);
    assert!(is_there("shop", 3).await && !is_there("shop", 1).await);
    let all = apps::remove(&bus, "shop", false).await.unwrap();
    assert_eq!(all, Some(Removed { bundles: 1, is_gone: true }));
    assert_eq!(digests(&bus, "shop").await, [""; 0]);
    assert!(!is_there("shop", 3).await && is_there("shop-2", 1).await);
    assert_eq!(apps::remove(&bus, "shop", false).await.unwrap(), None);
    let pieces = bus.subjects("OBJ_nuncius_app", "$O.nuncius_app.C.*").await.unwrap();
    assert_eq!(pieces.len(), 1, "those of the other are left alone: {pieces:?}");
    assert!(matches!(apps::remove(&bus, "a/b", false).await, Err(AppError::Name(_))));
}

#[tokio::test]
async fn a_full_store_refuses_before_anything_is_stored_and_what_is_there_may_be_deployed_again() {
    let (_server, bus) = server_and_bus().await;
    let limits = StreamLimits { app_bytes: 1_000_000, ..StreamLimits::default() };
    ensure_streams_with(&bus, &limits).await.unwrap();
    for seed in [1, 2] {
        apps::deploy(&bus, "shop", &version(seed), &noise(seed)).await.unwrap();
    }
    let before = bus.stream_state("OBJ_nuncius_app").await.unwrap().bytes;
    let error = apps::deploy(&bus, "shop", &version(3), &noise(3)).await.unwrap_err();
    assert!(matches!(error, AppError::Full { limit_bytes: 1_000_000, .. }), "{error}");
    assert!(error.to_string().contains("nuncius app rm --old"), "{error}");
    assert_eq!(bus.stream_state("OBJ_nuncius_app").await.unwrap().bytes, before);
    assert_eq!(digests(&bus, "shop").await, [version(1).digest, version(2).digest]);
    apps::deploy(&bus, "shop", &version(1), &noise(1)).await.unwrap();
    apps::remove(&bus, "shop", true).await.unwrap();
    apps::deploy(&bus, "shop", &version(3), &noise(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_at_the_same_time_lose_no_version() {
    let (server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for seed in 1..=6 {
        let bus = client(&server).await;
        running.spawn(async move { apps::deploy(&bus, "shop", &version(seed), &noise(seed)).await.unwrap() });
    }
    assert!(running.join_all().await.iter().all(|deployed| deployed.is_stored && deployed.is_changed));
    let mut found = digests(&bus, "shop").await;
    found.sort();
    assert_eq!(found, (1..=6).map(|seed| version(seed).digest).collect::<Vec<_>>());
}

#[tokio::test]
async fn pieces_that_are_missing_are_told_at_once() {
    let (_server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    let stream = format!("OBJ_{}", bus.namespace().bucket_app());
    for (seed, wanted) in
        [(1, "pieces of it are missing"), (2, "pieces of it are missing"), (3, "bytes of it are missing")]
    {
        apps::deploy(&bus, "shop", &version(seed), &noise(seed)).await.unwrap();
        let pieces = bus.subjects(&stream, "$O.nuncius_app.C.*").await.unwrap();
        let (subject, count) = pieces.first_key_value().unwrap();
        assert_eq!((pieces.len(), *count), (1, 4));
        if seed == 1 {
            bus.purge_subject(&stream, subject).await.unwrap();
        } else {
            let last = bus.last_sequence_of(&stream, subject).await.unwrap().unwrap();
            assert!(bus.delete_message(&stream, last).await.unwrap());
        }
        if seed == 3 {
            bus.publish_acked(subject, &none(), bytes("x"), None, None).await.unwrap();
        }
        let error = read(&bus, &version(seed).reference("shop")).await.unwrap_err();
        assert!(matches!(&error, AppError::Bus(BusError::BadAnswer { .. })), "{error:?}");
        assert!(error.to_string().contains(wanted), "{error}");
        apps::remove(&bus, "shop", false).await.unwrap();
    }
}

#[tokio::test]
async fn what_an_interrupted_deployment_left_is_swept_and_what_is_under_way_is_not() {
    let (_server, bus) = server_and_bus().await;
    ensure_streams(&bus).await.unwrap();
    apps::deploy(&bus, "shop", &version(1), &noise(1)).await.unwrap();
    bus.publish_acked("$O.nuncius_app.C.abandoned", &none(), bytes("x"), None, None).await.unwrap();
    let objects = bus.objects(&bus.namespace().bucket_app()).await.unwrap();
    assert_eq!(objects.sweep(Duration::from_secs(600)).await.unwrap(), 0);
    assert_eq!(objects.sweep(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(read(&bus, &version(1).reference("shop")).await.unwrap(), Some(noise(1)));
}

#[tokio::test]
async fn a_bundle_is_read_to_its_end_though_the_server_is_restarted_meanwhile() {
    let mut server = TestServer::start().await.unwrap();
    let bus = client(&server).await;
    ensure_streams(&bus).await.unwrap();
    // More than is on its way at a time.
    let large: Vec<u8> = (1..=60).flat_map(noise).collect();
    let version = AppVersion { bytes: large.len() as u64, ..version(1) };
    apps::deploy(&bus, "shop", &version, &large).await.unwrap();
    let mut reader = apps::open(&bus, &version.reference("shop")).await.unwrap().unwrap();
    let mut all = soon(reader.next()).await.unwrap().unwrap().to_vec();
    server.restart().await.unwrap();
    while let Some(piece) = soon(reader.next()).await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert!(all == large, "{} of {} bytes", all.len(), large.len());
}

#[tokio::test]
async fn from_a_leaf_node_bundles_are_stored_at_the_hub_and_read_from_it() {
    let port = nuncius_testkit::free_port().unwrap();
    let listen = format!("server_name: hub\nleafnodes {{ listen: \"127.0.0.1:{port}\" }}");
    let hub = TestServer::start_in_domain(Some("hub"), &listen).await.unwrap();
    let remote = format!("server_name: leaf\nleafnodes {{ remotes: [ {{ url: \"nats-leaf://127.0.0.1:{port}\" }} ] }}");
    let leaf = TestServer::start_in_domain(Some("edge"), &remote).await.unwrap();
    ensure_streams(&client(&hub).await).await.unwrap();
    let options = ConnectOptions {
        urls: vec![leaf.url()],
        name: "edge".into(),
        domain: Some("hub".into()),
        ..ConnectOptions::default()
    };
    let edge = connect(options).await.unwrap();
    let deployed = nuncius_testkit::eventually(Duration::from_secs(20), async || {
        apps::deploy(&edge, "shop", &version(1), &noise(1)).await.ok()
    });
    deployed.await.expect("the leaf finds its hub");
    assert_eq!(read(&edge, &version(1).reference("shop")).await.unwrap(), Some(noise(1)));
    assert_eq!(read(&client(&hub).await, &version(1).reference("shop")).await.unwrap(), Some(noise(1)));
    assert!(apps::remove(&edge, "shop", false).await.unwrap().is_some());
}
