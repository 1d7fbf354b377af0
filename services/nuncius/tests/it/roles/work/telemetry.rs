//! What whoever samples machines does on the bus, and whoever steers that.

use super::*;

/// Tells of its machine, and is asked.
pub(super) async fn sample(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    let key = telemetry_lease(who);
    let held = lease::acquire(bus, &names.bucket_lease(), &key, who).await?.ok_or("nobody else samples it")?;
    lease::holder(bus, &names.bucket_lease(), &key).await?;
    answer_one(bus, admin, &names.telemetry_control(who), &names.telemetry_control(who)).await?;
    tell(bus, &names.telemetry(who)).await?;
    held.release().await?;
    Ok(())
}

/// Finds machines that are sampled, and has their samplers do something.
pub(super) async fn steer(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    // An empty bucket would not be pulled from.
    let key = telemetry_lease(who);
    admin.kv(&names.bucket_lease()).await?.put(&key, Bytes::from_static(b"x")).await?;
    entries(bus, &names.bucket_lease(), &telemetry_lease("*")).await?;
    somebody_answers(scene, &names.telemetry_control(who)).await
}

pub(super) async fn telemetry(scene: &Scene) -> Outcome {
    ensure_streams(&scene.bus).await?;
    member(scene, Role::Telemetry).await?;
    sample(scene).await
}
