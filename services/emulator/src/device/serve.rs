//! The device on the bus: joins the registry, takes requests, answers when their work is done, tells its figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nuncius_bus::clock::unix_ms;
use nuncius_bus::registry::{self, Registration};
use nuncius_bus::service::ServiceGuard;
use nuncius_bus::{Bus, BusError, Message, Subscription, typed};
use nuncius_metrics::Families;
use nuncius_metrics::names::emulator as names;
use nuncius_schemas::node::{NodeInfo, Role};
use nuncius_schemas::subjects::HEADER_CONTENT_TYPE;
use nuncius_schemas::worker::{DeviceReply, NodeSample};
use nuncius_telemetry::OpenSpan;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::config::{DeviceConfig, DeviceError};
use super::model::Model;
use super::request::{self, RequestError};
use super::telemetry::Telemetry;
use crate::form::Form;
use crate::spans;
use crate::timer::Timer;

/// How often the device tells its figures.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a device that is told to end tries to answer what it has and to leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whom to answer, and how.
struct Caller {
    reply: Option<String>,
    form: Form,
    /// Of the caller's trace, until it is answered.
    span: OpenSpan,
}

struct Device {
    bus: Bus,
    config: DeviceConfig,
    /// Its node's name: that of the device, or that with a suffix.
    node: String,
    model: Model<Caller>,
    telemetry: Telemetry,
    /// Requests that left their work to the device.
    drawn: u64,
    told: Arc<Told>,
}

/// How it stands, for whoever asks from elsewhere.
#[derive(Default)]
struct Told {
    running: AtomicU64,
    waiting: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
}

impl Told {
    fn add_metrics(&self, families: &mut Families, node: &str, device: &str, lanes: u32) {
        families.count(&names::EMULATED_DEVICE_LANES, &[node, device], u64::from(lanes));
        families.count(&names::EMULATED_DEVICE_RUNNING_REQUESTS, &[node, device], self.running.load(Relaxed));
        families.count(&names::EMULATED_DEVICE_WAITING_REQUESTS, &[node, device], self.waiting.load(Relaxed));
        for (outcome, count) in [("done", &self.done), ("refused", &self.refused)] {
            families.count(&names::EMULATED_DEVICE_REQUESTS, &[node, device, outcome], count.load(Relaxed));
        }
    }
}

fn caller_of(bus: &Bus, message: &Message) -> Caller {
    let span = spans::of_message(message, || bus.namespace().device_run("{device}"));
    Caller { reply: message.reply.clone(), form: Form::of(&message.payload), span }
}

/// A place on the bus, given up by [`Membership::leave`].
struct Membership {
    registration: Registration,
    service: ServiceGuard,
}

enum Event {
    Request(Option<Message>),
    /// A job is done, or the model thinks so.
    Due,
    Sample,
    Renamed,
    Shutdown,
}

/// Runs a device until `shutdown`; `ready` is told the name its node got. The bucket of nodes must be there
/// ([`nuncius_bus::streams::ensure_streams`]). Of several devices of one name each request goes to one. At the end,
/// whatever runs and waits is answered with an error.
///
/// # Errors
/// [`DeviceError::Name`] and [`DeviceError::Setting`] for a configuration that cannot be meant, [`DeviceError::Bus`]
/// when it cannot join or the connection is closed under it, [`DeviceError::Timer`] when the kernel gives no timer.
pub async fn run(
    config: DeviceConfig,
    bus: Bus,
    shutdown: CancellationToken,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), DeviceError> {
    config.check()?;
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    // Without a server, answering and leaving may take for ever.
    tokio::select! {
        ended = join_and_serve(config, bus, &shutdown, ready) => ended,
        () = overdue => {
            warn!(limit = ?FAREWELL, "the device ended without having answered everything");
            Ok(())
        }
    }
}

