//! The table itself, role by role.

use nuncius_schemas::subjects::{Namespace, OTLP_CONSUMER, Signal, telemetry_lease};

use super::build::Grants;
use super::grant::{Grant, Place};
use super::role::{UserRole, inbox_prefix};

pub(super) fn of(place: &Place, role: UserRole) -> Vec<Grant> {
    let mut grants = Grants::new(place);
    let inbox = inbox_prefix(&place.namespace, role);
    grants.subscribe(format!("{inbox}.>"), "answers to what it asks");
    match role {
        UserRole::Experimentd => experimentd(&mut grants),
        UserRole::Client => client(&mut grants),
        UserRole::Frontend => frontend(&mut grants),
        UserRole::Worker => worker(&mut grants),
        UserRole::QueueClient => queue_client(&mut grants),
        UserRole::Emulator => emulator(&mut grants),
        UserRole::Telemetry => telemetry(&mut grants),
        UserRole::Submitter => submitter(&mut grants),
        UserRole::Operator => operator(&mut grants),
        UserRole::Observer => observer(&mut grants),
        UserRole::Gateway => gateway(&mut grants),
        UserRole::Bridge => bridge(&mut grants),
    }
    let names = grants.names;
    for signal in Signal::ALL {
        grants.publish(names.otlp(signal), "its own telemetry");
    }
    grants.publish(names.hops(), "how its sampled messages go through servers, where it asks for that");
    grants.done()
}

/// The streams of experiments.
fn streams(names: &Namespace) -> [String; 9] {
    [
        names.stream_submit(),
        names.stream_dead(),
        names.stream_change(),
        names.stream_event(),
        names.stream_second(),
        names.stream_metric(),
        names.stream_trace(),
        names.stream_sample(),
        names.stream_otlp(),
    ]
}

/// The buckets that all share.
fn buckets(names: &Namespace) -> [String; 6] {
    [
        names.bucket_node(),
        names.bucket_lease(),
        names.bucket_run(),
        names.bucket_route(),
        names.bucket_app(),
        names.bucket_queue(),
    ]
}

/// The streams of a queue: its jobs, their records, and those that were given up.
fn queue_streams(grants: &Grants<'_>, queue: &str) -> [String; 3] {
    [
        grants.stream_of(queue, |names, queue| names.stream_job(queue)),
        grants.stream_of(queue, |names, queue| names.stream_result(queue)),
        grants.stream_of(queue, |names, queue| names.stream_dead_letter(queue)),
    ]
}

