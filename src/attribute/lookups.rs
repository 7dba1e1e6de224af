//! Questions waiting for their answers. An answer counts only if it matches a
//! query that left the same socket: transaction id, question and server. Anything
//! else is unsolicited and names nothing. What was asked of a multicast group is
//! answered from another address: see [`answers`].

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::dns::{Message, Question, Record};
use super::names::Party;
use crate::model::{Endpoint, Process, Transport};

/// A question that left a socket.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Number of the lookup.
    pub lookup: u64,
    /// The transaction id.
    pub id: u16,
    pub server: Endpoint,
    pub transport: Transport,
    pub question: Question,
    /// Nanoseconds since boot.
    pub ns: u64,
    pub process: Rc<Process>,
    pub party: Rc<Party>,
    /// Whether this run records it.
    pub wanted: bool,
}

/// A resolver tries again after 5 seconds, resolv.conf(5); what is not answered
/// after two tries is told as unanswered, and a still later answer as unsolicited.
const PATIENCE_NS: u64 = 10_000_000_000;
/// Questions that wait at once; the oldest are given up first.
const MAX_WAITING: usize = 65_536;
/// Of one socket; each message is compared with all of them. A resolver's thousands
/// are on thousands of sockets (RFC 5452 section 9.2).
const MAX_OF_SOCKET: usize = 4096;

#[derive(Default)]
pub struct Lookups {
    /// By socket cookie.
    waiting: HashMap<u64, Vec<(u64, Asked)>>,
    /// In the order asked: number and cookie.
    order: VecDeque<(u64, u64)>,
    next: u64,
    /// What waited longest where one socket had too many, for [`Lookups::expired`].
    given_up: Vec<Asked>,
}

impl Lookups {
    /// A query went out. One sent again is the one that already waits; returns
    /// whether it is a new one.
    pub fn asked(&mut self, cookie: u64, asked: Asked) -> bool {
        let waiting = self.waiting.entry(cookie).or_default();
        let same = |w: &Asked| {
            w.id == asked.id && w.server == asked.server && w.question == asked.question
        };
        if waiting.iter().any(|(_, w)| same(w)) {
            return false;
        }
        if waiting.len() == MAX_OF_SOCKET {
            // Half at once: each by itself would move all the others.
            let oldest = waiting.drain(..MAX_OF_SOCKET / 2);
            self.given_up.extend(oldest.map(|(_, asked)| asked));
        }
        waiting.push((self.next, asked));
        self.order.push_back((self.next, cookie));
        self.next += 1;
        true
    }

    /// The queries that a message from `server` answers: one, or several where they
    /// were asked by multicast DNS.
    pub fn answered(&mut self, cookie: u64, server: Endpoint, message: &Message) -> Vec<Asked> {
        let mut done = false;
        self.take(cookie, |asked| {
            let fits = !done && answers(message, server, asked);
            done |= fits && !is_mdns(asked.server);
            fits
        })
    }

    /// The socket is gone, and with it whoever waited for these. A UDP socket goes
    /// with each of its servers.
    pub fn abandoned(&mut self, cookie: u64, server: Option<Endpoint>) -> Vec<Asked> {
        self.take(cookie, |asked| server.is_none_or(|s| s == asked.server))
    }

    /// Removes those of a socket that fit.
    fn take(&mut self, cookie: u64, mut fits: impl FnMut(&Asked) -> bool) -> Vec<Asked> {
        let Some(waiting) = self.waiting.get_mut(&cookie) else {
            return Vec::new();
        };
        let taken = waiting.extract_if(.., |(_, asked)| fits(asked));
        let taken = taken.map(|(_, asked)| asked).collect();
        if waiting.is_empty() {
            self.waiting.remove(&cookie);
        }
        taken
    }

    /// Those that have waited too long at `now_ns`, or are too many.
    pub fn expired(&mut self, now_ns: u64) -> Vec<Asked> {
        let mut gone = std::mem::take(&mut self.given_up);
        while let Some(&(number, cookie)) = self.order.front() {
            let found = self
                .waiting
                .get(&cookie)
                .and_then(|w| w.iter().find(|(n, _)| *n == number))
                .map(|(_, asked)| asked.ns);
            if let Some(ns) = found {
                if now_ns.saturating_sub(ns) < PATIENCE_NS && self.order.len() <= MAX_WAITING {
                    break;
                }
                gone.extend(self.remove(cookie, number));
            }
            self.order.pop_front();
        }
        gone
    }