async fn join_and_serve(
    config: DeviceConfig,
    bus: Bus,
    shutdown: &CancellationToken,
    ready: Option<oneshot::Sender<String>>,
) -> Result<(), DeviceError> {
    let timer = Timer::new().map_err(DeviceError::Timer)?;
    let subject = bus.namespace().device_run(&config.name);
    let mut requests = bus.queue_subscribe(&subject, &config.name).await?;
    let membership = join(&config, &bus).await?;
    bus.flush().await?;
    let node = membership.registration.claim().name;
    info!(%node, device = %config.name, lanes = config.lanes, "joined");
    if let Some(ready) = ready {
        let _ = ready.send(node.clone());
    }
    let model = Model::new(config.lanes, config.queue, config.alpha, config.beta);
    let telemetry = Telemetry::new(&config);
    let told = Arc::new(Told::default());
    let (reported, name, of, lanes) = (Arc::clone(&told), node.clone(), config.name.clone(), config.lanes);
    let _reporting = nuncius_metrics::report(nuncius_metrics::Pace::Steady, move |families| {
        reported.add_metrics(families, &name, &of, lanes);
    });
    let mut device = Device { bus, config, node, model, telemetry, drawn: 0, told };
    let served = device.serve(&mut requests, &membership.registration, &timer, shutdown).await;
    if served.is_ok() {
        device.give_up(&mut requests, timer.now_ns()).await;
    }
    membership.leave().await;
    served
}

async fn join(config: &DeviceConfig, bus: &Bus) -> Result<Membership, BusError> {
    let labels = [("emulated", "true"), ("device", config.name.as_str())];
    // Whoever emulates a device does not say how large its host is: nothing here depends on it.
    let info = NodeInfo {
        labels: labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect(),
        ..registry::this_process(&config.name, Role::Emulator, &config.host)
    };
    let registration = registry::join(bus, info).await?;
    let node = registration.claim().name;
    let service_name = bus.namespace().service("emulator");
    let metadata = [("node", node.as_str()), ("device", &config.name)];
    let version = env!("CARGO_PKG_VERSION");
    let service = bus.register_service(&service_name, version, "stands for a device", &metadata).await?;
    Ok(Membership { registration, service })
}

impl Membership {
    async fn leave(self) {
        self.registration.release().await;
        self.service.stop().await;
    }
}

impl Device {
    /// Serves until `shutdown`.
    async fn serve(
        &mut self,
        requests: &mut Subscription,
        registration: &Registration,
        timer: &Timer,
        shutdown: &CancellationToken,
    ) -> Result<(), DeviceError> {
        let mut claims = registration.changes();
        let mut sample = tokio::time::interval(SAMPLE_INTERVAL);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drive = timer.drive();
        tokio::pin!(drive);
        let mut alarm = Alarm(None);
        loop {
            self.answer_ended().await;
            self.told.running.store(u64::from(self.model.running()), Relaxed);
            self.told.waiting.store(u64::from(self.model.waiting()), Relaxed);
            self.told.done.store(self.model.finished(), Relaxed);
            alarm.set(timer, self.model.next_end_ns());
            let event = tokio::select! {
                message = requests.next() => Event::Request(message),
                () = alarm.rings() => Event::Due,
                _ = sample.tick() => Event::Sample,
                Ok(()) = claims.changed() => Event::Renamed,
                () = shutdown.cancelled() => Event::Shutdown,
                driven = &mut drive => {
                    let error = driven.err().unwrap_or_else(|| std::io::Error::other("it ended"));
                    return Err(DeviceError::Timer(error));
                }
            };
            let now_ns = timer.now_ns();
            self.model.advance(now_ns);
            match event {
                Event::Request(Some(message)) => self.take(&message, now_ns).await,
                Event::Request(None) => return Err(DeviceError::Bus(BusError::Closed)),
                Event::Due => {}
                Event::Sample => self.publish_sample(now_ns).await,
                Event::Renamed => {
                    // The key expired while the bus was away, and somebody else has the name now. The device keeps its
                    // own.
                    self.node = claims.borrow_and_update().name.clone();
                }
                Event::Shutdown => return Ok(()),
            }
        }
    }

