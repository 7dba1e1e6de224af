//! Attempts, connections and flows from start to end. Three sources report a TCP attempt's
//! outcome, and none suffices alone: the state change with `sk_err`, the errno that connect
//! returns, and the socket's release.

use std::net::IpAddr;
use std::rc::Rc;

use hashlink::LruCache;
use nix::errno::Errno;

use crate::capture::adopt::OpenSocket;
use crate::capture::event::{self, Connect, FlowBytes, FlowEnd, FlowKey, State, TcpCounters};
use crate::model::{
    Action, Connection, Geo, Name, Outcome, Process, Progress, Protocol, Record, Source, Verdict,
    WireNames,
};

use super::deferred_names::{Deferral, DeferredNames};
use super::naming::{HostsFiles, with_sni};

/// Open connections followed. One whose end was lost is evicted at some time.
const MAX_OPEN: usize = 262_144;
/// Attempts that wait for connect to return.
const MAX_RETURNING: usize = 1024;

/// A connection that has not ended.
#[derive(Debug)]
struct OpenConnection {
    connection: Connection,
    /// When it began, nanoseconds since boot.
    ns: u64,
    established: bool,
    /// Payload of an `already_open` connection before the recording.
    before: Option<(u64, u64)>,
    /// Progress lines that have been due so far.
    lines: u64,
    /// Its bytes have grown since the last of them.
    grown: bool,
    /// It began as an answer, and has become more.
    answered: bool,
    /// The policy refused what it said first: the kernel lets none of its payload out.
    silenced: bool,
}

pub struct Connections {
    /// Of the connection opened last.
    last_number: u64,
    tcp: LruCache<u64, OpenConnection>,
    flows: LruCache<FlowKey, OpenConnection>,
    /// Attempts that have ended without an error, while connect may still return one.
    returning: LruCache<u64, OpenConnection>,
    /// Sockets older than the recording that may have flows.
    adopted: LruCache<u64, ()>,
    deferred_names: DeferredNames,
    /// Those that were silenced since the last time, with their cookies.
    silenced: Vec<(u64, Connection)>,
}

/// What is known of a connection when it begins.
pub struct ConnectionStart {
    pub ns: u64,
    pub ts: i64,
    pub process: Rc<Process>,
    pub name: Option<Name>,
    pub geo: Option<Rc<Geo>>,
    /// A file that is still to be read may name it.
    pub deferral: Option<Deferral>,
}

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Nanoseconds since boot.
    pub ns: u64,
    pub ts: i64,
}

impl Connections {
    pub fn new() -> Connections {
        Connections {
            last_number: 0,
            tcp: LruCache::new(MAX_OPEN),
            flows: LruCache::new(MAX_OPEN),
            returning: LruCache::new(MAX_RETURNING),
            adopted: LruCache::new(MAX_OPEN),
            deferred_names: DeferredNames::new(),
            silenced: Vec::new(),
        }
    }

    /// A TCP attempt. A socket may connect again after a failure.
    pub fn attempt(&mut self, connect: &Connect, start: ConnectionStart, out: &mut Vec<Record>) {
        self.released(connect.cookie, None, start.ns, out);
        let open = self.open(connect, start, Outcome::InProgress);
        out.push(Record::Opened(open.connection.clone()));
        self.tcp.insert(connect.cookie, open);
    }

    /// A TCP connection or attempt that is older than the recording.
    pub fn adopt(&mut self, socket: &OpenSocket, start: ConnectionStart, out: &mut Vec<Record>) {
        let connect = Connect {
            owner: socket.owner.clone(),
            cookie: socket.cookie,
            protocol: socket.protocol,
            src: socket.src,
            dst: socket.dst,
            raw: false,
            shared_pid: socket.shared_pid,
            inbound: false,
            denied: false,
            first_hop: None,
            route: 0,
        };
        let outcome = match socket.established {
            true => Outcome::Connected,
            false => Outcome::InProgress,
        };
        let mut open = self.open(&connect, start, outcome);
        open.established = socket.established;
        open.before = socket.bytes;
        open.connection.already_open = true;
        out.push(Record::Opened(open.connection.clone()));
        self.tcp.insert(socket.cookie, open);
    }

