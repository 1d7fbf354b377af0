//! What a gateway does on the bus.

use nuncius_schemas::subjects::OTLP_CONSUMER;

use super::*;

/// Takes telemetry from its stream, and sees what it shows.
pub(super) async fn gateway(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    ensure_streams(admin).await?;
    ensure_streams(bus).await?;
    member(scene, Role::Gateway).await?;
    let stream = names.stream_otlp();
    store(admin, &names.otlp(Signal::Logs)).await?;
    let mut queue = bus.work_queue(&stream, OTLP_CONSUMER, &names.otlp_all(), SOON).await?;
    let item = queue.next().await?;
    // One word to a message is an answer; a second needs leave.
    item.progress_told().await?;
    item.ack_confirmed().await?;
    queue.close().await;
    bus.stream_state(&stream).await?;
    bus.consumer_state(&stream, OTLP_CONSUMER).await?;
    hear(bus, admin, &names.otlp(Signal::Metrics), &names.otlp(Signal::Metrics)).await?;
    hear(bus, admin, &names.sample("*"), &names.sample(who)).await?;
    hear(bus, admin, &names.telemetry("*"), &names.telemetry(who)).await?;
    entries(bus, &names.bucket_node(), ">").await?;
    admin.kv(&names.bucket_run()).await?.put(who, Bytes::from_static(b"x")).await?;
    entries(bus, &names.bucket_run(), "*").await?;
    for (stream, subject) in
        [(names.stream_event(), names.experiment_event(who)), (names.stream_second(), names.experiment_second(who))]
    {
        tail(scene, &stream, &subject).await?;
    }
    hear(bus, admin, &names.hops(), &names.hops()).await?;
    bus.account().await?;
    bus.stream_figures(1_000).await?;
    bus.consumer_figures(&stream, 1_000).await?;
    Ok(())
}
