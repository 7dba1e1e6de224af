//! How a connection or a lookup ended, and what a policy decided.

use super::Words;

pub const FAILED: Words = &[
    "failed",
    "fail",
    "failing",
    "fails",
    "unsuccessful",
    "unsuccessfully",
    "broke",
    "broken",
    "errored",
];
pub const SUCCEEDED: Words = &[
    "succeeded",
    "succeed",
    "successful",
    "established",
    "successfully",
    "worked",
    "successes",
    "success",
    "ok",
];
pub const TIMED: Words = &["timed"];
pub const OUT: Words = &["out"];
pub const OUTCOMES: Words = &[
    "refused",
    "timeout",
    "unreachable",
    "reset",
    "denied",
    "rejected",
];
pub const RCODES: Words = &["nxdomain", "servfail"];
/// What a policy decided.
pub const JUDGED: Words = &[
    "blocked",
    "would-block",
    "alerted",
    "killed",
    "suspended",
    "dumped",
];
/// A connection's own name, which is not the one that was looked up.
pub const OTHER_NAMED: Words = &["other-named"];
pub const ENCRYPTED_DNS: Words = &["encrypted-dns", "dns-over-https"];
/// What idioms make of "made no connections", "without lookups", "sent nothing".
pub const NO_CONNECTIONS: Words = &["no-connections"];
pub const NO_LOOKUPS: Words = &["no-lookups"];
/// By what is listed; or, the other way round, by this host.
pub const NO_BYTES: Words = &[
    "sent-nothing",
    "received-nothing",
    "nothing-sent",
    "nothing-received",
];
pub const SOME_BYTES: Words = &["sent-something", "received-something"];
/// "sent more than they received"
pub const MORE_BYTES: Words = &["sent-more", "received-more", "more-sent", "more-received"];
