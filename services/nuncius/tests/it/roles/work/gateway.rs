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
    store(bus, &names.change()).await?;
    tail(scene, &names.stream_change(), &names.change()).await?;
    hear(bus, admin, &names.hops(), &names.hops()).await?;
    bus.account().await?;
    bus.stream_figures(1_000).await?;
    bus.consumer_figures(&stream, 1_000).await?;
    serve(scene).await
}

/// Does what it is asked to by its REST interface.
async fn serve(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    follow(scene).await?;
    submit(scene).await?;
    remove_run(scene).await?;
    use_key(bus, &names.bucket_route(), who).await?;
    admin.kv(&names.bucket_route()).await?.put("shop", Bytes::from_static(b"x")).await?;
    entries(bus, &names.bucket_route(), ">").await?;
    list_apps(scene).await?;
    remove_app(scene).await?;
    admin.kv(&names.bucket_lease()).await?.put(who, Bytes::from_static(b"x")).await?;
    entries(bus, &names.bucket_lease(), ">").await?;
    somebody_answers(scene, &names.resource(who, ResourceKind::Memory)).await?;
    look_at_queues(scene).await?;
    entries(bus, &names.bucket_queue(), ">").await?;
    let queues = Queues::open(bus).await?;
    for state in [QueueState::Paused, QueueState::Draining, QueueState::Open] {
        queues.set_state(who, state).await?;
    }
    let headers = Headers::new().with("Nuncius-Job", "dead").with("Nuncius-Client", who.as_str());
    admin.publish_acked(&names.dead_letter(who), &headers, Bytes::new(), None, None).await?;
    dead::retry(&queues, who, "dead").await?;
    Ok(())
}
