use std::os::unix::fs::PermissionsExt;

use nuncius_bundle::{Packed, pack_directory};
use nuncius_bus::streams::ensure_streams;
use nuncius_bus::{ConnectOptions, Headers, connect};
use nuncius_testkit::{TempDir, TestServer};

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A server with a bundle in it.
struct Scene {
    server: TestServer,
    bus: Bus,
    place: TempDir,
    packed: Packed,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::start().await.unwrap();
        let options = ConnectOptions { urls: vec![server.url()], name: "test".into(), ..ConnectOptions::default() };
        let bus = connect(options).await.unwrap();
        ensure_streams(&bus).await.unwrap();
        let place = TempDir::new("bundles").unwrap();
        let source = place.path().join("source");
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join("experiment.yaml"), "groups: []").unwrap();
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(500_000).collect();
        std::fs::write(source.join("users.csv"), noise).unwrap();
        let packed = pack_directory(&source, "shop", &Limits::default()).unwrap();
        apps::deploy(&bus, "shop", &packed.manifest.version(1), &packed.bytes).await.unwrap();
        Self { server, bus, place, packed }
    }

    fn settings(&self) -> BundleSettings {
        BundleSettings { patience: SOON, ..BundleSettings::new(self.place.path().join("data/bundles")) }
    }

    fn wanted(&self) -> BundleReference {
        self.packed.manifest.reference()
    }

    async fn refused(&self, wanted: &BundleReference, settings: &BundleSettings) -> (RefusalCode, String) {
        let error = obtain(&self.bus, wanted, settings).await.unwrap_err();
        (error.code(), error.to_string())
    }

    /// The one subject with pieces.
    async fn pieces(&self) -> (String, String) {
        let names = self.bus.namespace();
        let stream = format!("OBJ_{}", names.bucket_app());
        let subjects = self.bus.subjects(&stream, &format!("$O.{}.C.*", names.bucket_app())).await.unwrap();
        (stream, subjects.into_keys().next().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_need_it_at_once_one_fetches_it_and_afterwards_no_bus_is_needed() {
    let mut scene = Scene::new().await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (bus, wanted, settings) = (scene.bus.clone(), scene.wanted(), scene.settings());
        running.spawn(async move { obtain(&bus, &wanted, &settings).await.unwrap() });
    }
    let held = running.join_all().await;
    let mut trees: Vec<_> = held.iter().map(Held::path).collect();
    trees.dedup();
    assert_eq!(trees.len(), 1);
    let file = trees[0].join("users.csv");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 500_000);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o444);
    scene.server.kill();
    obtain(&scene.bus, &scene.wanted(), &scene.settings()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_not_there_too_large_or_another_is_refused_for_good() {
    let scene = Scene::new().await;
    let absent = BundleReference { digest: "ab".repeat(32), ..scene.wanted() };
    let (code, words) = scene.refused(&absent, &scene.settings()).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("not in the store"), "{words}");
    let shorter = BundleReference { bytes: scene.wanted().bytes - 1, ..scene.wanted() };
    let (code, words) = scene.refused(&shorter, &scene.settings()).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("bytes of it, not"), "{words}");
    let small = Limits { files: 10, unpacked_bytes: 1_000 };
    let (code, words) = scene.refused(&scene.wanted(), &BundleSettings { limits: small, ..scene.settings() }).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("--bundle-size"), "{words}");
    let few = Limits { files: 1, ..Limits::default() };
    let (code, words) = scene.refused(&scene.wanted(), &BundleSettings { limits: few, ..scene.settings() }).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("--bundle-files"), "{words}");
    let (code, words) =
        scene.refused(&scene.wanted(), &BundleSettings { cache_bytes: 1_000, ..scene.settings() }).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("--bundle-cache"), "{words}");
    // Under the name of another one.
    let other = BundleReference { digest: "cd".repeat(32), ..scene.wanted() };
    let version =
        nuncius_schemas::bundle::AppVersion { digest: other.digest.clone(), ..scene.packed.manifest.version(1) };
    apps::deploy(&scene.bus, "shop", &version, &scene.packed.bytes).await.unwrap();
    let (code, words) = scene.refused(&other, &scene.settings()).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("its digest is"), "{words}");
    // And what was refused is in nobody's way.
    obtain(&scene.bus, &scene.wanted(), &scene.settings()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_is_not_what_it_was_or_gone_is_found_out() {
    let scene = Scene::new().await;
    let (stream, subject) = scene.pieces().await;
    let last = scene.bus.last_message(&stream, &subject).await.unwrap().unwrap();
    assert!(scene.bus.delete_message(&stream, last.sequence).await.unwrap());
    let (code, words) = scene.refused(&scene.wanted(), &scene.settings()).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("pieces of it are missing"), "{words}");
    let mut changed = last.payload.to_vec();
    changed[7] ^= 1;
    scene.bus.publish_acked(&subject, &Headers::new(), changed.into(), None, None).await.unwrap();
    let (code, words) = scene.refused(&scene.wanted(), &scene.settings()).await;
    assert_eq!(code, RefusalCode::Unfit);
    assert!(words.contains("damaged: its digest is"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_does_not_answer_costs_no_more_than_the_patience_and_the_fetching_goes_on() {
    let scene = Scene::new().await;
    scene.server.pause();
    let begun = Instant::now();
    let hasty = BundleSettings { patience: Duration::from_millis(500), ..scene.settings() };
    let (code, words) = scene.refused(&scene.wanted(), &hasty).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(code, RefusalCode::System, "another try may go well");
    assert!(words.contains("bytes came within 500ms"), "{words}");
    scene.server.resume();
    // Nobody asks for it any more, and it comes all the same.
    let tree = scene.settings().directory.join(&scene.wanted().digest);
    let came = nuncius_testkit::eventually(SOON, async || tree.is_dir().then_some(())).await;
    came.expect("it is fetched on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_was_killed_has_left_is_in_nobodys_way() {
    let scene = Scene::new().await;
    let (directory, digest) = (scene.settings().directory, scene.wanted().digest);
    let partial = directory.join(format!("{digest}.partial"));
    std::fs::create_dir_all(partial.join("data")).unwrap();
    std::fs::write(partial.join("users.csv"), "half").unwrap();
    std::fs::write(directory.join(format!("{digest}.download")), "half").unwrap();
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o555)).unwrap();
    let held = obtain(&scene.bus, &scene.wanted(), &scene.settings()).await.unwrap();
    assert_eq!(std::fs::metadata(held.path().join("users.csv")).unwrap().len(), 500_000);
    assert!(!partial.exists());
}
