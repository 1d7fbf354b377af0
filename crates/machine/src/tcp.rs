//! TCP: counters of the protocol, and sockets by state.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nuncius_schemas::telemetry::{TcpStates, TcpTelemetry};

use crate::network::of_machine;
use crate::paced::Paced;
use crate::source::{Source, Tree, is_gone};

/// Most that is read of a table of sockets, in bytes: some 400 000 of them.
const TABLE_MAX_BYTES: usize = 64 << 20;

/// Reads TCP. The kernel goes through every socket to make its table, so that it is read seldom where there are many.
#[derive(Debug)]
pub(crate) struct Tcp {
    tables: Paced,
    states: Option<TcpStates>,
    counted_ns: u64,
}

impl Tcp {
    pub(crate) fn new() -> Self {
        Self { tables: Paced::one_in(500), states: None, counted_ns: 0 }
    }

    pub(crate) fn read(&mut self, source: &mut Source, now_ns: u64) -> Option<TcpTelemetry> {
        let snmp = of_machine(source, "net/snmp");
        let mut tcp = source.parse(Tree::Proc, &snmp, parse_snmp)?;
        let netstat = of_machine(source, "net/netstat");
        if let Some((overflows, drops)) = source.parse(Tree::Proc, &netstat, |text| Ok(parse_netstat(text))) {
            (tcp.listen_overflows, tcp.listen_drops) = (overflows, drops);
        }
        let page_bytes = rustix::param::page_size() as u64;
        let sockstat = of_machine(source, "net/sockstat");
        if let Some((orphans, pages)) = source.parse(Tree::Proc, &sockstat, |text| Ok(parse_sockstat(text))) {
            tcp.orphans = orphans;
            tcp.memory_bytes = pages.map(|pages| pages.saturating_mul(page_bytes));
        }
        if let Some(counted) = self.tables.run(now_ns, || count_tables(source)) {
            (self.states, self.counted_ns) = (counted, now_ns);
        }
        tcp.states = self.states.map(|states| TcpStates { age_ns: now_ns.saturating_sub(self.counted_ns), ..states });
        Some(tcp)
    }
}

fn count_tables(source: &mut Source) -> Option<TcpStates> {
    let mut states = TcpStates::default();
    let mut is_there = false;
    for file in ["net/tcp", "net/tcp6"] {
        let path = source.path(Tree::Proc, &of_machine(source, file));
        match count_file(&path, &mut states) {
            Ok(found) => is_there |= found,
            Err(problem) => {
                source.problems().tell(&format!("file {file}"), || format!("{}: {problem}", path.display()));
            }
        }
    }
    is_there.then_some(states)
}