    /// A socket that is older than the recording: its flows appear with their next packets.
    pub fn adopt_flows(&mut self, cookie: u64) {
        self.adopted.insert(cookie, ());
    }

    /// A flow's first packet was sent. Two threads that send at the same time may both be
    /// reported: it is one flow. One that its peer began is reported anew if what is sent goes
    /// another way than the peer's packet came: it is no answer.
    pub fn flow(&mut self, connect: &Connect, start: ConnectionStart, out: &mut Vec<Record>) {
        let key = connect.flow_key();
        if let Some(open) = self.flows.get_mut(&key) {
            if open.connection.inbound && !connect.inbound {
                open.connection.inbound = false;
                open.answered = true;
                out.push(Record::Outcome(open.connection.clone()));
            }
            return;
        }
        let adopted = self.adopted.contains_key(&connect.cookie);
        let outcome = match connect.protocol {
            _ if connect.denied => Outcome::Denied,
            // connected once the peer answers
            Protocol::SCTP if !connect.raw && !adopted && !connect.inbound => Outcome::InProgress,
            Protocol::SCTP if !connect.raw => Outcome::Connected,
            _ => Outcome::Sent,
        };
        let mut open = self.open(connect, start, outcome);
        open.connection.already_open = adopted;
        out.push(Record::Opened(open.connection.clone()));
        self.flows.insert(key, open);
    }

    /// The peer answered an SCTP flow.
    pub fn associated(&mut self, key: FlowKey, refused: bool, ns: u64, out: &mut Vec<Record>) {
        let Some(open) = self.flows.get_mut(&key) else {
            return;
        };
        let c = &mut open.connection;
        if c.outcome == Outcome::InProgress {
            c.latency_us = Some(micros(open.ns, ns));
            c.outcome = match refused {
                true => Outcome::Refused,
                false => Outcome::Connected,
            };
            out.push(Record::Outcome(c.clone()));
        }
    }

    /// The policy has decided on an attempt, or on a flow whose first packet was just reported; or
    /// on a flow anew. What was refused is denied, whatever else reports its end.
    pub fn decided(
        &mut self,
        decided: &event::Verdict,
        mut verdict: Verdict,
        ns: u64,
        out: &mut Vec<Record>,
    ) {
        let key = &decided.key;
        let open = match key.protocol {
            Protocol::Tcp => self.tcp.get_mut(&key.cookie),
            _ => self.flows.get_mut(key),
        };
        let Some(open) = open else { return };
        let c = &mut open.connection;
        // of another's socket: what is done to a process must be certain to be meant for it
        if decided.process != (c.process.pid, c.process.start_ns) && verdict.action.harms() {
            verdict.action = Action::Block;
        }
        if c.verdict.as_ref() == Some(&verdict) {
            return;
        }
        // of a flow that was allowed before, or is more than an answer, something has left
        let undecided = match c.outcome {
            Outcome::InProgress => true,
            Outcome::Sent => c.verdict.is_none() && !open.answered,
            _ => false,
        };
        if verdict.stopped() && undecided {
            c.outcome = Outcome::Denied;
            c.errno = Some(Errno::EPERM as i32);
            c.duration_us = Some(micros(open.ns, ns));
        }
        if verdict.stopped() && decided.said {
            open.silenced = true;
            self.silenced.push((key.cookie, c.clone()));
        }
        c.verdict = Some(verdict);
        out.push(Record::Decided(c.clone()));
    }

    /// The connections that the policy has silenced since the last time, with their cookies.
    pub fn take_silenced(&mut self) -> Vec<(u64, Connection)> {
        std::mem::take(&mut self.silenced)
    }

