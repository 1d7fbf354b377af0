//! What a bridge does on the bus.

use super::*;

/// Has jobs and experiments taken, and sees how they end.
pub(super) async fn bridge(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    ensure_streams(bus).await?;
    member(scene, Role::Bridge).await?;
    submit_jobs(scene, false).await?;
    store(bus, &names.experiment_submit()).await?;
    admin.kv(&names.bucket_run()).await?.put(who, Bytes::from_static(b"x")).await?;
    let runs = read_key(bus, &names.bucket_run(), who).await?;
    let mut watch = runs.watch(who).await?;
    watch.next().await?;
    watch.close().await;
    Ok(())
}