fn experimentd(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    for stream in streams(names) {
        grants.make(&stream, "makes the streams of experiments");
    }
    for bucket in buckets(names) {
        grants.make(&format!("KV_{bucket}"), "makes the buckets that all share");
    }
    let artifacts = names.bucket_artifact();
    grants.make(&format!("OBJ_{artifacts}"), "makes the store of reports");
    grants.publish(format!("$O.{artifacts}.>"), "writes reports");
    grants.api(&format!("DIRECT.GET.OBJ_{artifacts}.$O.{artifacts}.M.*"), "replaces reports");
    grants.api(&format!("STREAM.PURGE.OBJ_{artifacts}"), "replaces reports");

    grants.make(&format!("OBJ_{}", names.bucket_app()), "makes the store of bundles");
    grants.make(&format!("OBJ_{}", names.bucket_profile()), "makes the store of profiles");

    read_bundles(grants);
    let submit = names.stream_submit();
    grants.api(&format!("CONSUMER.INFO.{submit}.*"), "takes submissions");
    grants.api(&format!("CONSUMER.CREATE.{submit}.*.{}", names.experiment_submit()), "takes submissions");
    // Each is acknowledged once, which is an answer.
    grants.api(&format!("CONSUMER.MSG.NEXT.{submit}.*"), "takes submissions");
    grants.publish(format!("_INBOX.{}.*.>", names.as_str()), "answers to submissions");
    grants.publish(names.experiment_dead(), "submissions that could not be read");

    grants.publish(names.experiment_event("*"), "events of runs");
    grants.publish(names.experiment_second("*"), "merged seconds");
    grants.subscribe(names.experiment_control("*"), "control of runs");
    grants.subscribe(names.experiment_archive("*"), "what is stored of runs");

    grants.write_key(&names.bucket_run(), "*", "records of runs");
    grants.watch_keys(&names.bucket_run(), ">", "records of runs");
    grants.write_key(&names.bucket_lease(), "run.*", "leases of runs");
    grants.watch_keys(&names.bucket_lease(), "run.*", "runs that nobody looks after any more");
    for (stream, filter) in
        [(names.stream_event(), names.experiment_event("*")), (names.stream_second(), names.experiment_second("*"))]
    {
        grants.tail(&stream, &filter, "what was told of a run before");
        grants.last(&stream, "what was told of a run before");
    }
    grants.api(&format!("CONSUMER.CREATE.OBJ_{artifacts}"), "reports, and where runs stand");
    grants.read_key(&names.bucket_route(), "*", "the routing table");
    grants.watch_keys(&names.bucket_route(), ">", "the routing table");
    grants.watch_keys(&names.bucket_node(), ">", "who is here");

    grants.publish(names.node_command("*"), "commands to nodes");
    grants.publish(names.node_ping("*"), "clocks of nodes");
    steer_samplers(grants);
    grants.subscribe(names.telemetry("*"), "samples of machines that are stored with runs");
    for (stream, filter) in
        [(names.stream_metric(), names.metric_all("*")), (names.stream_trace(), names.trace_all("*"))]
    {
        grants.tail(&stream, &filter, "what nodes measured");
        grants.last(&stream, "what nodes measured");
        grants.api(&format!("STREAM.PURGE.{stream}"), "what nodes measured, once it is stored");
    }
}

/// To tell of the machine.
fn sampler(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.publish(names.telemetry("*"), "samples of its machine");
    grants.subscribe(names.telemetry_control("*"), "whether and how often it samples");
    grants.write_key(&names.bucket_lease(), &telemetry_lease("*"), "which process samples a machine");
}

fn telemetry(grants: &mut Grants<'_>) {
    grants.member();
    sampler(grants);
}

/// To find the machines that are sampled, and to steer that.
fn steer_samplers(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.watch_keys(&names.bucket_lease(), &telemetry_lease("*"), "which machines are sampled");
    grants.publish(names.telemetry_control("*"), "whether and how often machines are sampled");
}

fn client(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    sampler(grants);
    grants.subscribe(names.node_command("*"), "commands of the daemon");
    grants.subscribe(names.node_ping("*"), "its clock");
    grants.publish(names.metric("*", "*"), "what it measured");
    grants.publish(names.trace("*", "*"), "what it measured");
    grants.publish(names.oco_servo("*", "*"), "servos that drive OCO backends over NATS");
    read_bundles(grants);
    write_profiles(grants);
    jobs(grants);
}

/// To store what profiles wrote; the oldest go when there is no room.
fn write_profiles(grants: &mut Grants<'_>) {
    let profiles = grants.names.bucket_profile();
    read_profiles(grants);
    grants.publish(format!("$O.{profiles}.>"), "outputs of profiles");
    grants.api(&format!("STREAM.PURGE.OBJ_{profiles}"), "room for outputs of profiles");
}

/// To list and read what profiles wrote.
fn read_profiles(grants: &mut Grants<'_>) {
    let profiles = grants.names.bucket_profile();
    grants.look(&format!("OBJ_{profiles}"), "outputs of profiles");
    grants.api(&format!("DIRECT.GET.OBJ_{profiles}.$O.{profiles}.M.*"), "outputs of profiles");
    grants.api(&format!("CONSUMER.CREATE.OBJ_{profiles}"), "outputs of profiles");
}