    /// A policy decides on the TCP connections that are older than it.
    pub fn judge_open(
        &mut self,
        verdict: &mut dyn FnMut(u64, &Connection) -> Option<Verdict>,
        out: &mut Vec<Record>,
    ) {
        for (cookie, open) in &mut self.tcp {
            let c = &mut open.connection;
            let Some(verdict) = verdict(*cookie, c) else {
                continue;
            };
            if verdict.stopped() && c.outcome == Outcome::InProgress {
                c.outcome = Outcome::Denied;
                c.errno = Some(Errno::ECONNABORTED as i32);
            }
            c.verdict = Some(verdict);
            out.push(Record::Decided(c.clone()));
        }
    }

    /// A TCP connection goes on that was to be reset.
    pub fn not_reset(&mut self, cookie: u64, out: &mut Vec<Record>) {
        let Some(open) = self.tcp.get_mut(&cookie) else {
            return;
        };
        let c = &mut open.connection;
        let Some(verdict) = c.verdict.as_mut().filter(|verdict| verdict.enforced) else {
            return;
        };
        verdict.enforced = false;
        if c.outcome == Outcome::Denied && c.errno == Some(Errno::ECONNABORTED as i32) {
            c.outcome = Outcome::InProgress;
            c.errno = None;
        }
        out.push(Record::Decided(c.clone()));
    }

    /// A process uses the connection, of which none was known.
    pub fn owned(&mut self, cookie: u64, process: Rc<Process>, tid: u32, out: &mut Vec<Record>) {
        let open = self.tcp.get_mut(&cookie);
        if let Some(open) = open.filter(|open| open.connection.process.pid == 0) {
            let c = &mut open.connection;
            c.shared_pid = c.shared_pid.filter(|pid| *pid != process.pid);
            (c.process, c.tid) = (process, tid);
            out.push(Record::Outcome(c.clone()));
        }
    }

    /// The connection has a source route.
    pub fn routed(&mut self, cookie: u64, hop: IpAddr, out: &mut Vec<Record>) {
        if let Some(open) = self.tcp.get_mut(&cookie) {
            open.connection.first_hop = Some(hop);
            out.push(Record::Outcome(open.connection.clone()));
        }
    }

    /// An open TCP connection or attempt.
    pub fn tcp(&self, cookie: u64) -> Option<&Connection> {
        self.tcp.peek(&cookie).map(|open| &open.connection)
    }

    /// A flow that has not ended.
    pub fn flow_of(&self, key: &FlowKey) -> Option<&Connection> {
        self.flows.peek(key).map(|open| &open.connection)
    }

    /// A TCP connection has sent names; `with_peer` if they are of its peer, with no proxy between.
    pub fn named(&mut self, cookie: u64, names: WireNames, with_peer: bool, out: &mut Vec<Record>) {
        if let Some(open) = self.tcp.get_mut(&cookie) {
            open.sent_names(names, with_peer, out);
        }
    }

    /// And a flow of QUIC.
    pub fn flow_named(&mut self, key: &FlowKey, names: WireNames, out: &mut Vec<Record>) {
        if let Some(open) = self.flows.get_mut(key) {
            open.sent_names(names, true, out);
        }
    }

    /// Whether files that may name connections are still to be read.
    pub fn has_deferred_names(&self) -> bool {
        !self.deferred_names.is_empty()
    }

    /// Names those whose files have been read late.
    pub fn poll_names(&mut self, hosts: &mut HostsFiles, out: &mut Vec<Record>) {
        for settled in self.deferred_names.settled(hosts) {
            let key = settled.key;
            let open = match key.protocol {
                Protocol::Tcp => match self.tcp.contains_key(&key.cookie) {
                    true => self.tcp.get_mut(&key.cookie),
                    false => self.returning.get_mut(&key.cookie),
                },
                _ => self.flows.get_mut(&key),
            };
            let open = open.map(|open| &mut open.connection);
            match open.filter(|c| c.number == settled.number) {
                Some(c) => {
                    name_by_file(c, settled.name);
                    out.push(Record::Named(c.clone()));
                }
                None => {
                    if let Some(mut c) = settled.ended {
                        name_by_file(&mut c, settled.name);
                        out.push(Record::NamedAfterEnd(c));
                    }
                }
            }
        }
    }

