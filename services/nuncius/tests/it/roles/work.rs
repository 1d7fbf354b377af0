//! What each role does on the bus, by the libraries that its processes do it with; once, and quickly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nuncius_bus::clock::{answer_pings, measure_offset};
use nuncius_bus::kv::{BucketWanted, Kv};
use nuncius_bus::lease;
use nuncius_bus::registry;
use nuncius_bus::roles::UserRole;
use nuncius_bus::streams::{StreamLimits, ensure_streams, inspect_streams};
use nuncius_bus::tail::Start;
use nuncius_bus::work_queue::WorkItem;
use nuncius_bus::{Bus, BusError, Headers};
use nuncius_clock::monotonic_ns;
use nuncius_jobs::abandoned::{Sweeper, purge};
use nuncius_jobs::books::Books;
use nuncius_jobs::{Finisher, Queues, Submission, Submitter, SubmitterOptions, Taker, admit, dead};
use nuncius_schemas::node::Role;
use nuncius_schemas::queue::{QueueDefinition, QueueSettings, QueueState};
use nuncius_schemas::resource::ResourceKind;
use nuncius_schemas::subjects::{Signal, telemetry_lease};

mod apps;
mod bridge;
mod experimentd;
mod gateway;
mod profiles;
mod telemetry;

use apps::{deploy_app, list_apps, read_bundle, remove_app};
use bridge::bridge;
use experimentd::experimentd;
use gateway::gateway;
use profiles::{read_profile, remove_profile, write_profile};
use telemetry::{sample, steer, telemetry};

/// How long somebody may take to answer.
const SOON: Duration = Duration::from_secs(5);

pub(super) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A connection as the role, one that may do everything, and a name that no other case has.
pub(super) struct Scene {
    pub(super) bus: Bus,
    pub(super) admin: Bus,
    pub(super) who: String,
}

pub(super) async fn work(role: UserRole, scene: &Scene) -> Outcome {
    // Where its server is to tell how its messages go through it.
    tell(&scene.bus, &scene.bus.namespace().hops()).await?;
    match role {
        UserRole::Experimentd => experimentd(scene).await,
        UserRole::Client => client(scene).await,
        UserRole::Frontend => frontend(scene).await,
        UserRole::Worker => worker(scene).await,
        UserRole::QueueClient => queue_client(scene).await,
        UserRole::Emulator => emulator(scene).await,
        UserRole::Telemetry => telemetry(scene).await,
        UserRole::Submitter => submitter(scene).await,
        UserRole::Operator => operator(scene).await,
        UserRole::Observer => observer(scene).await,
        UserRole::Gateway => gateway(scene).await,
        UserRole::Bridge => bridge(scene).await,
    }?;
    for signal in Signal::ALL {
        scene.bus.publish_otlp(signal, Bytes::from_static(b"x")).await?;
    }
    Ok(())
}

fn nothing() -> (Headers, Bytes) {
    (Headers::new(), Bytes::from_static(b"x"))
}

