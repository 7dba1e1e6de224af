//! Queries that wait for their answers. An answer counts only if it matches a query that left
//! the same socket: transaction id, question and server. All others are unsolicited and name
//! nothing. Queries to a multicast group are answered from other addresses: see [`matches`].

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::message::{DnsQuestion, Message, ParsedRecord};
use crate::attribute::naming::{ProcessKey, Requester};
use crate::attribute::shares::Shares;
use crate::model::{Endpoint, Process, Transport};

/// One question of a query that left a socket.
#[derive(Debug, Clone)]
pub struct PendingQuery {
    /// Number of the lookup.
    pub lookup: u64,
    /// The transaction id.
    pub id: u16,
    pub server: Endpoint,
    pub transport: Transport,
    pub question: DnsQuestion,
    /// Nanoseconds since boot.
    pub ns: u64,
    /// The same of its last retransmission.
    pub last_ns: u64,
    pub process: Rc<Process>,
    pub requester: Rc<Requester>,
    /// Whether the lookup is recorded: it counts for naming in any case.
    pub recorded: bool,
}

/// A resolver retries after 5 seconds (resolv.conf(5)). A query without an answer for twice as
/// long after its last try is unanswered, and an answer after that unsolicited.
const TIMEOUT_NS: u64 = 10_000_000_000;
/// However often it is tried again.
const MAX_TRIES_NS: u64 = 6 * TIMEOUT_NS;
/// How long an unanswered lookup keeps others' lookups from naming what its process connects to.
const DOUBT_NS: u64 = 60_000_000_000;
/// Processes with an unanswered lookup that are remembered.
const MAX_UNANSWERED: usize = 4096;
/// Pending queries. Beyond that, the user with the most of them gives up the oldest.
const MAX_PENDING: usize = 65_536;
/// Pending queries of one socket: each message is compared with all of them. A resolver with
/// thousands of queries has thousands of sockets (RFC 5452 section 9.2).
const MAX_PER_SOCKET: usize = 4096;

pub struct PendingQueries {
    /// By socket cookie, each with its sequence number.
    by_socket: HashMap<u64, Vec<(u64, PendingQuery)>>,
    /// Sequence number and cookie, the oldest first, by who is accountable for the query.
    order: HashMap<u32, VecDeque<(u64, u64)>>,
    next: u64,
    /// The oldest of sockets that had too many, for [`PendingQueries::expired`].
    given_up: Vec<PendingQuery>,
    /// Pending queries for addresses of each process.
    awaited: HashMap<ProcessKey, usize>,
    /// When a process sent its last query for addresses that has remained without an answer.
    unanswered: Shares<ProcessKey, u64>,
}

impl Default for PendingQueries {
    fn default() -> PendingQueries {
        PendingQueries {
            by_socket: HashMap::new(),
            order: HashMap::new(),
            next: 0,
            given_up: Vec::new(),
            awaited: HashMap::new(),
            unanswered: Shares::new(MAX_UNANSWERED),
        }
    }
}

impl PendingQueries {
    /// Adds a query; false for a retransmission of one that is pending.
    pub fn add(&mut self, cookie: u64, query: PendingQuery) -> bool {
        let pending = self.by_socket.entry(cookie).or_default();
        let same = |p: &PendingQuery| {
            p.id == query.id && p.server == query.server && p.question == query.question
        };
        if let Some((number, again)) = pending.iter_mut().find(|(_, p)| same(p)) {
            again.last_ns = query.ns;
            // Behind the others, or it would keep them from being over. Its old place is stale.
            *number = self.next;
            let order = self.order.entry(again.requester.account).or_default();
            order.push_back((self.next, cookie));
            self.next += 1;
            return false;
        }
        if pending.len() == MAX_PER_SOCKET {
            // Half at once, as removing the first moves all the others.
            let oldest = pending.drain(..MAX_PER_SOCKET / 2);
            let oldest: Vec<PendingQuery> = oldest.map(|(_, query)| query).collect();
            for query in &oldest {
                self.gone(query, false);
            }
            self.given_up.extend(oldest);
        }
        if asks_for_addresses(&query) {
            *self.awaited.entry(query.requester.process).or_default() += 1;
        }
        let pending = self.by_socket.entry(cookie).or_default();
        let order = self.order.entry(query.requester.account).or_default();
        order.push_back((self.next, cookie));
        pending.push((self.next, query));
        self.next += 1;
        true
    }