    pub fn established(&mut self, state: &State, ns: u64, out: &mut Vec<Record>) {
        let Some(open) = self.tcp.get_mut(&state.cookie) else {
            return;
        };
        if open.established {
            return;
        }
        open.established = true;
        let c = &mut open.connection;
        c.outcome = Outcome::Connected;
        c.src = state.src.or(c.src);
        c.latency_us = Some(micros(open.ns, ns));
        out.push(Record::Outcome(c.clone()));
    }

    /// The socket changed to CLOSE, which ends a connection or an attempt.
    pub fn closed(&mut self, state: &State, ns: u64, out: &mut Vec<Record>) {
        let Some(open) = self.tcp.get_mut(&state.cookie) else {
            return;
        };
        let c = &mut open.connection;
        c.src = c.src.or(state.src);
        c.duration_us = Some(micros(open.ns, ns));
        c.shared_pid = state.shared_pid;
        if let Some(bytes) = state.bytes {
            count_tcp(c, open.before, sent(open.silenced, bytes));
        }
        if open.established || state.was_open {
            // Even if the event of its establishment was lost.
            c.outcome = Outcome::Connected;
            c.errno = (state.err != 0).then_some(state.err);
            if state.err == Errno::ECONNRESET as i32 {
                c.outcome = Outcome::Reset;
            }
            self.deferred_names.ended(c);
            out.push(Record::Closed(c.clone()));
            self.tcp.remove(&state.cookie);
            return;
        }
        // whose SYNs the policy kept back: the socket only knows that none was answered
        if !c.verdict.as_ref().is_some_and(Verdict::stopped) {
            c.outcome = Outcome::of_errno(state.err);
            c.errno = (state.err != 0).then_some(state.err);
        }
        self.deferred_names.ended(c);
        out.push(Record::Outcome(c.clone()));
        // EADDRNOTAVAIL and a cancelled attempt both end without an error here, but for the
        // former connect returns one.
        if let Some(open) = self.tcp.remove(&state.cookie)
            && state.err == 0
        {
            self.returning.insert(state.cookie, open);
        }
    }

    /// connect failed with this errno.
    pub fn failed(&mut self, cookie: u64, errno: i32, ns: u64, out: &mut Vec<Record>) {
        let undecided = self.tcp.get(&cookie).is_some_and(|open| !open.established);
        let open = match undecided {
            true => self.tcp.remove(&cookie),
            false => self.returning.remove(&cookie),
        };
        let Some(mut open) = open else {
            return;
        };
        let c = &mut open.connection;
        c.outcome = Outcome::of_errno(errno);
        c.errno = Some(errno);
        c.duration_us = c.duration_us.or(Some(micros(open.ns, ns)));
        self.deferred_names.ended(c);
        out.push(Record::Outcome(open.connection));
    }

    /// The socket was closed or connects again: an attempt without an outcome has failed.
    pub fn released(
        &mut self,
        cookie: u64,
        shared_pid: Option<u32>,
        ns: u64,
        out: &mut Vec<Record>,
    ) {
        let Some(mut open) = self.tcp.remove(&cookie) else {
            return;
        };
        if open.connection.outcome == Outcome::InProgress {
            open.connection.outcome = Outcome::Failed;
            open.connection.duration_us = Some(micros(open.ns, ns));
            open.connection.shared_pid = shared_pid;
            self.deferred_names.ended(&open.connection);
            out.push(Record::Outcome(open.connection));
        }
    }

    pub fn flow_ended(&mut self, end: &FlowEnd, out: &mut Vec<Record>) {
        if let Some(mut open) = self.flows.remove(&end.key) {
            open.count(end.bytes);
            let c = &mut open.connection;
            c.shared_pid = end.shared_pid.or(c.shared_pid);
            if c.outcome == Outcome::InProgress {
                // with packets from the peer, the event of its answer was lost
                c.outcome = match c.rx_packets {
                    None | Some(0) => Outcome::Failed,
                    Some(_) => Outcome::Connected,
                };
            }
            self.deferred_names.ended(c);
            out.push(Record::Closed(open.connection));
        }
    }