/// To fetch the bundles that experiments name.
fn read_bundles(grants: &mut Grants<'_>) {
    let apps = grants.names.bucket_app();
    grants.api(&format!("DIRECT.GET.OBJ_{apps}.$O.{apps}.M.*"), "bundles of experiments");
    grants.tail(&format!("OBJ_{apps}"), &format!("$O.{apps}.C.*"), "bundles of experiments");
}

/// What whoever submits jobs needs who says that it is there.
fn jobs(grants: &mut Grants<'_>) {
    submit_jobs(grants);
    grants.write_key(&grants.names.bucket_lease(), "client.*", "that the client of its jobs is there");
}

/// What whoever submits jobs needs.
fn submit_jobs(grants: &mut Grants<'_>) {
    let names = grants.names;
    for queue in grants.queues() {
        grants.read_key(&names.bucket_queue(), &queue, "the definition of the queue");
        grants.publish(format!("{}.job.{queue}.*.*", names.as_str()), "jobs");
        grants.subscribe(names.result_client(&queue, "*"), "results of jobs");
        let jobs = grants.stream_of(&queue, |names, queue| names.stream_job(queue));
        grants.look(&jobs, "which limit a full queue has met");
        grants.api(&format!("DIRECT.GET.{jobs}"), "whose job has the same id");
        let results = grants.stream_of(&queue, |names, queue| names.stream_result(queue));
        grants.api(&format!("DIRECT.GET.{results}"), "whose job had the same id");
        let record = names.record(&queue, "*", "*");
        grants.api(&format!("DIRECT.GET.{results}.{record}"), "results that were missed");
    }
}

fn frontend(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    queue_books(grants);
    keep_queues(grants);
    for stream in [
        names.stream_sample(),
        names.stream_otlp(),
        format!("KV_{}", names.bucket_lease()),
        format!("KV_{}", names.bucket_queue()),
        format!("KV_{}", names.bucket_node()),
    ] {
        grants.make(&stream, "makes what queues need, where no daemon has");
    }
    grants.write_key(&names.bucket_lease(), "queue.*", "which frontend keeps a queue");
    grants.watch_keys(&names.bucket_lease(), "client.*", "which clients are there");
    grants.read_key(&names.bucket_lease(), "client.*", "which clients are there");
    grants.watch_keys(&names.bucket_node(), ">", "which workers are there");
    grants.subscribe(names.sample("*"), "how busy workers are");
}

/// To make queues and change them.
fn keep_queues(grants: &mut Grants<'_>) {
    let names = grants.names;
    for queue in grants.queues() {
        let [jobs, results, dead] = queue_streams(grants, &queue);
        for stream in [&jobs, &results, &dead] {
            grants.make(stream, "makes queues");
        }
        grants.api(&format!("CONSUMER.INFO.{jobs}.*"), "the consumers that workers share");
        let filter = format!("{}.job.{queue}.*.*", names.as_str());
        grants.api(&format!("CONSUMER.CREATE.{jobs}.*.{filter}"), "the consumers that workers share");
        grants.api(&format!("CONSUMER.PAUSE.{jobs}.*"), "queues that are paused");
    }
    grants.write_key(&names.bucket_queue(), ">", "definitions and totals of queues");
    grants.watch_keys(&names.bucket_queue(), "*", "definitions of queues");
}

/// To fold the records of queues, and to give up what nobody will take.
fn queue_books(grants: &mut Grants<'_>) {
    let names = grants.names;
    for queue in grants.queues() {
        let results = grants.stream_of(&queue, |names, queue| names.stream_result(queue));
        grants.tail(&results, "", "the books");
        let jobs = grants.stream_of(&queue, |names, queue| names.stream_job(queue));
        grants.api(&format!("DIRECT.GET.{jobs}"), "jobs that nobody will take");
        grants.api(&format!("STREAM.MSG.DELETE.{jobs}"), "jobs that nobody will take");
        grants.api(&format!("STREAM.PURGE.{results}"), "room for records");
        let dead = grants.stream_of(&queue, |names, queue| names.stream_dead_letter(queue));
        grants.look(&dead, "dead letters");
        grants.publish(names.record(&queue, "*", "*"), "records of jobs that nobody will take");
        grants.publish(names.result(&queue, "*", "*"), "tells whoever submitted them");
        grants.publish(names.dead_letter(&queue), "copies of jobs given up");
    }
}

