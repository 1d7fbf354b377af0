//! What is done with applications and their bundles.

use nuncius_bus::apps;
use nuncius_schemas::bundle::AppVersion;

use super::*;

/// A version, and a bundle of two pieces.
fn bundle(seed: u8) -> (AppVersion, Vec<u8>) {
    let bytes = vec![seed; 200_000];
    let version = AppVersion {
        digest: format!("{seed:064x}"),
        bytes: bytes.len() as u64,
        unpacked_bytes: 1,
        files: 1,
        spec: "experiment.yaml".to_owned(),
        deployed_unix_ms: 1,
    };
    (version, bytes)
}

/// Two versions, so that one takes the place of another.
pub(super) async fn deploy_app(scene: &Scene) -> Outcome {
    for seed in [1, 2] {
        let (version, bytes) = bundle(seed);
        apps::deploy(&scene.bus, &scene.who, &version, &bytes).await?;
    }
    Ok(())
}

/// Fetches what somebody else has deployed.
pub(super) async fn read_bundle(scene: &Scene) -> Outcome {
    let (version, bytes) = bundle(3);
    apps::deploy(&scene.admin, &scene.who, &version, &bytes).await?;
    let mut reader = apps::open(&scene.bus, &version.reference(&scene.who)).await?.ok_or("it is there")?;
    while reader.next().await?.is_some() {}
    Ok(())
}

pub(super) async fn list_apps(scene: &Scene) -> Outcome {
    let (version, bytes) = bundle(3);
    // An empty bucket would not be pulled from.
    apps::deploy(&scene.admin, &scene.who, &version, &bytes).await?;
    apps::list(&scene.bus).await?;
    Ok(())
}

/// Removes what is there, and finds pieces that belong to nothing.
pub(super) async fn remove_app(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    store(admin, &format!("$O.{}.C.{who}", bus.namespace().bucket_app())).await?;
    apps::remove(bus, who, true).await?;
    apps::remove(bus, who, false).await?;
    Ok(())
}