    pub fn has_flow(&self, key: &FlowKey) -> bool {
        self.flows.contains_key(key)
    }

    pub fn has_tcp(&self, cookie: u64) -> bool {
        self.tcp.contains_key(&cookie)
    }

    /// Counters of an open flow, read at `now`.
    pub fn flow_progress(&mut self, read: &FlowEnd, now: Moment, out: &mut Vec<Record>) {
        let Some(open) = self.flows.get_mut(&read.key) else {
            return;
        };
        let shared_pid = read.shared_pid.or(open.connection.shared_pid);
        let shared = open.connection.shared_pid != shared_pid;
        open.connection.shared_pid = shared_pid;
        let changed = open.count(read.bytes) || shared;
        out.extend(open.progress(changed, now));
    }

    /// Counters of an open TCP connection, read at `now`.
    pub fn tcp_progress(&mut self, counters: TcpCounters, now: Moment, out: &mut Vec<Record>) {
        if let Some(open) = self.tcp.get_mut(&counters.cookie) {
            let (c, bytes) = (&mut open.connection, (counters.tx, counters.rx));
            if open.established {
                let changed = count_tcp(c, open.before, sent(open.silenced, bytes));
                out.extend(open.progress(changed, now));
            }
        }
    }

    pub fn any_open(&self) -> bool {
        self.tcp
            .iter()
            .any(|(_, o)| o.established || o.connection.outcome == Outcome::InProgress)
            || !self.flows.is_empty()
    }

    fn open(
        &mut self,
        connect: &Connect,
        start: ConnectionStart,
        outcome: Outcome,
    ) -> OpenConnection {
        self.last_number += 1;
        if let Some(deferral) = start.deferral {
            let (number, key) = (self.last_number, connect.flow_key());
            self.deferred_names.add(number, key, start.ns, deferral);
        }
        OpenConnection {
            connection: Connection {
                number: self.last_number,
                ts: start.ts,
                process: start.process,
                tid: connect.owner.tid,
                protocol: connect.protocol,
                src: connect.src,
                dst: connect.dst,
                name: start.name,
                outcome,
                errno: None,
                latency_us: None,
                tx_bytes: None,
                rx_bytes: None,
                tx_packets: None,
                rx_packets: None,
                duration_us: None,
                already_open: false,
                raw: connect.raw,
                shared_pid: connect.shared_pid,
                inbound: connect.inbound,
                first_hop: connect.first_hop,
                total_bytes: None,
                wire: None,
                geo: start.geo,
                verdict: None,
            },
            ns: start.ns,
            established: false,
            before: None,
            lines: 0,
            grown: false,
            answered: false,
            silenced: false,
        }
    }
}

impl OpenConnection {
    /// Its counters were read at `now`. What grew when no line was due is reported by the next one, even
    /// if nothing has grown since.
    fn progress(&mut self, changed: bool, now: Moment) -> Option<Record> {
        self.grown |= changed;
        let lines = lines_due(now.ns.saturating_sub(self.ns) / 1_000_000_000);
        let due = self.grown && lines > self.lines;
        if due {
            (self.lines, self.grown) = (lines, false);
        }
        (changed || due).then(|| {
            Record::Progress(Progress {
                connection: self.connection.clone(),
                ts: now.ts,
                due,
            })
        })
    }

    /// Takes over a flow's counters; returns whether they have changed.
    fn count(&mut self, bytes: FlowBytes) -> bool {
        let c = &mut self.connection;
        // a packet socket receives the packets of all sockets
        let back = c.protocol != Protocol::Packet;
        let new_bytes = (Some(bytes.tx), back.then_some(bytes.rx));
        // packets may be empty
        let new_packets = (Some(bytes.tx_packets), back.then_some(bytes.rx_packets));
        if (c.tx_bytes, c.rx_bytes) == new_bytes && (c.tx_packets, c.rx_packets) == new_packets {
            return false;
        }
        (c.tx_bytes, c.rx_bytes) = new_bytes;
        (c.tx_packets, c.rx_packets) = new_packets;
        let stopped = c.verdict.as_ref().is_some_and(Verdict::stopped);
        if c.outcome == Outcome::Denied && bytes.tx_packets > 0 && !stopped {
            c.outcome = Outcome::Sent; // a later packet passed
            c.errno = None;
        }
        c.duration_us = Some(micros(self.ns, bytes.last_ns));
        true
    }

