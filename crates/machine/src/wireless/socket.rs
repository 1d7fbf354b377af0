//! Questions to the kernel over generic netlink.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nuncius_schemas::telemetry::WirelessTelemetry;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::message::{DONE, ERROR, Message, error, family, get_family, get_stations, messages, station};

/// How long an answer may take: the kernel answers at once, or not at all.
const PATIENCE: Duration = Duration::from_millis(100);
/// Longest datagram, in bytes.
const DATAGRAM_MAX_BYTES: usize = 32 * 1024;

/// The connection of each interface that has one.
pub(super) fn stations(interfaces: &[(String, u32)]) -> Result<Vec<(String, WirelessTelemetry)>, String> {
    let told = |error: Errno| std::io::Error::from(error).to_string();
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::GENERIC),
    )
    .map_err(told)?;
    let mut number = None;
    ask(&socket, &get_family("nl80211"), false, |message| number = number.or_else(|| family(message.body)))?;
    let number = number.ok_or("the kernel has no nl80211")?;
    let mut found = Vec::new();
    for (name, index) in interfaces {
        let mut stations = Vec::new();
        ask(&socket, &get_stations(number, *index), true, |message| stations.extend(station(message.body)))?;
        // An access point has many, none of which is its own connection.
        if let [wireless] = stations.as_slice() {
            found.push((name.clone(), *wireless));
        }
    }
    Ok(found)
}

/// Asks, and sees every message of the answer: one, or all of a dump.
fn ask(socket: &OwnedFd, question: &[u8], is_dump: bool, mut see: impl FnMut(&Message<'_>)) -> Result<(), String> {
    let told = |error: Errno| std::io::Error::from(error).to_string();
    sendto(socket, question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(told)?;
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = vec![0u8; DATAGRAM_MAX_BYTES];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("it took longer than {PATIENCE:?}"));
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(told(error)),
        }
        let read = match recv(socket, buffer.as_mut_slice(), RecvFlags::empty()) {
            Ok((read, _)) => read,
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(error) => return Err(told(error)),
        };
        for message in messages(buffer.get(..read).unwrap_or_default()) {
            match message.kind {
                DONE => return Ok(()),
                ERROR => {
                    return match error(message.body) {
                        0 => Ok(()),
                        number => Err(std::io::Error::from_raw_os_error(number).to_string()),
                    };
                }
                _ => see(&message),
            }
        }
        // What is asked of one thing is answered by one message.
        if !is_dump {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_of_this_machine_answers_or_says_why_not() {
        // Few machines that run tests have Wi-Fi: most have no nl80211, and none has an interface of this number.
        let answer = stations(&[("wlan9".to_owned(), 9_999)]);
        match answer {
            Ok(found) => assert!(found.is_empty()),
            Err(problem) => assert!(!problem.is_empty() && !problem.contains("took longer"), "{problem}"),
        }
    }
}
