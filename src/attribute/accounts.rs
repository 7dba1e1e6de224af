//! Who is accountable for what a user id causes. A user may own a range of subordinate ids,
//! subuid(5), and must not get a share for each of them.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use super::users;
use crate::capture::event::Owner;

const SUBUID: &str = "/etc/subuid";
/// How often the file is looked at.
const RECHECK: Duration = Duration::from_secs(10);

/// First id, number of ids, owner.
type Range = (u32, u32, u32);

#[derive(Default)]
pub struct Accounts {
    ranges: Vec<Range>,
    checked: Option<Instant>,
    read_at: Option<SystemTime>,
}

/// Bits of what a user namespace usually has of ids, as of bpf/share.h.
const SUBORDINATE_IDS: u32 = 16;

impl Accounts {
    /// The user who is accountable for a process. In a user namespace without a known owner, all ids
    /// of a range are one: who is root there may use any of them.
    pub fn of_process(&mut self, owner: &Owner) -> u32 {
        let account = self.of(owner.uid);
        match owner.foreign && account == owner.uid {
            true => range_of(account),
            false => account,
        }
    }

    /// The user who is accountable for this id.
    pub fn of(&mut self, uid: u32) -> u32 {
        if self.checked.is_none_or(|at| at.elapsed() > RECHECK) {
            self.checked = Some(Instant::now());
            let changed = fs::metadata(SUBUID).and_then(|m| m.modified()).ok();
            if changed != self.read_at {
                self.read_at = changed;
                self.ranges = parse(&fs::read_to_string(SUBUID).unwrap_or_default(), users::id);
            }
        }
        owner(&self.ranges, uid)
    }
}

/// The first id of the range; below the first range, the id itself.
fn range_of(uid: u32) -> u32 {
    match uid >> SUBORDINATE_IDS {
        0 => uid,
        range => range << SUBORDINATE_IDS,
    }
}

fn owner(ranges: &[Range], uid: u32) -> u32 {
    let within = |(first, count, _): &&Range| uid >= *first && uid - first < *count;
    ranges.iter().find(within).map_or(uid, |(.., owner)| *owner)
}

/// Lines of NAME:FIRST:COUNT, where the name may be a number.
fn parse(text: &str, id: impl Fn(&str) -> Option<u32>) -> Vec<Range> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let owner = name.parse().ok().or_else(|| id(name))?;
        Some((
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
            owner,
        ))
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_their_owners() {
        let id = |name: &str| (name == "alice").then_some(1000);
        let ranges = parse(
            "alice:100000:65536\n1001:165536:65536\nnobody-known:1:9\nbroken\n",
            id,
        );
        let of = |uid| owner(&ranges, uid);
        assert_eq!([of(100_000), of(165_535), of(165_536)], [1000, 1000, 1001]);
        assert_eq!([of(5), of(99_999), of(231_072)], [5, 99_999, 231_072]);
    }

    #[test]
    fn ids_of_a_container_without_a_known_owner_are_one() {
        let ids = [0, 1000, 65_535, 524_288, 525_288, 589_823, 589_824];
        let ranges = [0, 1000, 65_535, 524_288, 524_288, 524_288, 589_824];
        assert_eq!(ids.map(range_of), ranges);
    }
}