    fn sent_names(&mut self, names: WireNames, with_peer: bool, out: &mut Vec<Record>) {
        let c = &mut self.connection;
        let first = c.wire.as_deref().cloned().unwrap_or_default();
        let names = first.and(names);
        if names == first {
            return; // sent again
        }
        if with_peer
            && names.proxied.is_none()
            && let Some(sni) = names.sni.as_ref().filter(|sni| sni.is_host)
            && let Some(name) = with_sni(c.name.as_ref(), &sni.text)
        {
            c.name = Some(name);
        }
        c.wire = Some(Rc::new(names));
        out.push(Record::Named(c.clone()));
    }
}

/// The name that a file gives, beside what the connection has sent itself.
fn name_by_file(c: &mut Connection, name: Name) {
    let sent = c.name.as_ref().filter(|n| n.source == Source::Sni);
    let named = sent.and_then(|sent| with_sni(Some(&name), &sent.host));
    c.name = Some(named.unwrap_or(name));
}

/// Takes over the kernel's counters of a TCP connection: what was transferred before the
/// recording counts in its totals only. Returns whether the bytes have changed.
fn count_tcp(c: &mut Connection, before: Option<(u64, u64)>, bytes: (u64, u64)) -> bool {
    if c.already_open {
        c.total_bytes = Some(bytes);
        let Some((tx, rx)) = before else {
            return false; // not known: MPTCP before 6.5
        };
        return set_bytes(c, bytes.0.saturating_sub(tx), bytes.1.saturating_sub(rx));
    }
    set_bytes(c, bytes.0, bytes.1)
}

/// What a silenced connection's socket counts as sent was dropped.
fn sent(silenced: bool, (tx, rx): (u64, u64)) -> (u64, u64) {
    (if silenced { 0 } else { tx }, rx)
}

fn set_bytes(c: &mut Connection, tx: u64, rx: u64) -> bool {
    let new = (Some(tx), Some(rx));
    let changed = (c.tx_bytes, c.rx_bytes) != new;
    (c.tx_bytes, c.rx_bytes) = new;
    changed
}

/// Progress lines of a connection of this age in seconds: after 2, 4, 8 seconds and so on, and
/// then one a minute.
fn lines_due(seconds: u64) -> u64 {
    const MINUTE: u64 = 64;
    match seconds {
        0 => 0,
        1..MINUTE => u64::from(seconds.ilog2()),
        _ => u64::from(MINUTE.ilog2()) + (seconds - MINUTE) / 60,
    }
}