fn worker(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    sampler(grants);
    for queue in grants.queues() {
        grants.watch_keys(&names.bucket_queue(), &queue, "the definition of its queue");
        let jobs = grants.stream_of(&queue, |names, queue| names.stream_job(queue));
        grants.api(&format!("CONSUMER.MSG.NEXT.{jobs}.*"), "takes jobs");
        let results = grants.stream_of(&queue, |names, queue| names.stream_result(queue));
        let record = names.record(&queue, "*", "*");
        grants.api(&format!("DIRECT.GET.{results}.{record}"), "whether a job has its record already");
        grants.publish(names.record(&queue, "*", "*"), "records of jobs");
        grants.publish(names.result(&queue, "*", "*"), "tells whoever submitted them");
        grants.publish(format!("{}.repeat.{queue}.*", names.as_str()), "records of repeats");
        grants.publish(names.dead_letter(&queue), "copies of jobs given up");
        grants.publish(names.job_event(&queue), "that a job is taken");
        grants.write_key(&names.bucket_queue(), &format!("{queue}.returned.*"), "how often a job was handed back");
    }
    grants.publish("$JS.ACK.>".to_owned(), "takes jobs");
    grants.api("INFO", "whether the server still answers, at its end");
    grants.publish(names.sample("*"), "how busy it is");
    grants.publish(names.device_run("*"), "work for emulated devices");
}

fn queue_client(grants: &mut Grants<'_>) {
    jobs(grants);
    let names = grants.names;
    grants.look(&format!("KV_{}", names.bucket_node()), "whether the buckets are there");
}

fn bridge(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    submit_jobs(grants);
    grants.publish(names.experiment_submit(), "submissions");
    grants.read_key(&names.bucket_run(), "*", "records of runs");
    grants.watch_keys(&names.bucket_run(), "*", "how runs end");
}

fn emulator(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    sampler(grants);
    grants.subscribe(names.oco_servo_all(), "servos");
    grants.subscribe(format!("{}.resource.*.*", names.as_str()), "resources to consume");
    grants.subscribe(names.device_run("*"), "work for emulated devices");
    grants.publish(names.sample("*"), "how busy a device is");
    let oco = names.bucket_oco();
    grants.make(&format!("KV_{oco}"), "what OCO backends know");
    grants.write_key(&oco, ">", "what OCO backends know");
    grants.watch_keys(&oco, ">", "what OCO backends know");
    grants.watch_keys(&names.bucket_node(), ">", "other OCO backends");
    grants.write_key(&names.bucket_route(), "*", "its own address, with --register");
}

fn submitter(grants: &mut Grants<'_>) {
    follow(grants);
    submit(grants);
}

/// To publish experiments and control them.
fn submit(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.publish(names.experiment_submit(), "submissions");
    grants.publish(names.experiment_control("*"), "control of runs");
    grants.write_key(&names.bucket_run(), "*", "to cancel a run that waits");
    let apps = names.bucket_app();
    grants.publish(format!("$O.{apps}.>"), "bundles of experiments");
    grants.write_key(&apps, "*", "which bundle an application is");
    read_bundles(grants);
}

