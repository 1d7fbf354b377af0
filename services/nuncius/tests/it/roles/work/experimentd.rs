//! What a daemon does on the bus.

use super::*;

pub(super) async fn experimentd(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace().clone();
    ensure_streams(bus).await?;
    for stream in [
        names.stream_submit(),
        names.stream_dead(),
        names.stream_change(),
        names.stream_event(),
        names.stream_second(),
        names.stream_metric(),
        names.stream_trace(),
        names.stream_sample(),
        names.stream_otlp(),
        format!("KV_{}", names.bucket_node()),
        format!("KV_{}", names.bucket_lease()),
        format!("KV_{}", names.bucket_run()),
        format!("KV_{}", names.bucket_route()),
        format!("KV_{}", names.bucket_queue()),
        format!("KV_{}", names.bucket_app()),
        format!("OBJ_{}", names.bucket_artifact()),
        format!("OBJ_{}", names.bucket_app()),
        format!("OBJ_{}", names.bucket_profile()),
    ] {
        disturb(admin, &stream).await?;
    }
    ensure_streams(bus).await?;
    member(scene, Role::Experimentd).await?;
    read_bundle(scene).await?;

    let submit = names.experiment_submit();
    let mut queue = bus.work_queue(&names.stream_submit(), "experimentd", &submit, SOON).await?;
    store(admin, &submit).await?;
    let item: WorkItem = queue.next().await?;
    item.ack_confirmed().await?;
    tell(bus, &format!("_INBOX.{}.submitter.x", names.as_str())).await?;
    store(bus, &names.experiment_dead()).await?;
    store(bus, &names.experiment_event(who)).await?;
    store(bus, &names.experiment_second(who)).await?;
    for subject in [names.experiment_control(who), names.experiment_archive(who)] {
        let pattern = subject.replace(&format!(".{who}."), ".*.");
        answer_one(bus, admin, &pattern, &subject).await?;
    }
    let runs = bus.kv(&names.bucket_run()).await?;
    runs.put(who, Bytes::from_static(b"x")).await?;
    runs.get(who).await?;
    runs.entries(">").await?;
    if let Some(lease) = lease::acquire(bus, &names.bucket_lease(), &format!("run.{who}"), who).await? {
        lease.is_still_stored().await?;
        lease.release().await?;
    }
    entries(bus, &names.bucket_lease(), "run.*").await?;
    for (stream, subject) in
        [(names.stream_event(), names.experiment_event(who)), (names.stream_second(), names.experiment_second(who))]
    {
        tail(scene, &stream, &subject).await?;
        bus.last_sequence_of(&stream, &subject).await?;
    }
    admin.kv(&names.bucket_route()).await?.put("shop", Bytes::from_static(b"x")).await?;
    read_key(bus, &names.bucket_route(), "shop").await?;
    entries(bus, &names.bucket_route(), ">").await?;
    entries(bus, &names.bucket_node(), ">").await?;
    for subject in [names.node_command(who), names.node_ping(who)] {
        somebody_answers(scene, &subject).await?;
    }
    steer(scene).await?;
    hear(bus, admin, &names.telemetry("*"), &names.telemetry(who)).await?;
    for (stream, subject) in
        [(names.stream_metric(), names.metric(who, who)), (names.stream_trace(), names.trace(who, who))]
    {
        tail(scene, &stream, &subject).await?;
        bus.last_sequence_of(&stream, &subject).await?;
        bus.purge_subject(&stream, &subject).await?;
    }
    let artifacts = bus.objects(&names.bucket_artifact()).await?;
    artifacts.put(&names.artifact_report(who), b"first").await?;
    artifacts.put(&names.artifact_report(who), b"second").await?;
    artifacts.get(&names.artifact_report(who)).await?;
    artifacts.delete(&names.artifact_report(who)).await?;
    Ok(())
}