/// Asks and is answered, as soon as the server knows who listens.
async fn ask(bus: &Bus, subject: &str) -> Outcome {
    let until = std::time::Instant::now() + SOON;
    loop {
        let (headers, payload) = nothing();
        match bus.request(subject, &headers, payload, SOON).await {
            Err(BusError::NoResponders { .. }) if std::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Publishes into a stream.
async fn store(bus: &Bus, subject: &str) -> Outcome {
    let (headers, payload) = nothing();
    bus.publish_acked(subject, &headers, payload, None, None).await?;
    Ok(())
}

/// Publishes to whoever listens; what follows comes after it.
async fn tell(bus: &Bus, subject: &str) -> Outcome {
    let (headers, payload) = nothing();
    bus.publish(subject, &headers, payload).await?;
    Ok(())
}

/// Answers one request of `asker` on `subject`, which `pattern` listens for.
async fn answer_one(bus: &Bus, asker: &Bus, pattern: &str, subject: &str) -> Outcome {
    let mut requests = bus.subscribe(pattern).await?;
    bus.flush().await?;
    let answering = async {
        let request = requests.next().await.ok_or("nothing is heard")?;
        request.respond(&Headers::new(), Bytes::new()).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    tokio::try_join!(answering, ask(asker, subject)).map(drop)
}

/// Listens, and hears what somebody else publishes.
async fn hear(bus: &Bus, speaker: &Bus, pattern: &str, subject: &str) -> Outcome {
    let mut heard = bus.subscribe(pattern).await?;
    bus.flush().await?;
    loop {
        tell(speaker, subject).await?;
        if tokio::time::timeout(Duration::from_millis(200), heard.next()).await.is_ok_and(|message| message.is_some()) {
            return Ok(());
        }
    }
}

/// Answers one request on a subject of its own, with somebody who waits for it.
async fn somebody_answers(scene: &Scene, subject: &str) -> Outcome {
    answer_one(&scene.admin, &scene.bus, subject, subject).await
}

/// Is in the registry, is found by `nats micro`, and leaves.
async fn member(scene: &Scene, role: Role) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    let registration = registry::join(bus, registry::this_process(who, role, "host")).await?;
    bus.kv(&names.bucket_node()).await?.get(who).await?;
    let name = names.service(who);
    let service = bus.register_service(&name, "1.0.0", "tested", &[]).await?;
    ask(admin, &format!("$SRV.PING.{name}.{}", service.id())).await?;
    service.stop().await;
    registration.release().await;
    Ok(())
}

/// Opens a bucket, and writes and reads a key in it.
async fn use_key(bus: &Bus, bucket: &str, key: &str) -> Outcome {
    let kv = bus.kv(bucket).await?;
    kv.put(key, Bytes::from_static(b"x")).await?;
    kv.get(key).await?;
    kv.delete(key).await?;
    Ok(())
}

async fn read_key(bus: &Bus, bucket: &str, key: &str) -> Result<Kv, nuncius_bus::BusError> {
    let kv = bus.kv(bucket).await?;
    kv.get(key).await?;
    Ok(kv)
}

async fn entries(bus: &Bus, bucket: &str, filter: &str) -> Outcome {
    bus.kv(bucket).await?.entries(filter).await?;
    Ok(())
}

/// Reads what a stream has of a subject, to its end.
async fn tail(scene: &Scene, stream: &str, subject: &str) -> Outcome {
    store(&scene.admin, subject).await?;
    let mut tail = scene.bus.tail(stream, subject, Start::All).await?;
    tail.next().await?;
    scene.bus.last_sequence(stream).await?;
    tail.close().await;
    Ok(())
}

/// Has a stream be otherwise than Nuncius wants it, so that whoever makes streams changes it back.
async fn disturb(admin: &Bus, stream: &str) -> Outcome {
    let asked = admin.request(&format!("$JS.API.STREAM.INFO.{stream}"), &Headers::new(), Bytes::new(), SOON).await?;
    let info: serde_json::Value = serde_json::from_slice(&asked.payload)?;
    let mut config = info["config"].clone();
    config["description"] = "disturbed".into();
    let payload = serde_json::to_vec(&config)?;
    admin.request(&format!("$JS.API.STREAM.UPDATE.{stream}"), &Headers::new(), payload.into(), SOON).await?;
    Ok(())
}

async fn client(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    member(scene, Role::Client).await?;
    sample(scene).await?;
    answer_one(bus, admin, &names.node_command(who), &names.node_command(who)).await?;
    let _answers = answer_pings(bus, &names.node_ping(who)).await?;
    ask(admin, &names.node_ping(who)).await?;
    measure_offset(admin, &names.node_ping(who), 1, monotonic_ns, SOON).await?;
    store(bus, &names.metric(who, who)).await?;
    store(bus, &names.trace(who, who)).await?;
    somebody_answers(scene, &names.oco_servo("a", who)).await?;
    read_bundle(scene).await?;
    write_profile(scene).await?;
    submit_jobs(scene, true).await
}

/// A queue with this case's name, made by somebody else.
async fn queue_of(scene: &Scene) -> Result<Queues, nuncius_jobs::JobError> {
    let queues = Queues::open(&scene.admin).await?;
    queues.ensure(&scene.who, &QueueSettings::default()).await?;
    Ok(queues)
}

async fn job(bus: &Bus, queue: &str) -> Result<(), nuncius_jobs::JobError> {
    let options = SubmitterOptions { queue: queue.to_owned(), client: queue.to_owned(), presence: false };
    let submitter = Submitter::open(bus, options).await?;
    submitter.submit(Submission::default()).await?;
    submitter.close().await;
    Ok(())
}

/// Submits jobs, and says that it is there or does not.
async fn submit_jobs(scene: &Scene, presence: bool) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    queue_of(scene).await?;
    let options = SubmitterOptions { queue: who.clone(), client: who.clone(), presence };
    let submitter = Submitter::open(bus, options).await?;
    let again = || Submission { id: Some("again".to_owned()), ..Submission::default() };
    submitter.submit(again()).await?;
    // Known already: it is looked for among those that wait.
    submitter.submit(again()).await?;
    // Somebody else's.
    store_as(admin, &names.job(who, 0, "other"), "theirs").await?;
    let theirs = Submission { id: Some("theirs".to_owned()), ..Submission::default() };
    assert!(submitter.submit(theirs).await.is_err());
    // Its message is gone and it has no record: those of others are looked through.
    store_as(admin, &names.job(who, 0, who), "gone").await?;
    admin.purge_subject(&names.stream_job(who), &names.job_all(who)).await?;
    let gone = Submission { id: Some("gone".to_owned()), ..Submission::default() };
    assert!(submitter.submit(gone).await.is_err());
    if presence {
        bus.kv(&names.bucket_lease()).await?.get(&nuncius_schemas::subjects::client_lease(who)).await?;
    }
    bus.stream_state(&names.stream_job(who)).await?;
    submitter.close().await;
    Ok(())
}

async fn store_as(bus: &Bus, subject: &str, id: &str) -> Outcome {
    bus.publish_acked(subject, &Headers::new(), Bytes::new(), Some(id), None).await?;
    Ok(())
}

async fn queue_client(scene: &Scene) -> Outcome {
    ensure_streams(&scene.bus).await?;
    submit_jobs(scene, true).await
}

async fn worker(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    let made = queue_of(scene).await?;
    made.ensure(who, &QueueSettings { attempts: Some(1), ..QueueSettings::default() }).await?;
    member(scene, Role::Worker).await?;
    sample(scene).await?;
    let queues = Queues::open(bus).await?;
    let following = nuncius_jobs::Definition::follow(&queues, who).await?;
    let definition = following.changes().wait_for(Option::is_some).await?.clone().ok_or("no definition")?;
    let mut watch = queues.bucket().watch(who).await?;
    watch.next().await?;
    watch.close().await;
    let (_told, definitions) = tokio::sync::watch::channel(Arc::clone(&definition));
    let finisher = Finisher::new(&queues, definitions);
    let mut taker = Taker::new(bus, &definition, finisher.clone());
    // One that is handed back, and comes again.
    job(admin, who).await?;
    let item = taker.next_of(1).await?;
    finisher.hand_back_item(&item).await?;
    let taken = admit(&finisher, taker.next_of(1).await?).await?.ok_or("it is a job")?;
    taken.progress().await?;
    finisher.finish(&taken, &taken.result(who), None).await?;
    // One that repeats it.
    bus.kv(&names.bucket_queue()).await?;
    let repeated = names.job(who, 0, who);
    admin.purge_subject(&names.stream_job(who), ">").await?;
    store_as(admin, &repeated, "r").await?;
    let first = admit(&finisher, taker.next_of(1).await?).await?.ok_or("it is a job")?;
    finisher.finish(&first, &first.result(who), None).await?;
    let headers = Headers::new().with("Nuncius-Job", "r");
    admin.publish_acked(&repeated, &headers, Bytes::new(), None, None).await?;
    bus.publish_acked(&names.repeat(who, 99), &Headers::new(), Bytes::new(), None, None).await?;
    let given_up = admit(&finisher, taker.next_of(1).await?).await?.ok_or("it is a job")?;
    finisher.give_up(&given_up, 1, "tested").await?;
    tell(bus, &names.job_event(who)).await?;
    tell(bus, &names.sample(who)).await?;
    somebody_answers(scene, &names.device_run(who)).await?;
    taker.leave().await;
    bus.round_trip().await?;
    Ok(())
}

async fn frontend(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace().clone();
    ensure_streams(bus).await?;
    for stream in [
        names.stream_sample(),
        names.stream_otlp(),
        format!("KV_{}", names.bucket_node()),
        format!("KV_{}", names.bucket_lease()),
        format!("KV_{}", names.bucket_queue()),
    ] {
        disturb(admin, &stream).await?;
    }
    ensure_streams(bus).await?;
    member(scene, Role::Frontend).await?;
    let queues = keep_queue(scene).await?;
    let held = lease::acquire(bus, &names.bucket_lease(), &nuncius_schemas::subjects::queue_lease(who), who).await?;
    let held = held.ok_or("nobody else keeps it")?;
    held.is_still_stored().await?;
    let definition = queues.get(who).await?;
    // A job that cannot be one is given up, with a copy.
    store_as(admin, &names.job(who, 0, ">"), "bad").await?;
    job(admin, who).await?;
    let mut sweeper = Sweeper::default();
    for _ in 0..2 {
        sweeper.sweep(&queues, &definition, &std::collections::BTreeSet::new()).await?;
    }
    purge(&queues, &definition).await?;
    let mut books = Books::open(&queues, who, held.token()).await?;
    books.save().await?;
    bus.purge_before(&names.stream_result(who), 1).await?;
    queues.info(who).await?;
    let mut records = bus.tail(&names.stream_result(who), "", Start::All).await?;
    records.next().await?;
    records.close().await;
    store(bus, &names.dead_letter(who)).await?;
    entries(bus, &names.bucket_lease(), "client.*").await?;
    entries(bus, &names.bucket_node(), ">").await?;
    hear(bus, admin, &names.sample("*"), &names.sample(who)).await?;
    held.release().await?;
    Ok(())
}

/// Makes a queue, changes it, pauses it.
async fn keep_queue(scene: &Scene) -> Result<Queues, nuncius_jobs::JobError> {
    let Scene { bus, who, .. } = scene;
    let queues = Queues::open(bus).await?;
    queues.ensure(who, &QueueSettings::default()).await?;
    queues.ensure(who, &QueueSettings { max_waiting: Some(50), ..QueueSettings::default() }).await?;
    queues.set_state(who, QueueState::Paused).await?;
    queues.set_state(who, QueueState::Open).await?;
    queues.list().await?;
    Ok(queues)
}

async fn emulator(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    ensure_streams(admin).await?;
    member(scene, Role::Emulator).await?;
    sample(scene).await?;
    answer_one(bus, admin, &names.device_run(who), &names.device_run(who)).await?;
    let memory = names.resource(who, ResourceKind::Memory);
    answer_one(bus, admin, &memory, &memory).await?;
    hear(bus, admin, &names.oco_servo_all(), &names.oco_servo("a", who)).await?;
    tell(bus, &names.sample(who)).await?;
    let wanted = BucketWanted { name: names.bucket_oco(), ..BucketWanted::default() };
    bus.ensure_bucket(&wanted).await?;
    disturb(admin, &format!("KV_{}", names.bucket_oco())).await?;
    let kv = bus.ensure_bucket(&wanted).await?;
    kv.put(who, Bytes::from_static(b"x")).await?;
    kv.get(who).await?;
    kv.entries(">").await?;
    entries(bus, &names.bucket_node(), ">").await?;
    use_key(bus, &names.bucket_route(), who).await?;
    Ok(())
}

async fn submit(scene: &Scene) -> Outcome {
    let Scene { bus, who, .. } = scene;
    let names = bus.namespace();
    store(bus, &names.experiment_submit()).await?;
    somebody_answers(scene, &names.experiment_control(who)).await?;
    use_key(bus, &names.bucket_run(), who).await?;
    deploy_app(scene).await?;
    read_bundle(scene).await
}

/// Follows a run and reads its report.
async fn follow(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    ensure_streams(bus).await?;
    // An empty bucket would not be pulled from.
    admin.kv(&names.bucket_run()).await?.put(who, Bytes::from_static(b"x")).await?;
    read_key(bus, &names.bucket_run(), who).await?;
    entries(bus, &names.bucket_run(), ">").await?;
    for (stream, subject) in
        [(names.stream_event(), names.experiment_event(who)), (names.stream_second(), names.experiment_second(who))]
    {
        tail(scene, &stream, &subject).await?;
        bus.last_message(&stream, &subject).await?;
    }
    let report = names.artifact_report(who);
    admin.objects(&names.bucket_artifact()).await?.put(&report, b"{}").await?;
    bus.objects(&names.bucket_artifact()).await?.get(&report).await?.ok_or("it is there")?;
    read_profile(scene).await?;
    somebody_answers(scene, &names.experiment_archive(who)).await
}

async fn submitter(scene: &Scene) -> Outcome {
    follow(scene).await?;
    submit(scene).await
}

/// Shows queues.
async fn look_at_queues(scene: &Scene) -> Outcome {
    let Scene { bus, who, .. } = scene;
    let made = queue_of(scene).await?;
    job(&scene.admin, who).await?;
    purge(&made, &made.get(who).await?).await?;
    let queues = Queues::open(bus).await?;
    queues.list().await?;
    queues.info(who).await?;
    queues.waits(who).await?;
    dead::list(&queues, who, 1).await?;
    Ok(())
}

async fn observer(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    follow(scene).await?;
    entries(bus, &names.bucket_node(), ">").await?;
    admin.kv(&names.bucket_route()).await?.put("shop", Bytes::from_static(b"x")).await?;
    read_key(bus, &names.bucket_route(), "shop").await?;
    entries(bus, &names.bucket_route(), ">").await?;
    look_at_queues(scene).await?;
    list_apps(scene).await?;
    admin.kv(&names.bucket_lease()).await?.put(&telemetry_lease(who), Bytes::from_static(b"x")).await?;
    entries(bus, &names.bucket_lease(), &telemetry_lease("*")).await?;
    hear(bus, admin, &names.telemetry("*"), &names.telemetry(who)).await?;
    let service = admin.register_service(&names.service(who), "1.0.0", "tested", &[]).await?;
    ask(bus, &format!("$SRV.INFO.{}.{}", names.service(who), service.id())).await
}

async fn operator(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    observer(scene).await?;
    steer(scene).await?;
    submit(scene).await?;
    submit_jobs(scene, true).await?;
    let queues = keep_queue(scene).await?;
    use_key(bus, &names.bucket_route(), who).await?;
    somebody_answers(scene, &names.node_ping(who)).await?;
    bus.account().await?;
    inspect_streams(bus, &StreamLimits::default()).await?;
    somebody_answers(scene, &names.resource(who, ResourceKind::Memory)).await?;
    remove_app(scene).await?;
    remove_run(scene).await?;
    // Empties a queue and removes it.
    job(bus, who).await?;
    let definition: QueueDefinition = queues.get(who).await?;
    purge(&queues, &definition).await?;
    let headers = Headers::new().with("Nuncius-Job", "dead").with("Nuncius-Client", who.as_str());
    admin.publish_acked(&names.dead_letter(who), &headers, Bytes::new(), None, None).await?;
    dead::retry(&queues, who, "dead").await?;
    queues.remove(who, true).await?;
    queues.ensure(who, &QueueSettings::default()).await?;
    Ok(())
}

/// Deletes what is stored of a run.
async fn remove_run(scene: &Scene) -> Outcome {
    let Scene { bus, admin, who } = scene;
    let names = bus.namespace();
    let report = names.artifact_report(who);
    admin.objects(&names.bucket_artifact()).await?.put(&report, b"{}").await?;
    bus.objects(&names.bucket_artifact()).await?.delete(&report).await?;
    remove_profile(scene).await?;
    for (stream, subject) in [
        (names.stream_event(), names.experiment_event(who)),
        (names.stream_second(), names.experiment_second(who)),
        (names.stream_metric(), names.metric_all(who)),
        (names.stream_trace(), names.trace_all(who)),
    ] {
        bus.purge_subject(&stream, &subject).await?;
    }
    Ok(())
}