/// To follow runs and read reports.
fn follow(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.look(&format!("KV_{}", names.bucket_node()), "whether the buckets are there");
    grants.read_key(&names.bucket_run(), "*", "records of runs");
    grants.watch_keys(&names.bucket_run(), ">", "records of runs");
    for (stream, filter) in
        [(names.stream_event(), names.experiment_event("*")), (names.stream_second(), names.experiment_second("*"))]
    {
        grants.tail(&stream, &filter, "follows runs");
        grants.last(&stream, "follows runs");
    }
    let artifacts = names.bucket_artifact();
    grants.look(&format!("OBJ_{artifacts}"), "reports");
    grants.api(&format!("DIRECT.GET.OBJ_{artifacts}.$O.{artifacts}.M.*"), "reports");
    grants.api(&format!("CONSUMER.CREATE.OBJ_{artifacts}"), "reports");
    read_profiles(grants);
    grants.publish(names.experiment_archive("*"), "what is stored of runs");
}

fn observer(grants: &mut Grants<'_>) {
    let names = grants.names;
    follow(grants);
    grants.watch_keys(&names.bucket_node(), ">", "who is here");
    grants.read_key(&names.bucket_route(), "*", "the routing table");
    grants.watch_keys(&names.bucket_route(), ">", "the routing table");
    look_at_queues(grants);
    grants.watch_keys(&names.bucket_app(), ">", "which applications there are");
    grants.watch_keys(&names.bucket_lease(), &telemetry_lease("*"), "which machines are sampled");
    grants.subscribe(names.telemetry("*"), "samples of machines");
    grants.publish("$SRV.>".to_owned(), "`nats micro`");
}

/// To show queues.
fn look_at_queues(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.read_key(&names.bucket_queue(), ">", "queues and their totals");
    grants.read_key(&names.bucket_lease(), "queue.*", "which frontend keeps a queue");
    grants.watch_keys(&names.bucket_queue(), "*", "queues and their totals");
    for queue in grants.queues() {
        let [jobs, results, dead] = queue_streams(grants, &queue);
        for stream in [&jobs, &results, &dead] {
            grants.look(stream, "how full a queue is");
        }
        grants.api(&format!("CONSUMER.INFO.{jobs}.*"), "how full a queue is");
        grants.api(&format!("DIRECT.GET.{jobs}"), "how long jobs have waited");
        grants.tail(&results, "", "the books");
        grants.api(&format!("DIRECT.GET.{dead}"), "dead letters");
    }
}

fn gateway(grants: &mut Grants<'_>) {
    let names = grants.names;
    grants.member();
    let otlp = names.stream_otlp();
    grants.look(&otlp, "whether telemetry waits, and how much went before it was taken");
    grants.api(&format!("CONSUMER.INFO.{otlp}.{OTLP_CONSUMER}"), "takes telemetry");
    grants.api(&format!("CONSUMER.CREATE.{otlp}.{OTLP_CONSUMER}.{}", names.otlp_all()), "takes telemetry");
    grants.api(&format!("CONSUMER.MSG.NEXT.{otlp}.{OTLP_CONSUMER}"), "takes telemetry");
    grants.publish("$JS.ACK.>".to_owned(), "telemetry that has been handed on");
    grants.subscribe(names.otlp(Signal::Metrics), "metrics of all processes");
    grants.subscribe(names.sample("*"), "how busy workers and devices are");
    grants.subscribe(names.telemetry("*"), "samples of machines");
    grants.watch_keys(&names.bucket_node(), ">", "who is here");
    follow(grants);
    submit(grants);
    remove_runs(grants);
    grants.watch_keys(&names.bucket_route(), ">", "the routing table");
    grants.write_key(&names.bucket_route(), "*", "the routing table");
    grants.watch_keys(&names.bucket_app(), ">", "which applications there are");
    remove_apps(grants);
    grants.watch_keys(&names.bucket_queue(), ">", "queues and their totals");
    look_at_queues(grants);
    steer_queues(grants);
    grants.watch_keys(&names.bucket_lease(), ">", "who holds what");
    grants.publish(names.change(), "what was changed, by whom and why");
    grants.tail(&names.stream_change(), &names.change(), "what was changed before");
    grants.publish(format!("{}.resource.*.*", names.as_str()), "has resources consumed");
    grants.api("STREAM.LIST", "how full streams are");
    grants.api("CONSUMER.LIST.*", "how far consumers are behind");
    grants.subscribe(names.hops(), "how sampled messages went through servers");
}