    /// Takes the queries that a message from `server` answers: one, or several in multicast DNS.
    pub fn answered(
        &mut self,
        cookie: u64,
        server: Endpoint,
        message: &Message,
    ) -> Vec<PendingQuery> {
        let mut done = false;
        self.take(cookie, true, |query| {
            let found = !done && matches(message, server, query);
            done |= found && !is_mdns(query.server);
            found
        })
    }

    /// Whether a process has looked up addresses without an answer that was seen: it may have got
    /// one since, and what it connects to may be what it asked for.
    pub fn lacks_answer(&mut self, process: ProcessKey, now_ns: u64) -> bool {
        let since = self.unanswered.get_mut(&process);
        self.awaited.contains_key(&process)
            || since.is_some_and(|since| now_ns.saturating_sub(*since) < DOUBT_NS)
    }

    /// Takes the queries of a socket that was closed. A UDP socket's flows end one by one:
    /// then only those to that server.
    pub fn abandoned(&mut self, cookie: u64, server: Option<Endpoint>) -> Vec<PendingQuery> {
        self.take(cookie, false, |query| {
            server.is_none_or(|s| s == query.server)
        })
    }

    fn take(
        &mut self,
        cookie: u64,
        answered: bool,
        mut which: impl FnMut(&PendingQuery) -> bool,
    ) -> Vec<PendingQuery> {
        let Some(pending) = self.by_socket.get_mut(&cookie) else {
            return Vec::new();
        };
        let taken = pending.extract_if(.., |(_, query)| which(query));
        let taken: Vec<PendingQuery> = taken.map(|(_, query)| query).collect();
        if pending.is_empty() {
            self.by_socket.remove(&cookie);
        }
        for query in &taken {
            self.gone(query, answered);
        }
        taken
    }

    /// A query is pending no more.
    fn gone(&mut self, query: &PendingQuery, answered: bool) {
        if !asks_for_addresses(query) {
            return;
        }
        let process = query.requester.process;
        if let Some(queries) = self.awaited.get_mut(&process) {
            *queries -= 1;
            if *queries == 0 {
                self.awaited.remove(&process);
            }
        }
        let account = query.requester.account;
        match answered {
            true => _ = self.unanswered.remove(&process),
            false => _ = self.unanswered.insert(account, process, query.last_ns),
        }
    }

    /// Takes the queries that have timed out at `now_ns`, and the oldest where there are too
    /// many.
    pub fn expired(&mut self, now_ns: u64) -> Vec<PendingQuery> {
        let mut gone = std::mem::take(&mut self.given_up);
        for account in self.order.keys().copied().collect::<Vec<_>>() {
            while let Some((number, cookie)) = self.oldest(account)
                && self.is_over(number, cookie, now_ns)
            {
                gone.extend(self.remove_oldest(account));
            }
        }
        while self.order.values().map(VecDeque::len).sum::<usize>() > MAX_PENDING
            && let Some((account, _)) = self.order.iter().max_by_key(|(_, order)| order.len())
        {
            gone.extend(self.remove_oldest(*account));
        }
        gone
    }

    fn oldest(&self, account: u32) -> Option<(u64, u64)> {
        self.order.get(&account)?.front().copied()
    }

    /// Whether a query was answered or has timed out.
    fn is_over(&self, number: u64, cookie: u64, now_ns: u64) -> bool {
        let pending = self.by_socket.get(&cookie);
        let query = pending.and_then(|p| p.iter().find(|(n, _)| *n == number));
        query.is_none_or(|(_, query)| {
            now_ns.saturating_sub(query.last_ns) >= TIMEOUT_NS
                || now_ns.saturating_sub(query.ns) >= MAX_TRIES_NS
        })
    }

    fn remove_oldest(&mut self, account: u32) -> Option<PendingQuery> {
        let order = self.order.get_mut(&account)?;
        let oldest = order.pop_front();
        if order.is_empty() {
            self.order.remove(&account);
        }
        let (number, cookie) = oldest?;
        self.remove(cookie, number)
    }

    /// Takes all, at the end of the recording.
    pub fn drain(&mut self) -> Vec<PendingQuery> {
        self.expired(u64::MAX)
    }

    fn remove(&mut self, cookie: u64, number: u64) -> Option<PendingQuery> {
        let pending = self.by_socket.get_mut(&cookie)?;
        let at = pending.iter().position(|(n, _)| *n == number)?;
        let (_, query) = pending.remove(at);
        if pending.is_empty() {
            self.by_socket.remove(&cookie);
        }
        self.gone(&query, false);
        Some(query)
    }
}

