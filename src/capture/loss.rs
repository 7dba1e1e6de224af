//! What was lost, by kind: the counters of the BPF programs.

use super::skel::types::egrets_kind;
use crate::model::Loss;

const RING_FULL: &str = "ring buffer full";
const RING_OR_SHARE_FULL: &str =
    "ring buffer full, or socket or user has too many flows: one row has their bytes";
const RING_FULL_OR_SKIPPED: &str = "ring buffer full, or hook skipped";

/// A record that could not be decoded: a fault of egrets itself.
pub(super) const UNREADABLE: Loss = Loss {
    kind: "parse",
    why: "record not readable",
};

/// Every kind that the BPF programs count. The kinds are a contiguous enum that begins with
/// EGRETS_NONE, so the length and a test for duplicates prove that none is missing.
pub(super) const LOSS_KINDS: [(egrets_kind, Loss); egrets_kind::EGRETS_KINDS.0 as usize - 1] = [
    loss(egrets_kind::EGRETS_FORK, "fork", RING_FULL),
    loss(egrets_kind::EGRETS_EXEC, "exec", RING_FULL),
    loss(egrets_kind::EGRETS_EXIT, "exit", RING_FULL),
    loss(egrets_kind::EGRETS_CONNECT, "connect", RING_FULL),
    loss(egrets_kind::EGRETS_ERRNO, "errno", RING_FULL),
    loss(
        egrets_kind::EGRETS_ESTABLISHED,
        "established",
        RING_FULL_OR_SKIPPED,
    ),
    loss(egrets_kind::EGRETS_CLOSE, "close", RING_FULL_OR_SKIPPED),
    loss(egrets_kind::EGRETS_RELEASE, "release", RING_FULL),
    loss(egrets_kind::EGRETS_FLOW, "flow", RING_OR_SHARE_FULL),
    loss(egrets_kind::EGRETS_FLOW_END, "flow_end", RING_FULL),
    loss(egrets_kind::EGRETS_ASSOCIATION, "association", RING_FULL),
    loss(egrets_kind::EGRETS_DNS, "dns", RING_FULL),
    loss(egrets_kind::EGRETS_CGROUP, "cgroup", RING_FULL),
    loss(egrets_kind::EGRETS_ATTACH, "attach", RING_FULL),
    loss(egrets_kind::EGRETS_HOP, "hop", RING_FULL),
    loss(egrets_kind::EGRETS_VERDICT, "verdict", RING_FULL),
    loss(egrets_kind::EGRETS_PAYLOAD, "payload", RING_FULL),
    loss(
        egrets_kind::EGRETS_SOCKET,
        "socket",
        "user has too many sockets",
    ),
    loss(
        egrets_kind::EGRETS_RETURN,
        "return",
        "return of connect not seen",
    ),
    loss(
        egrets_kind::EGRETS_DNS_BUDGET,
        "dns_budget",
        "too much DNS of one socket or user",
    ),
    loss(
        egrets_kind::EGRETS_PAYLOAD_BUDGET,
        "payload_budget",
        "too many beginnings of connections of one user",
    ),
];

const fn loss(kind: egrets_kind, name: &'static str, why: &'static str) -> (egrets_kind, Loss) {
    (kind, Loss { kind: name, why })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_of_loss_is_reported_once_under_its_own_name() {
        let kinds: HashSet<u32> = LOSS_KINDS.iter().map(|(kind, _)| kind.0).collect();
        let all = egrets_kind::EGRETS_NONE.0 + 1..egrets_kind::EGRETS_KINDS.0;
        assert_eq!(kinds, all.collect());
        let names: HashSet<&str> = LOSS_KINDS.iter().map(|(_, loss)| loss.kind).collect();
        assert_eq!(names.len(), LOSS_KINDS.len());
    }
}
