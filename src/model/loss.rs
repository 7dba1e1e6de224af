//! What was not recorded.

/// A kind of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Loss {
    pub kind: GapKind,
    pub why: &'static str,
}

/// Events that were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub from_ts: i64,
    pub to_ts: i64,
    pub kind: GapKind,
    pub lost: u64,
    pub why: &'static str,
}

macro_rules! gap_kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// What was lost, as the view `gaps` names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum GapKind {
            $($(#[$doc])* $kind,)*
        }

        impl GapKind {
            pub const ALL: &[GapKind] = &[$(GapKind::$kind,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(GapKind::$kind => $name,)*
                }
            }
        }
    };
}

gap_kinds! {
    // Events of the kernel: bpf/egrets.h.
    Fork "fork",
    Exec "exec",
    Exit "exit",
    Connect "connect",
    Errno "errno",
    Established "established",
    Close "close",
    Release "release",
    Flow "flow",
    FlowEnd "flow_end",
    Association "association",
    Dns "dns",
    Cgroup "cgroup",
    Attach "attach",
    Hop "hop",
    Verdict "verdict",
    Payload "payload",
    /// The process that began to use a connection of which none was known.
    Owner "owner",
    /// No room for the owner of a socket.
    Socket "socket",
    /// The return of a call that connects.
    Return "return",
    DnsBudget "dns_budget",
    PayloadBudget "payload_budget",
    /// A record that could not be decoded.
    Parse "parse",
    /// Beyond a user's share: known, and not stored.
    DnsLookups "dns_lookups",
    DnsRecords "dns_records",
    /// Rows that found no room in memory while the history could not be written.
    Store "store",
    /// Removed rows.
    Retention "retention",
    /// Removed rows of a user who had more than a share of the file.
    Share "share",
    /// Removed rows that the totals still count.
    Summary "summary",
    /// The clock was set: nothing is lost.
    Clock "clock",
    /// No recorder ran.
    Recording "recording",
}

impl GapKind {
    /// None for that of another version.
    pub fn of(name: &str) -> Option<GapKind> {
        let mut all = GapKind::ALL.iter().copied();
        all.find(|kind| kind.as_str() == name)
    }

    /// Whether something was lost that should have been recorded, and not removed or missed on
    /// purpose.
    pub fn is_loss(self) -> bool {
        use GapKind::{Clock, Recording, Retention, Share, Summary};
        !matches!(self, Retention | Share | Summary | Clock | Recording)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_own_name() {
        for kind in GapKind::ALL {
            assert_eq!(GapKind::of(kind.as_str()), Some(*kind));
        }
        assert_eq!(GapKind::of("tcp"), None);
    }
}
