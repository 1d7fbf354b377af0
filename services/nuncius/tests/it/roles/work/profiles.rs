//! What nodes do with the outputs of profiles, and who reads and removes them.

use super::*;

/// Stores an output, and once more.
pub(super) async fn write_profile(scene: &Scene) -> Outcome {
    let Scene { bus, who, .. } = scene;
    let names = bus.namespace();
    let (object, bucket) = (names.profile_output(who, "cpu", who), names.bucket_profile());
    let objects = bus.objects(&bucket).await?;
    objects.put(&object, b"first").await?;
    objects.put(&object, b"second").await?;
    objects.names().await?;
    Ok(())
}

/// Lists outputs and reads one.
pub(super) async fn read_profile(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    let (object, bucket) = (names.profile_output(who, "cpu", who), names.bucket_profile());
    admin.objects(&bucket).await?.put(&object, b"main 1").await?;
    bus.objects(&bucket).await?.get(&object).await?.ok_or("it is there")?;
    Ok(())
}

/// Removes those of a run.
pub(super) async fn remove_profile(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    let (object, bucket) = (names.profile_output(who, "cpu", who), names.bucket_profile());
    admin.objects(&bucket).await?.put(&object, b"main 1").await?;
    bus.objects(&bucket).await?.delete(&object).await?;
    Ok(())
}
