//! Whether a rule leaves nothing to a later one: it matches whatever the later one would.
//! False where that is not certain.

use super::pattern::{Glob, ImagePattern, PathPattern, UserPattern};
use super::rule::Rule;
use super::target::{NameKind, NamePattern, Ports, Target};
use super::who::{Condition, Who};

/// `now` decides whether the earlier rule matches anything at all.
pub fn rule_covers(earlier: &Rule, later: &Rule, now: i64) -> bool {
    !earlier.has_expired(now)
        && earlier.expires.is_none()
        && who_covers(&earlier.who, &later.who)
        && each_covered(&earlier.ports, &later.ports, ports_cover)
        && each_covered(&earlier.to, &later.to, |a, b| {
            target_covers(a, b) && (!matches!(b, Target::Name(_)) || names_count(earlier, later))
        })
}

/// No condition covers everything; else each of the later ones needs one that covers it.
fn each_covered<T>(earlier: &[T], later: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    earlier.is_empty()
        || (!later.is_empty() && later.iter().all(|b| earlier.iter().any(|a| covers(a, b))))
}

/// Whether a name that the later rule accepts is enough for the earlier one, too.
fn names_count(earlier: &Rule, later: &Rule) -> bool {
    match (earlier.action.stops(), later.action.stops()) {
        (true, stops) => stops,
        (false, true) => earlier.private,
        (false, false) => earlier.private || !later.private,
    }
}

fn who_covers(a: &Who, b: &Who) -> bool {
    let flag = |a: Option<bool>, b: Option<bool>| a.is_none() || a == b;
    // what `exe` means depends on whether the rule names a container
    let same_exe =
        (a.exe.is_empty() && a.via.is_empty()) || a.names_container() == b.names_container();
    same_exe
        && flag(a.host, b.host)
        && flag(a.kernel, b.kernel)
        && flag(a.tree, b.tree)
        && covers(&a.exe, &b.exe, path_covers)
        && covers(&a.user, &b.user, |a: &UserPattern, b| a == b)
        && covers(&a.container, &b.container, glob_covers)
        && covers(&a.image, &b.image, |a: &ImagePattern, b| a == b)
        && covers(&a.pod, &b.pod, glob_covers)
        && covers(&a.namespace, &b.namespace, glob_covers)
        && covers(&a.unit, &b.unit, glob_covers)
        && covers(&a.cgroup, &b.cgroup, path_covers)
        && covers(&a.via, &b.via, path_covers)
        && covers(&a.process, &b.process, glob_covers)
}

fn covers<T: PartialEq>(
    a: &Condition<T>,
    b: &Condition<T>,
    pattern: impl Fn(&T, &T) -> bool,
) -> bool {
    each_covered(&a.any, &b.any, &pattern)
        && a.none
            .iter()
            .all(|no| b.none.iter().any(|other| pattern(other, no)))
}

fn glob_covers(a: &Glob, b: &Glob) -> bool {
    a == b || a.as_str() == "*" || b.literal().is_some_and(|text| a.matches(text))
}

pub fn path_covers(a: &PathPattern, b: &PathPattern) -> bool {
    match (a, b) {
        (_, PathPattern::Exact(path)) => a.matches(path),
        (PathPattern::Below(above), PathPattern::In(path) | PathPattern::Below(path)) => {
            above == path || a.matches(path)
        }
        _ => a == b,
    }
}

fn ports_cover(a: &Ports, b: &Ports) -> bool {
    let protocol = a.protocol.is_none() || a.protocol == b.protocol;
    let range = match (a.range, b.range) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((from, to)), Some((first, last))) => from <= first && last <= to,
    };
    protocol && range
}

fn target_covers(a: &Target, b: &Target) -> bool {
    match (a, b) {
        (Target::Name(a), Target::Name(b)) => name_covers(a, b),
        (Target::Cidr(a), Target::Cidr(b)) => a.contains(b),
        _ => a == b,
    }
}

fn name_covers(a: &NamePattern, b: &NamePattern) -> bool {
    let below = NamePattern {
        name: a.name.clone(),
        kind: NameKind::Below,
    };
    match (a.kind, b.kind) {
        (NameKind::Both, _) => a.matches(&b.name),
        (NameKind::Exact, _) => b.kind == NameKind::Exact && a.name == b.name,
        (NameKind::Below, NameKind::Below) => a.name == b.name || below.matches(&b.name),
        (NameKind::Below, _) => below.matches(&b.name),
    }
}
