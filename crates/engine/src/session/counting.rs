//! How what comes and goes on connections is counted.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use nuncius_clock::monotonic_ns;

use super::channels::{AllGone, Channels, Gone, Protocol, Subscription};
use super::meters::ProtocolMeters;
use super::shared::Shared;
use crate::in_flight::Iteration;
use crate::inbox::Traffic;
use crate::record::Recorder;
use crate::socket::Socket;
use crate::socketio::SocketIo;

/// Reads what is there on what a user has open, and counts it.
pub(super) fn pump(
    channels: &Channels,
    context: &mut Context<'_>,
    shared: &Shared,
    iteration: Iteration,
    body_max_bytes: usize,
) {
    let mut came = |protocol, step, received| {
        count_received(shared, iteration, (step, meters_of(shared, protocol)), received);
    };
    channels.pump(context, body_max_bytes, &mut came, &mut |track, header| count_numbered(shared, track, header));
}

/// The iteration is over, and what it has open with it: what has come by now is read, once.
pub(super) async fn part(channels: &Channels, shared: &Shared, iteration: Iteration, body_max_bytes: usize) {
    if channels.is_empty() {
        return;
    }
    poll_fn(|context| {
        channels.stir(context, body_max_bytes);
        pump(channels, context, shared, iteration, body_max_bytes);
        Poll::Ready(())
    })
    .await;
    let AllGone { sockets, socketio, subscriptions } = channels.take_all();
    sockets.into_iter().for_each(|socket| parted(shared, iteration, socket));
    socketio.into_iter().for_each(|io| io_parted(shared, iteration, io));
    subscriptions.into_iter().for_each(|subscription| nats_parted(shared, iteration, subscription));
}

fn meters_of(shared: &Shared, protocol: Protocol) -> &ProtocolMeters {
    match protocol {
        Protocol::Ws => &shared.meters.ws,
        Protocol::SocketIo => &shared.meters.socketio,
        Protocol::Nats => &shared.meters.nats,
    }
}

/// A message came whose header says which one it is.
pub(super) fn count_numbered(shared: &Shared, track: &Arc<str>, header: &str) {
    shared.in_flight.record(|recorder| recorder.received_numbered(track, header));
}

/// Messages were received at a step.
pub(super) fn count_received(
    shared: &Shared,
    iteration: Iteration,
    (step, meters): (u16, &ProtocolMeters),
    received: Traffic,
) {
    if received == Traffic::default() {
        return;
    }
    shared.in_flight.count(iteration, step, |recorder, place| recorder.read(place, received.bytes));
    add(shared, iteration, meters.received, received.messages);
}

/// A connection is closed by whoever has opened it.
pub(super) fn parted(shared: &Shared, iteration: Iteration, gone: Gone<Socket>) {
    let Gone { step, open: mut socket } = gone;
    count_received(shared, iteration, (step, &shared.meters.ws), socket.inbox.take_received());
    let lasted_ns = monotonic_ns().saturating_sub(socket.opened_ns);
    add(shared, iteration, shared.meters.ws.duration, lasted_ns);
    socket.part();
}

/// A connection of Socket.IO is closed by whoever has opened it.
pub(super) fn io_parted(shared: &Shared, iteration: Iteration, gone: Gone<SocketIo>) {
    let Gone { step, open: mut io } = gone;
    count_received(shared, iteration, (step, &shared.meters.socketio), io.take_received());
    let lasted_ns = monotonic_ns().saturating_sub(io.opened_ns);
    add(shared, iteration, shared.meters.socketio.duration, lasted_ns);
    io.part();
}

/// A subscription is given up by whoever has made it.
pub(super) fn nats_parted(shared: &Shared, iteration: Iteration, gone: Gone<Subscription>) {
    let Gone { step, open: mut subscription } = gone;
    count_received(shared, iteration, (step, &shared.meters.nats), subscription.inbox.take_received());
}

/// Adds to a meter of a protocol; what begins in the warm-up adds to none.
pub(super) fn add(shared: &Shared, iteration: Iteration, meter: Option<usize>, value: u64) {
    if let Some(meter) = meter.filter(|_| !shared.in_flight.is_warm_up(iteration)) {
        shared.in_flight.record(|recorder: &mut Recorder| recorder.meter(meter, value));
    }
}
