//! DNS events: from captured messages to lookups, and what they teach about names.

use std::rc::Rc;

use super::Attributor;
use super::dns::{self, MAX_UNSOLICITED_RECORDS, Message, ParsedRecord, PendingQuery};
use super::naming::AcceptedAnswer;
use crate::capture::event::Dns;
use crate::model::{Lookup, LookupStatus, Record, ResourceRecord, Transport};

/// A captured message.
struct DnsPacket<'a> {
    dns: &'a Dns,
    transport: Transport,
    /// The whole message.
    bytes: &'a [u8],
    /// Nanoseconds since boot.
    ns: u64,
}

impl Attributor {
    pub(super) fn dns(&mut self, dns: &Dns, ns: u64, out: &mut Vec<Record>) {
        let Some(segment) = dns.segment else {
            for bytes in dns.messages() {
                let packet = DnsPacket {
                    dns,
                    transport: Transport::Udp,
                    bytes,
                    ns,
                };
                self.message(&packet, out);
            }
            return;
        };
        let account = self.accounts.of_process(&dns.owner);
        let complete =
            self.streams
                .segment(account, dns.cookie, dns.ingress, segment, &dns.payload);
        for bytes in &complete {
            let packet = DnsPacket {
                dns,
                transport: Transport::Tcp,
                bytes,
                ns,
            };
            if !self.message(&packet, out) {
                // No message starts here, or this is not DNS.
                self.streams.give_up(dns.cookie, dns.ingress);
                return;
            }
        }
    }

    /// Handles one message; false where it does not parse.
    fn message(&mut self, packet: &DnsPacket<'_>, out: &mut Vec<Record>) -> bool {
        let Ok(message) = dns::parse(packet.bytes) else {
            self.unsolicited(packet, None, LookupStatus::Malformed, out);
            return false;
        };
        match (message.response, packet.dns.ingress) {
            (false, false) => self.query(packet, message, out),
            (true, true) => self.answer(packet, message, out),
            // of a server on a port of DNS servers, or a neighbour's multicast query
            _ => {}
        }
        true
    }

    fn query(&mut self, packet: &DnsPacket<'_>, message: Message, out: &mut Vec<Record>) {
        let actor = self.actor(&packet.dns.owner, out);
        let recorded = self.records_lookup(&actor, packet.dns.server);
        for question in message.questions {
            let query = PendingQuery {
                lookup: self.next_lookup(),
                id: message.id,
                server: packet.dns.server,
                transport: packet.transport,
                question,
                ns: packet.ns,
                last_ns: packet.ns,
                process: Rc::clone(&actor.process),
                requester: Rc::clone(&actor.requester),
                recorded,
            };
            if packet.dns.denied {
                let lookup = self.lookup(&query, LookupStatus::Unsent);
                out.extend(recorded.then_some(Record::Lookup(lookup)));
                continue;
            }
            let lookup = self.lookup(&query, LookupStatus::Unanswered);
            if self.queries.add(packet.dns.cookie, query) && recorded {
                out.push(Record::Query(lookup));
            }
        }
    }

    fn answer(&mut self, packet: &DnsPacket<'_>, message: Message, out: &mut Vec<Record>) {
        let dns = packet.dns;
        let answered = self.queries.answered(dns.cookie, dns.server, &message);
        if answered.is_empty() {
            return self.unsolicited(packet, Some(message), LookupStatus::Unsolicited, out);
        }
        for query in answered {
            if message.rcode == "NOERROR" {
                let addresses = dns::addresses(&query.question, &message.answers);
                let answer = AcceptedAnswer {
                    host: dns::host_of(&query.question).into(),
                    ns: packet.ns,
                    lookup: query.lookup,
                    requester: Rc::clone(&query.requester),
                    server: query.server,
                    trusted_resolver: self.resolvers.is_trusted(query.server, dns.owner.netns),
                };
                self.names.learn(answer, &addresses);
            }
            if query.recorded {
                let mut lookup = self.lookup(&query, LookupStatus::Answered);
                lookup.rcode = Some(message.rcode.clone());
                lookup.latency_us = Some((packet.ns.saturating_sub(query.ns) / 1000) as i64);
                let account = query.requester.account;
                let answers = message.answers.iter().map(resource_record);
                let lookup =
                    self.stored
                        .admit(lookup, answers, message.left_out, account, packet.ns);
                out.extend(lookup.map(Record::Lookup));
            }
        }
    }

    /// A message that matches no query, or does not parse.
    fn unsolicited(
        &mut self,
        packet: &DnsPacket<'_>,
        message: Option<Message>,
        status: LookupStatus,
        out: &mut Vec<Record>,
    ) {
        let actor = self.actor(&packet.dns.owner, out);
        if !self.records_lookup(&actor, packet.dns.server) {
            return;
        }
        let question = message.as_ref().and_then(Message::question);
        let answers = message.iter().flat_map(|m| m.answers.iter());
        let lookup = Lookup {
            number: self.next_lookup(),
            ts: self.wall(packet.ns),
            process: actor.process,
            server: packet.dns.server,
            transport: packet.transport,
            qname: question.map(|q| q.name.as_str().into()),
            qtype: question.map(|q| q.qtype.clone()),
            rcode: message.as_ref().map(|m| m.rcode.clone()),
            latency_us: None,
            status,
            answers: answers
                .take(MAX_UNSOLICITED_RECORDS)
                .map(resource_record)
                .collect(),
            times: 1,
        };
        let account = actor.requester.account;
        let single = self.repeats.add(lookup, account, packet.ns);
        let stored = single.and_then(|mut lookup| {
            let answers = std::mem::take(&mut lookup.answers);
            self.stored
                .admit(lookup, answers.into_iter(), 0, account, packet.ns)
        });
        out.extend(stored.map(Record::Lookup));
    }

    pub(super) fn unanswered(&mut self, queries: Vec<PendingQuery>, out: &mut Vec<Record>) {
        for query in queries.iter().filter(|query| query.recorded) {
            let lookup = self.lookup(query, LookupStatus::Unanswered);
            let account = query.requester.account;
            let stored = self
                .stored
                .admit(lookup, std::iter::empty(), 0, account, query.ns);
            out.extend(stored.map(Record::Lookup));
        }
    }

    /// A lookup as far as its query goes.
    fn lookup(&self, query: &PendingQuery, status: LookupStatus) -> Lookup {
        Lookup {
            number: query.lookup,
            ts: self.wall(query.ns),
            process: Rc::clone(&query.process),
            server: query.server,
            transport: query.transport,
            qname: Some(query.question.name.as_str().into()),
            qtype: Some(query.question.qtype.clone()),
            rcode: None,
            latency_us: None,
            status,
            answers: Vec::new(),
            times: 1,
        }
    }

    fn next_lookup(&mut self) -> u64 {
        self.last_lookup += 1;
        self.last_lookup
    }
}

fn resource_record(record: &ParsedRecord) -> ResourceRecord {
    ResourceRecord {
        name: Rc::clone(&record.name),
        rtype: record.rtype.clone(),
        data: record.data.clone(),
        ttl: record.ttl,
    }
}