fn micros(from_ns: u64, to_ns: u64) -> i64 {
    (to_ns.saturating_sub(from_ns) / 1000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::naming::owner_in_a_namespace as owner;
    use crate::file_reader::FileReader;
    use crate::model::{Endpoint, WireName, builders};

    #[test]
    fn progress_lines_double_their_interval_up_to_a_minute() {
        let lines: Vec<u64> = (1..=200)
            .filter(|s| lines_due(*s) > lines_due(s - 1))
            .collect();
        assert_eq!(lines, [2, 4, 8, 16, 32, 64, 124, 184]);
    }

    fn open_connection() -> OpenConnection {
        OpenConnection {
            connection: builders::connection("curl"),
            ns: 0,
            established: true,
            before: None,
            lines: 0,
            grown: false,
            answered: false,
            silenced: false,
        }
    }

    #[test]
    fn empty_packets_are_counted_after_a_reading() {
        let mut open = open_connection();
        open.connection.protocol = Protocol::Udp;
        for packets in [2, 7] {
            let read = FlowBytes {
                tx: 0,
                rx: 0,
                tx_packets: packets,
                rx_packets: packets,
                last_ns: packets,
            };
            assert!(open.count(read), "{packets}");
            assert_eq!(open.connection.tx_packets, Some(packets));
            assert!(!open.count(read));
        }
    }

    #[test]
    fn growth_is_reported_by_the_next_line_that_is_due() {
        let mut open = open_connection();
        // a reading each 2 s, with what it leads to: a record, and whether a line is due
        let mut read = |ms: u64, changed| {
            let now = Moment {
                ns: ms * 1_000_000,
                ts: 0,
            };
            match open.progress(changed, now) {
                Some(Record::Progress(p)) => Some(p.due),
                _ => None,
            }
        };
        assert_eq!(read(1_900, true), Some(false));
        assert_eq!(read(3_900, false), Some(true));
        assert_eq!(read(5_900, false), None);
        assert_eq!(read(7_900, true), Some(true));
        assert_eq!(read(7_950, true), Some(false));
        assert_eq!(read(99_000, false), Some(true));
        assert_eq!(read(300_000, false), None);
        assert_eq!(read(302_000, true), Some(true));
    }

    #[test]
    fn hosts_file_that_is_read_late_replaces_another_processes_name() {
        let mut hosts = HostsFiles::new(Some(FileReader::hanging()));
        let owner = owner(1000);
        let mut connections = Connections::new();
        let mut out = Vec::new();
        let name = |host: &str, source| Name {
            host: host.into(),
            source,
            age_ms: None,
            lookup: None,
            rivals: 0,
            rival_names: Vec::new(),
        };
        for cookie in 1..=3 {
            let connect = Connect {
                owner: owner.clone(),
                cookie,
                protocol: Protocol::Tcp,
                src: None,
                dst: Endpoint {
                    ip: [192, 0, 2, cookie as u8].into(),
                    port: 443,
                },
                raw: false,
                shared_pid: None,
                inbound: false,
                denied: false,
                first_hop: None,
                route: 0,
            };
            let start = ConnectionStart {
                ns: 1,
                ts: 1,
                process: Rc::new(builders::process("curl")),
                name: Some(name("wide.test", Source::Netns)),
                geo: None,
                deferral: Some(Deferral {
                    owner: owner.clone(),
                    account: 1000,
                }),
            };
            connections.attempt(&connect, start, &mut out);
        }
        let closed = State {
            cookie: 2,
            src: None,
            err: 0,
            bytes: None,
            was_open: true,
            shared_pid: None,
        };
        connections.closed(&closed, 2, &mut out);
        let sni = WireNames {
            sni: Some(WireName::new(b"sni.test")),
            ..WireNames::default()
        };
        connections.named(3, sni, true, &mut out);
        std::thread::sleep(std::time::Duration::from_millis(25));
        connections.poll_names(&mut hosts, &mut out);
        let hosts_of = |records: &[Record]| -> Vec<(u64, bool, Option<Rc<str>>)> {
            let shown = records.iter().filter_map(|record| match record {
                Record::NamedAfterEnd(c) => Some((c, true)),
                Record::Opened(c) | Record::Named(c) | Record::Closed(c) => Some((c, false)),
                _ => None,
            });
            let host = |c: &Connection| c.name.as_ref().map(|n| Rc::clone(&n.host));
            shown.map(|(c, late)| (c.number, late, host(c))).collect()
        };
        let wide = |number| (number, false, Some("wide.test".into()));
        let sent = (3, false, Some("sni.test".into()));
        assert_eq!(
            hosts_of(&out),
            [wide(1), wide(2), wide(3), wide(2), sent.clone()]
        );
        out.clear();
        hosts.read(&owner, "192.0.2.2 file.test\n192.0.2.3 file3.test");
        std::thread::sleep(std::time::Duration::from_millis(25));
        connections.poll_names(&mut hosts, &mut out);
        let named = [(2, true, Some("file.test".into())), sent];
        assert_eq!(hosts_of(&out), named);
        let Some(Record::Named(c)) = out.last() else {
            panic!()
        };
        let rivals = &c.name.as_ref().unwrap().rival_names;
        assert_eq!(&*rivals[0].host, "file3.test");
        assert!(!connections.has_deferred_names());
    }
}