/// Of any host, by a server that is expected to know: queries to a group are often unanswered.
fn asks_for_addresses(query: &PendingQuery) -> bool {
    matches!(&*query.question.qtype, "A" | "AAAA") && !query.server.ip.is_multicast()
}

/// Whether a message answers a query. By the port that the query was sent to:
///
/// - DNS: from that server, with the query's transaction id and question (RFC 5452 section
///   9.1).
/// - LLMNR: the same, but from any host, as queries go to a group (RFC 4795 section 2.3).
/// - Multicast DNS: any message with a record for the question. It has neither question nor id
///   (RFC 6762 sections 6 and 18.1).
fn matches(message: &Message, server: Endpoint, query: &PendingQuery) -> bool {
    if is_mdns(query.server) {
        let question = &query.question;
        let answers = |r: &ParsedRecord| {
            let any_type = question.qtype == "ANY" || r.rtype == "CNAME";
            *r.name == *question.name && (any_type || r.rtype == question.qtype)
        };
        return server.port == MDNS && message.answers.iter().any(answers);
    }
    let from_llmnr_group = query.server.ip.is_multicast() && query.server.port == LLMNR;
    let from = query.server == server || from_llmnr_group && server.port == LLMNR;
    from && query.id == message.id
        && message.opcode_is_query
        && match message.question() {
            Some(question) => *question == query.question,
            // Servers may omit it when they refuse.
            None => message.rcode != "NOERROR",
        }
}

/// RFC 6762 section 3.
const MDNS: u16 = 5353;
/// RFC 4795 section 2.1.
const LLMNR: u16 = 5355;

