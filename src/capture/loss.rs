//! What was lost, by kind: the counters of the BPF programs.

use super::skel::types::egrets_kind;
use crate::model::{GapKind, Loss};

const RING_FULL: &str = "ring buffer full, or user's share of it";
const RING_OR_SHARE_FULL: &str = "ring buffer or user's share of it full, or socket or user has too many flows: one row has their bytes";
const RING_FULL_OR_SKIPPED: &str = "ring buffer full, or user's share of it, or hook skipped";

/// A record that could not be decoded: a fault of egrets itself.
pub(super) const UNREADABLE: Loss = Loss {
    kind: GapKind::Parse,
    why: "record not readable",
};

/// Every kind that the BPF programs count. The kinds are a contiguous enum that begins with
/// EGRETS_NONE, so the length and a test for duplicates prove that none is missing.
pub(super) const LOSS_KINDS: [(egrets_kind, Loss); egrets_kind::EGRETS_KINDS.0 as usize - 1] = [
    loss(egrets_kind::EGRETS_FORK, GapKind::Fork, RING_FULL),
    loss(egrets_kind::EGRETS_EXEC, GapKind::Exec, RING_FULL),
    loss(egrets_kind::EGRETS_EXIT, GapKind::Exit, RING_FULL),
    loss(egrets_kind::EGRETS_CONNECT, GapKind::Connect, RING_FULL),
    loss(egrets_kind::EGRETS_ERRNO, GapKind::Errno, RING_FULL),
    loss(
        egrets_kind::EGRETS_ESTABLISHED,
        GapKind::Established,
        RING_FULL_OR_SKIPPED,
    ),
    loss(
        egrets_kind::EGRETS_CLOSE,
        GapKind::Close,
        RING_FULL_OR_SKIPPED,
    ),
    loss(egrets_kind::EGRETS_RELEASE, GapKind::Release, RING_FULL),
    loss(egrets_kind::EGRETS_FLOW, GapKind::Flow, RING_OR_SHARE_FULL),
    loss(egrets_kind::EGRETS_FLOW_END, GapKind::FlowEnd, RING_FULL),
    loss(
        egrets_kind::EGRETS_ASSOCIATION,
        GapKind::Association,
        RING_FULL,
    ),
    loss(egrets_kind::EGRETS_DNS, GapKind::Dns, RING_FULL),
    loss(egrets_kind::EGRETS_CGROUP, GapKind::Cgroup, RING_FULL),
    loss(egrets_kind::EGRETS_ATTACH, GapKind::Attach, RING_FULL),
    loss(egrets_kind::EGRETS_HOP, GapKind::Hop, RING_FULL),
    loss(egrets_kind::EGRETS_VERDICT, GapKind::Verdict, RING_FULL),
    loss(egrets_kind::EGRETS_PAYLOAD, GapKind::Payload, RING_FULL),
    loss(egrets_kind::EGRETS_OWNER, GapKind::Owner, RING_FULL),
    loss(
        egrets_kind::EGRETS_SOCKET,
        GapKind::Socket,
        "user has too many sockets",
    ),
    loss(
        egrets_kind::EGRETS_RETURN,
        GapKind::Return,
        "return of connect not seen",
    ),
    loss(
        egrets_kind::EGRETS_DNS_BUDGET,
        GapKind::DnsBudget,
        "too much DNS of one socket or user",
    ),
    loss(
        egrets_kind::EGRETS_PAYLOAD_BUDGET,
        GapKind::PayloadBudget,
        "too many beginnings of connections of one user",
    ),
];

const fn loss(event: egrets_kind, kind: GapKind, why: &'static str) -> (egrets_kind, Loss) {
    (event, Loss { kind, why })
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
        let names: HashSet<GapKind> = LOSS_KINDS.iter().map(|(_, loss)| loss.kind).collect();
        assert_eq!(names.len(), LOSS_KINDS.len());
    }
}