/// To have queues give jobs or not, and to repeat or remove dead letters.
fn steer_queues(grants: &mut Grants<'_>) {
    let names = grants.names;
    for queue in grants.queues() {
        let [jobs, _, dead] = queue_streams(grants, &queue);
        grants.api(&format!("STREAM.UPDATE.{jobs}"), "queues that take no jobs");
        grants.api(&format!("CONSUMER.PAUSE.{jobs}.*"), "queues that are paused");
        grants.api(&format!("STREAM.MSG.DELETE.{dead}"), "removes dead letters");
        grants.publish(format!("{}.job.{queue}.*.*", names.as_str()), "dead jobs that are submitted again");
    }
    grants.write_key(&names.bucket_queue(), "*", "definitions of queues");
}

fn operator(grants: &mut Grants<'_>) {
    let names = grants.names;
    observer(grants);
    steer_samplers(grants);
    submit(grants);
    jobs(grants);
    keep_queues(grants);
    grants.publish(names.node_ping("*"), "clocks of nodes, for `nuncius doctor`");
    grants.api("INFO", "what JetStream gives the account, for `nuncius doctor`");
    let kept = buckets(names).map(|bucket| format!("KV_{bucket}"));
    let stores = [names.bucket_artifact(), names.bucket_profile(), names.bucket_app()];
    let stores = stores.map(|store| format!("OBJ_{store}"));
    for stream in streams(names).into_iter().chain(kept).chain(stores) {
        grants.look(&stream, "whether all streams are as they should be, for `nuncius doctor`");
    }
    grants.publish(format!("{}.resource.*.*", names.as_str()), "has resources consumed");
    grants.write_key(&names.bucket_route(), "*", "the routing table");
    remove_apps(grants);
    remove_runs(grants);
    remove_queues(grants);
}

/// To remove applications with their bundles.
fn remove_apps(grants: &mut Grants<'_>) {
    let apps = grants.names.bucket_app();
    grants.api(&format!("STREAM.PURGE.OBJ_{apps}"), "removes bundles");
    // How old pieces are that belong to no bundle.
    grants.api(&format!("DIRECT.GET.OBJ_{apps}.$O.{apps}.>"), "removes bundles");
}

/// To delete what is stored of runs.
fn remove_runs(grants: &mut Grants<'_>) {
    let names = grants.names;
    let artifacts = names.bucket_artifact();
    let profiles = names.bucket_profile();
    grants.publish(format!("$O.{artifacts}.M.*"), "removes reports");
    grants.publish(format!("$O.{profiles}.M.*"), "removes outputs of profiles");
    for stream in [
        names.stream_event(),
        names.stream_second(),
        names.stream_metric(),
        names.stream_trace(),
        format!("OBJ_{artifacts}"),
        format!("OBJ_{profiles}"),
    ] {
        grants.api(&format!("STREAM.PURGE.{stream}"), "removes what is stored of runs");
    }
}

/// To empty queues, to repeat or remove dead letters, to remove queues.
fn remove_queues(grants: &mut Grants<'_>) {
    let names = grants.names;
    for queue in grants.queues() {
        let [jobs, results, dead] = queue_streams(grants, &queue);
        for stream in [&jobs, &results, &dead] {
            grants.api(&format!("STREAM.DELETE.{stream}"), "removes queues");
        }
        for stream in [&jobs, &dead] {
            grants.api(&format!("STREAM.MSG.DELETE.{stream}"), "empties queues");
        }
        grants.publish(names.record(&queue, "*", "*"), "records of jobs that are not run");
        grants.publish(names.result(&queue, "*", "*"), "tells whoever submitted them");
        grants.watch_keys(&names.bucket_queue(), &format!("{queue}.>"), "what a queue leaves behind");
    }
}