    async fn take(&mut self, message: &Message, now_ns: u64) {
        // Nothing of the message is kept but where to answer: many may wait, and each may be large.
        let caller = caller_of(&self.bus, message);
        let work_ns = match request::read(&message.payload) {
            Ok(Some(work_ns)) => work_ns,
            Ok(None) => {
                self.drawn += 1;
                self.config.work.sample_ns(self.config.seed, self.drawn - 1)
            }
            Err(error) => return self.refuse(caller, &error).await,
        };
        if let Err(caller) = self.model.arrive(now_ns, work_ns, caller) {
            self.refuse(caller, &RequestError::Full { queue: self.config.queue }).await;
        }
    }

    async fn answer_ended(&mut self) {
        while let Some(mut job) = self.model.next_ended() {
            let reply = request::reply(&self.config.name, &job, None);
            self.answer(&mut job.tag, &reply).await;
        }
    }

    async fn refuse(&self, mut caller: Caller, error: &RequestError) {
        self.told.refused.fetch_add(1, Relaxed);
        self.answer(&mut caller, &request::refusal(&self.config.name, error)).await;
    }

    async fn answer(&self, caller: &mut Caller, reply: &DeviceReply) {
        if let Some(error) = &reply.error {
            caller.span.fail("refused", error.clone());
        }
        let Some(subject) = &caller.reply else { return };
        let headers = typed::headers("device-reply.v1").with(HEADER_CONTENT_TYPE, caller.form.content_type());
        let payload = match caller.form.encode(reply) {
            Ok(payload) => payload,
            Err(error) => return warn!(%error, "answer not written"),
        };
        if let Err(error) = self.bus.publish(subject, &headers, payload).await {
            warn!(%error, "answer not sent");
        }
    }

    async fn publish_sample(&mut self, now_ns: u64) {
        let running = self.model.running();
        let figures = self.telemetry.sample(now_ns, self.model.busy_lane_ns(), running);
        if self.bus.connected_for().is_zero() {
            // Old figures are worth less than the answers that wait for the connection.
            return;
        }
        let sample = NodeSample {
            node: self.node.clone(),
            unix_ms: unix_ms(),
            queue: None,
            slots: self.config.lanes,
            busy: running,
            finished: self.model.finished(),
            cpu_share: None,
            memory_used_bytes: None,
            memory_total_bytes: None,
            devices: vec![figures],
        };
        let subject = self.bus.namespace().sample(&self.node);
        if let Err(error) = self.bus.publish_message(&subject, "node-sample.v1", &sample).await {
            debug!(%error, "sample not sent");
        }
    }

    /// Answers whatever runs, waits, or has come but was not looked at.
    async fn give_up(&mut self, requests: &mut Subscription, now_ns: u64) {
        let error = RequestError::ShutDown;
        let left = self.model.abandon(now_ns);
        self.answer_ended().await;
        for mut job in left {
            let reply = request::reply(&self.config.name, &job, Some(&error));
            self.answer(&mut job.tag, &reply).await;
        }
        if requests.drain().await.is_ok() {
            while let Some(message) = requests.next().await {
                let caller = caller_of(&self.bus, &message);
                self.refuse(caller, &error).await;
            }
        }
        if let Err(error) = self.bus.flush().await {
            warn!(%error, "last answers may be lost");
        }
    }
}

/// The deadline asked of the timer. One that has moved away is left to ring too early, which harms nobody and spares
/// the timer a deadline for every arrival.
struct Alarm(Option<(u64, oneshot::Receiver<()>)>);

impl Alarm {
    fn set(&mut self, timer: &Timer, wanted_ns: Option<u64>) {
        let Some(wanted_ns) = wanted_ns else { return };
        if self.0.as_ref().is_none_or(|(set_ns, _)| wanted_ns < *set_ns) {
            self.0 = Some((wanted_ns, timer.at(wanted_ns)));
        }
    }

    async fn rings(&mut self) {
        match &mut self.0 {
            Some((_, rung)) => {
                let _ = rung.await;
                self.0 = None;
            }
            None => std::future::pending().await,
        }
    }
}