fn is_mdns(server: Endpoint) -> bool {
    server.port == MDNS && server.ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builders::process;

    const S: u64 = 1_000_000_000;

    fn server(last: u8) -> Endpoint {
        Endpoint {
            ip: [192, 0, 2, last].into(),
            port: 53,
        }
    }

    fn question(name: &str) -> DnsQuestion {
        DnsQuestion {
            name: name.into(),
            qtype: "A".into(),
            class: 1,
        }
    }

    fn query(id: u16, name: &str, ns: u64) -> PendingQuery {
        let requester = Requester {
            process: (1, 1),
            tid: 1,
            group: None,
            contained: false,
            on_host: true,
            netns: 1,
            uid: 0,
            account: 0,
        };
        PendingQuery {
            lookup: 1,
            id,
            server: server(1),
            transport: Transport::Udp,
            question: question(name),
            ns,
            last_ns: ns,
            process: Rc::new(process("x")),
            requester: Rc::new(requester),
            recorded: true,
        }
    }

    fn message(id: u16, question: Option<DnsQuestion>, rcode: &str) -> Message {
        Message {
            id,
            response: true,
            rcode: rcode.into(),
            questions: question.into_iter().collect(),
            opcode_is_query: true,
            answers: Vec::new(),
            left_out: 0,
        }
    }

    #[test]
    fn answer_counts_only_with_the_querys_socket_server_id_and_question() {
        let mut l = PendingQueries::default();
        assert!(l.add(1, query(7, "a.example", 0)));
        let q = || Some(question("a.example"));
        assert!(
            l.answered(2, server(1), &message(7, q(), "NOERROR"))
                .is_empty(),
            "socket"
        );
        assert!(
            l.answered(1, server(2), &message(7, q(), "NOERROR"))
                .is_empty(),
            "server"
        );
        assert!(
            l.answered(1, server(1), &message(8, q(), "NOERROR"))
                .is_empty(),
            "id"
        );
        let other = Some(question("b.example"));
        assert!(
            l.answered(1, server(1), &message(7, other, "NOERROR"))
                .is_empty(),
            "question"
        );
        assert!(
            l.answered(1, server(1), &message(7, None, "NOERROR"))
                .is_empty(),
            "none"
        );
        assert!(l.answered(1, server(1), &message(7, q(), "NOERROR")).len() == 1);
        assert!(
            l.answered(1, server(1), &message(7, q(), "NOERROR"))
                .is_empty(),
            "twice"
        );
    }

    #[test]
    fn refusal_may_omit_the_question() {
        let mut l = PendingQueries::default();
        l.add(1, query(7, "a.example", 0));
        assert!(l.answered(1, server(1), &message(7, None, "FORMERR")).len() == 1);
    }

    #[test]
    fn retransmitted_query_is_pending_once() {
        let mut l = PendingQueries::default();
        assert!(l.add(1, query(7, "a.example", 0)));
        assert!(!l.add(1, query(7, "a.example", 5 * S)));
        // a slow machine's resolver may wait longer for the answer to this one
        assert!(l.expired(14 * S).is_empty());
        assert_eq!(l.expired(15 * S).len(), 1);
        // one that is tried again and again keeps no other from being over, nor itself for ever
        assert!(l.add(1, query(7, "a.example", 100 * S)));
        assert!(l.add(2, query(8, "b.example", 101 * S)));
        assert!(!l.add(1, query(7, "a.example", 109 * S)));
        assert_eq!(l.expired(111 * S).len(), 1);
        assert!(l.expired(112 * S).is_empty());
        for again in 1..6 {
            assert!(!l.add(1, query(7, "a.example", (109 + again * 9) * S)));
        }
        assert_eq!(l.expired(160 * S).len(), 1);
    }

    #[test]
    fn process_lacks_an_answer_until_it_gets_one_or_a_minute_has_passed() {
        let asker = (1, 1);
        let mut l = PendingQueries::default();
        assert!(!l.lacks_answer(asker, 0));
        l.add(1, query(7, "a.example", 0));
        assert!(l.lacks_answer(asker, S) && !l.lacks_answer((2, 1), S));
        l.abandoned(1, None);
        assert!(l.lacks_answer(asker, 59 * S) && !l.lacks_answer(asker, 60 * S));
        l.add(2, query(8, "a.example", 2 * S));
        let q = Some(question("a.example"));
        assert_eq!(l.answered(2, server(1), &message(8, q, "NOERROR")).len(), 1);
        assert!(!l.lacks_answer(asker, 3 * S));
        assert!(l.awaited.is_empty());
    }

    #[test]
    fn unanswered_queries_expire_in_order_and_once() {
        let mut l = PendingQueries::default();
        for i in 0..5u64 {
            l.add(i, query(7, "a.example", i * S));
        }
        assert!(
            l.answered(
                1,
                server(1),
                &message(7, Some(question("a.example")), "NOERROR")
            )
            .len()
                == 1
        );
        let ids: Vec<u64> = l.expired(12 * S).iter().map(|a| a.ns / S).collect();
        assert_eq!(ids, [0, 2]);
        assert_eq!(l.abandoned(3, Some(server(1))).len(), 1);
        assert_eq!(l.drain().len(), 1);
        assert!(l.by_socket.is_empty() && l.order.is_empty());
    }

    #[test]
    fn socket_with_too_many_queries_gives_up_the_oldest_and_loses_none() {
        let mut l = PendingQueries::default();
        for i in 0..2 * MAX_PER_SOCKET {
            l.add(1, query(i as u16, "a.example", S));
            assert!(l.by_socket[&1].len() <= MAX_PER_SOCKET);
        }
        assert_eq!(l.drain().len(), 2 * MAX_PER_SOCKET);
        assert!(l.by_socket.is_empty() && l.order.is_empty());
    }

    #[test]
    fn queries_of_one_user_give_up_none_of_another() {
        let mut l = PendingQueries::default();
        let of = |account, cookie| {
            let query = query(7, "a.example", S);
            let requester = Requester {
                account,
                ..(*query.requester).clone()
            };
            (
                cookie,
                PendingQuery {
                    requester: requester.into(),
                    ..query
                },
            )
        };
        let (cookie, victim) = of(1001, u64::MAX);
        l.add(cookie, victim);
        for i in 0..2 * MAX_PENDING as u64 {
            let (cookie, query) = of(1000, i);
            l.add(cookie, query);
            if i % 1000 == 0 {
                l.expired(S);
            }
        }
        l.expired(S);
        let good = message(7, Some(question("a.example")), "NOERROR");
        assert_eq!(l.answered(u64::MAX, server(1), &good).len(), 1);
    }

    #[test]
    fn pending_queries_are_bounded() {
        let mut l = PendingQueries::default();
        let mut gone = 0;
        for i in 0..(MAX_PENDING as u64 + 100) {
            l.add(i, query(7, "a.example", S));
            gone += l.expired(S).len();
        }
        assert_eq!(gone, 100);
    }
}