/// Counts the sockets of a table, which may be larger than memory should be; `false` where there is none.
fn count_file(path: &Path, states: &mut TcpStates) -> Result<bool, String> {
    match File::open(path) {
        Ok(file) => count_sockets(file, states, TABLE_MAX_BYTES).map(|()| true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

fn count_sockets(mut table: impl Read, states: &mut TcpStates, most_bytes: usize) -> Result<(), String> {
    let mut buffer = vec![0u8; 64 * 1024];
    let (mut kept, mut total) = (0, 0);
    loop {
        let room = buffer.get_mut(kept..).unwrap_or_default();
        if room.is_empty() {
            return Err(format!("a line is longer than {} bytes", buffer.len()));
        }
        let read = table.read(room).map_err(|error| error.to_string())?;
        let filled = buffer.get(..kept + read).unwrap_or_default();
        let whole = filled.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        filled.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').for_each(|line| count_line(line, states));
        total += read;
        let rest = whole..kept + read;
        if read == 0 {
            count_line(filled.get(rest).unwrap_or_default(), states);
            return Ok(());
        }
        if total > most_bytes {
            return Err(format!("longer than {most_bytes} bytes, the limit: not all sockets are counted"));
        }
        kept = rest.len();
        buffer.copy_within(rest, 0);
    }
}

fn count_line(line: &[u8], states: &mut TcpStates) {
    // `sl: local remote st …`; the line with the names of the columns has no number there.
    let state = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(3);
    let Some(state) = state.and_then(|word| std::str::from_utf8(word).ok()) else { return };
    let place = match u8::from_str_radix(state, 16) {
        Ok(1) => &mut states.established,
        Ok(2) => &mut states.syn_sent,
        // 12 is a request that has no socket yet.
        Ok(3 | 12) => &mut states.syn_received,
        Ok(4) => &mut states.fin_wait_1,
        Ok(5) => &mut states.fin_wait_2,
        Ok(6) => &mut states.time_wait,
        Ok(7) => &mut states.close,
        Ok(8) => &mut states.close_wait,
        Ok(9) => &mut states.last_ack,
        Ok(10) => &mut states.listen,
        Ok(11) => &mut states.closing,
        Ok(_) | Err(_) => return,
    };
    *place += 1;
}

/// Looks a figure up in a file whose lines come in pairs: names, then numbers.
fn paired(text: &str, protocol: &str, mut see: impl FnMut(&str, &str)) -> bool {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return false };
    names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace()).for_each(|(name, number)| see(name, number));
    true
}

/// Understands /proc/net/snmp.
fn parse_snmp(text: &str) -> Result<TcpTelemetry, String> {
    let mut tcp = TcpTelemetry::default();
    let mut wrong = None;
    let is_there = paired(text, "Tcp", |name, number| {
        let place = match name {
            "ActiveOpens" => &mut tcp.active_opens,
            "PassiveOpens" => &mut tcp.passive_opens,
            "AttemptFails" => &mut tcp.failed_attempts,
            "EstabResets" => &mut tcp.resets,
            "CurrEstab" => &mut tcp.established,
            "InSegs" => &mut tcp.received_segments,
            "OutSegs" => &mut tcp.sent_segments,
            "RetransSegs" => &mut tcp.retransmitted_segments,
            "InErrs" => &mut tcp.received_errors,
            "OutRsts" => &mut tcp.sent_resets,
            _ => return,
        };
        match number.parse() {
            Ok(number) => *place = number,
            Err(_) => wrong = Some(format!("{name}: `{}` is no counter", number.escape_debug())),
        }
    });
    match wrong {
        Some(wrong) => Err(wrong),
        None if is_there => Ok(tcp),
        None => Err("has no lines `Tcp:`".to_owned()),
    }
}

/// Understands /proc/net/netstat: how often queues of listeners overflowed, and what they dropped.
fn parse_netstat(text: &str) -> (Option<u64>, Option<u64>) {
    let (mut overflows, mut drops) = (None, None);
    paired(text, "TcpExt", |name, number| match name {
        "ListenOverflows" => overflows = number.parse().ok(),
        "ListenDrops" => drops = number.parse().ok(),
        _ => {}
    });
    (overflows, drops)
}

/// Understands /proc/net/sockstat: sockets without a process, and pages of memory.
fn parse_sockstat(text: &str) -> (Option<u64>, Option<u64>) {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or("");
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let after = |name: &str| {
        let place = words.iter().position(|word| *word == name)?;
        words.get(place + 1)?.parse().ok()
    };
    (after("orphan"), after("mem"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n   \
         1: 0100007F:1F90 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0\n   \
         2: 0100007F:1F90 0100007F:8001 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n   \
         3: 0100007F:1F90 0100007F:8002 0C 00000000:00000000 03:00000000 00000000     0        0 0 3 0";

    /// Gives what it has in pieces of a length.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(length);
            buffer[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn counters_of_the_protocol_are_found_by_their_names() {
        let text = "Ip: A\nIp: 1\nTcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs \
                    OutSegs RetransSegs InErrs OutRsts InCsumErrors\nTcp: 1 -1 25 2 3 9 4 8410 4757 5 6 15 7\n";
        let tcp = parse_snmp(text).unwrap();
        assert_eq!((tcp.active_opens, tcp.passive_opens, tcp.failed_attempts, tcp.resets), (25, 2, 3, 9));
        assert_eq!((tcp.retransmitted_segments, tcp.received_errors, tcp.sent_resets), (5, 6, 15));
        for bad in ["", "Tcp: A\n", "Tcp: InSegs\nTcp: x\n"] {
            assert!(parse_snmp(bad).is_err(), "{bad}");
        }
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: A\nIpExt: 1\n";
        assert_eq!(parse_netstat(netstat), (Some(2), Some(3)));
        assert_eq!(parse_sockstat("sockets: used 19\nTCP: inuse 1 orphan 7 tw 0 alloc 1 mem 9\n"), (Some(7), Some(9)));
        assert_eq!(parse_sockstat(""), (None, None));
    }

    proptest! {
        #[test]
        fn sockets_are_counted_however_their_table_is_cut(length in 1usize..400, rows in 0usize..400) {
            let mut text = TABLE.to_owned();
            let row = "\n 9: 0100007F:1F90 0100007F:8002 08 00000000:00000000 03:00000000 00000000 0 0 0 3 0";
            (0..rows).for_each(|_| text.push_str(row));
            let mut states = TcpStates::default();
            count_sockets(Pieces(text.as_bytes(), length), &mut states, 1 << 20).unwrap();
            let expected = TcpStates {
                listen: 1, established: 1, time_wait: 1, syn_received: 1, close_wait: rows as u64, ..TcpStates::default()
            };
            prop_assert_eq!(states, expected);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, text in "(Tcp:|TcpExt:|TCP:|[ a-zA-Z0-9\n]|\\PC){0,60}") {
            let _ = count_sockets(bytes.as_slice(), &mut TcpStates::default(), 1 << 20);
            let _ = parse_snmp(&text);
            parse_netstat(&text);
            parse_sockstat(&text);
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_and_so_is_a_table_without_one() {
        let count = |byte| count_sockets(std::io::repeat(byte), &mut TcpStates::default(), 1 << 20).unwrap_err();
        assert!(count(b'x').contains("a line is longer"));
        assert!(count(b'\n').contains("the limit"));
    }
}