    /// All that wait, at the recording's end.
    pub fn rest(&mut self) -> Vec<Asked> {
        self.expired(u64::MAX)
    }

    fn remove(&mut self, cookie: u64, number: u64) -> Option<Asked> {
        let waiting = self.waiting.get_mut(&cookie)?;
        let at = waiting.iter().position(|(n, _)| *n == number)?;
        let (_, asked) = waiting.remove(at);
        if waiting.is_empty() {
            self.waiting.remove(&cookie);
        }
        Some(asked)
    }
}

/// Whether a message is the answer to a question. By the port that was asked:
///
/// - DNS: from the server that was asked, with the query's transaction id and question
///   (RFC 5452 section 9.1).
/// - LLMNR: the same, but from any host, as the group was asked (RFC 4795 section 2.3).
/// - Multicast DNS: any message with a record that the question is about. It has no
///   question and no id (RFC 6762 sections 6 and 18.1).
fn answers(message: &Message, server: Endpoint, asked: &Asked) -> bool {
    if is_mdns(asked.server) {
        let about = |r: &Record| {
            r.name == asked.question.name
                && (r.rtype == asked.question.qtype
                    || matches!(asked.question.qtype.as_str(), "ANY")
                    || r.rtype == "CNAME")
        };
        return server.port == MDNS && message.answers.iter().any(about);
    }
    let from_llmnr_group = asked.server.ip.is_multicast() && asked.server.port == LLMNR;
    let from = asked.server == server || from_llmnr_group && server.port == LLMNR;
    from && asked.id == message.id
        && match message.question() {
            Some(question) => *question == asked.question,
            // Servers may leave it out when they refuse.
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

    fn question(name: &str) -> Question {
        Question {
            name: name.into(),
            qtype: "A".into(),
            class: 1,
        }
    }

    fn asked(id: u16, name: &str, ns: u64) -> Asked {
        let party = Party {
            process: (1, 1),
            tid: 1,
            group: None,
            contained: false,
            netns: 1,
            uid: 0,
        };
        Asked {
            lookup: 1,
            id,
            server: server(1),
            transport: Transport::Udp,
            question: question(name),
            ns,
            process: Rc::new(process("x")),
            party: Rc::new(party),
            wanted: true,
        }
    }

    fn message(id: u16, question: Option<Question>, rcode: &str) -> Message {
        Message {
            id,
            response: true,
            rcode: rcode.into(),
            questions: question.into_iter().collect(),
            answers: Vec::new(),
        }
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let mut l = Lookups::default();
        assert!(l.asked(1, asked(7, "a.example", 0)));
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
    fn a_refusal_may_leave_the_question_out() {
        let mut l = Lookups::default();
        l.asked(1, asked(7, "a.example", 0));
        assert!(l.answered(1, server(1), &message(7, None, "FORMERR")).len() == 1);
    }

    #[test]
    fn a_query_sent_again_waits_once() {
        let mut l = Lookups::default();
        assert!(l.asked(1, asked(7, "a.example", 0)));
        assert!(!l.asked(1, asked(7, "a.example", 5 * S)));
        assert_eq!(l.rest().len(), 1);
    }

    #[test]
    fn what_nobody_answers_expires_in_order_and_once() {
        let mut l = Lookups::default();
        for i in 0..5u64 {
            l.asked(i, asked(7, "a.example", i * S));
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
        assert_eq!(l.rest().len(), 1);
        assert!(l.waiting.is_empty() && l.order.is_empty());
    }

    #[test]
    fn a_socket_with_too_many_questions_gives_the_oldest_up_and_loses_none() {
        let mut l = Lookups::default();
        for i in 0..2 * MAX_OF_SOCKET {
            l.asked(1, asked(i as u16, "a.example", S));
            assert!(l.waiting[&1].len() <= MAX_OF_SOCKET);
        }
        assert_eq!(l.rest().len(), 2 * MAX_OF_SOCKET);
        assert!(l.waiting.is_empty() && l.order.is_empty());
    }

    #[test]
    fn waiting_questions_are_bounded() {
        let mut l = Lookups::default();
        let mut gone = 0;
        for i in 0..(MAX_WAITING as u64 + 100) {
            l.asked(i, asked(7, "a.example", S));
            gone += l.expired(S).len();
        }
        assert_eq!(gone, 100);
    }
}
