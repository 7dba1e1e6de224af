//! Questions waiting for their answers. An answer counts only if it matches a
//! query that left the same socket: transaction id, question and server. Anything
//! else is unsolicited and names nothing.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::dns::{Message, Question};
use super::names::Party;
use crate::record::{Endpoint, Process};

/// A question that left a socket.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Of the lookup's row.
    pub lookup: i64,
    /// The transaction id.
    pub id: u16,
    pub server: Endpoint,
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

#[derive(Default)]
pub struct Lookups {
    /// By socket cookie.
    waiting: HashMap<u64, Vec<(u64, Asked)>>,
    /// In the order asked: number and cookie.
    order: VecDeque<(u64, u64)>,
    next: u64,
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
        waiting.push((self.next, asked));
        self.order.push_back((self.next, cookie));
        self.next += 1;
        true
    }

    /// The query that a message from `server` answers.
    pub fn answered(&mut self, cookie: u64, server: Endpoint, message: &Message) -> Option<Asked> {
        let waiting = self.waiting.get_mut(&cookie)?;
        let at = waiting.iter().position(|(_, asked)| {
            asked.id == message.id
                && asked.server == server
                && match &message.question {
                    Some(question) => *question == asked.question,
                    // Servers may leave it out when they refuse.
                    None => message.rcode != "NOERROR",
                }
        })?;
        let (_, asked) = waiting.remove(at);
        if waiting.is_empty() {
            self.waiting.remove(&cookie);
        }
        Some(asked)
    }

    /// The socket is gone, and with it whoever waited for these.
    pub fn abandoned(&mut self, cookie: u64, server: Endpoint) -> Vec<Asked> {
        let Some(waiting) = self.waiting.get_mut(&cookie) else {
            return Vec::new();
        };
        let (gone, left) = std::mem::take(waiting)
            .into_iter()
            .partition(|(_, a)| a.server == server);
        *waiting = left;
        if waiting.is_empty() {
            self.waiting.remove(&cookie);
        }
        let gone: Vec<(u64, Asked)> = gone;
        gone.into_iter().map(|(_, asked)| asked).collect()
    }

    /// Those that have waited too long at `now_ns`, or are too many.
    pub fn expired(&mut self, now_ns: u64) -> Vec<Asked> {
        let mut gone = Vec::new();
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let process = Process {
            serial: 1,
            pid: 1,
            start_ns: 1,
            ppid: None,
            parent_comm: None,
            comm: "x".into(),
            exe: None,
            cmdline: None,
            uid: 0,
            user: None,
            cgroup: None,
            unit: None,
            container: None,
            netns: None,
        };
        let party = Party {
            process: (1, 1),
            group: None,
            contained: false,
            netns: 1,
            uid: 0,
        };
        Asked {
            lookup: 1,
            id,
            server: server(1),
            question: question(name),
            ns,
            process: Rc::new(process),
            party: Rc::new(party),
            wanted: true,
        }
    }

    fn message(id: u16, question: Option<Question>, rcode: &str) -> Message {
        Message {
            id,
            response: true,
            rcode: rcode.into(),
            question,
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
                .is_none(),
            "socket"
        );
        assert!(
            l.answered(1, server(2), &message(7, q(), "NOERROR"))
                .is_none(),
            "server"
        );
        assert!(
            l.answered(1, server(1), &message(8, q(), "NOERROR"))
                .is_none(),
            "id"
        );
        let other = Some(question("b.example"));
        assert!(
            l.answered(1, server(1), &message(7, other, "NOERROR"))
                .is_none(),
            "question"
        );
        assert!(
            l.answered(1, server(1), &message(7, None, "NOERROR"))
                .is_none(),
            "none"
        );
        assert!(
            l.answered(1, server(1), &message(7, q(), "NOERROR"))
                .is_some()
        );
        assert!(
            l.answered(1, server(1), &message(7, q(), "NOERROR"))
                .is_none(),
            "twice"
        );
    }

    #[test]
    fn a_refusal_may_leave_the_question_out() {
        let mut l = Lookups::default();
        l.asked(1, asked(7, "a.example", 0));
        assert!(
            l.answered(1, server(1), &message(7, None, "FORMERR"))
                .is_some()
        );
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
            .is_some()
        );
        let ids: Vec<u64> = l.expired(12 * S).iter().map(|a| a.ns / S).collect();
        assert_eq!(ids, [0, 2]);
        assert_eq!(l.abandoned(3, server(1)).len(), 1);
        assert_eq!(l.rest().len(), 1);
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
