//! What a host's processes may reach: a policy file in, a decision per connection out.
//!
//! [`Policy::load`] reads a file with the lists that it names, [`Policy::parse`] a text alone;
//! both report every error of the file at once, with its position. [`Policy::decide`] is the
//! reference: it walks the rules one by one, and the kernel's tables must decide the same.
//! Nothing here needs the recorder or root. docs/policy.md describes the language.

mod covers;
mod decide;
mod emit;
mod essential;
mod explain;
mod facts;
mod file;
pub mod learn;
mod list;
pub mod name_hash;
mod name_rules;
mod notify;
mod parse;
mod pattern;
mod problem;
pub mod replay;
pub mod requests;
mod rule;
pub mod sentence;
mod stubs;
mod target;
#[cfg(test)]
mod tests;
pub mod traffic;
mod warnings;
mod who;

use std::net::IpAddr;

pub use decide::{Decision, Mismatch, Reason};
pub use essential::{Essential, LAST_SYSTEM_UID};
pub use explain::Explanation;
pub use facts::{Container, Destination, Details, Evidence, HostName, Said, Subject};
pub use file::{LoadError, Owner, check_program, system_resolvers};
pub use list::{List, MAX_ENTRIES};
pub use name_rules::{NameRules, RuleBits};
pub use notify::{Notify, Webhook};
pub use parse::{Imported, import as import_config};
pub use pattern::{Glob, ImagePattern, PathPattern, UserPattern};
pub use problem::{Position, Problem, Problems};
pub use rule::{Action, Mode, Rule};
pub use sentence::{Sentence, System};
pub use stubs::STUBS;
pub use target::{METADATA, NameKind, NamePattern, Ports, Scope, Target, plain_address};
pub use who::{Condition, Who, WhoKey};

/// Rules of a policy: a bit each in the kernel's masks.
pub const MAX_RULES: usize = 256;

/// A policy file, read.
#[derive(Debug, Clone)]
pub struct Policy {
    pub rules: Vec<Rule>,
    /// Where no rule and no essential matches.
    pub default: Action,
    /// As written: `system`, addresses.
    pub resolvers: Vec<Resolver>,
    /// The addresses of `system`, from resolv.conf; the loader fills them in.
    pub system_resolvers: Vec<IpAddr>,
    /// The search suffixes of resolv.conf; the loader fills them in.
    pub search_suffixes: Vec<String>,
    pub lookups: Lookups,
    pub established: Established,
    pub stale: Stale,
    pub unknown_containers: UnknownContainers,
    pub source_routing: SourceRouting,
    pub sni: Sni,
    /// What stays open where the default would stop it.
    pub essentials: Vec<Essential>,
    /// Who is notified of what it stops or reports.
    pub notify: Notify,
    /// The lists that rules name, by the index in [`Target::List`].
    pub lists: Vec<List>,
    /// SHA-256 of the file and its lists, as hexadecimal digits.
    pub digest: String,
}

/// Whose answers may grant an address to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// The name servers of resolv.conf.
    System,
    Address(IpAddr),
}

/// Whether names are refused that no rule lets a process reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookups {
    Allow,
    Block,
}

/// What becomes of connections that are older than the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Established {
    Keep,
    Alert,
    Reset,
}

/// Whether an address is still granted when its asker has ended and the answer has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    Allow,
    Block,
}

/// What holds for a container until its runtime has described it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownContainers {
    /// The rules that do not name a container, and the default.
    Default,
    Block,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceRouting {
    Refuse,
    Allow,
}

/// What becomes of a connection by the name that it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sni {
    /// Nothing: by the names that its address was looked up by.
    Off,
    /// It is reported if it would be refused.
    Alert,
    Strict,
}

impl Sni {
    /// What becomes of a connection that says none of the names that the rules want.
    pub fn action(self) -> Action {
        match self {
            Sni::Off => Action::Allow,
            Sni::Alert => Action::Alert,
            Sni::Strict => Action::Block,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Sni::Off => "off",
            Sni::Alert => "alert",
            Sni::Strict => "strict",
        }
    }
}

impl Policy {
    /// A policy without rules that blocks by default.
    pub fn nothing_but_essentials() -> Policy {
        Policy {
            rules: Vec::new(),
            default: Action::Block,
            resolvers: vec![Resolver::System],
            system_resolvers: Vec::new(),
            search_suffixes: Vec::new(),
            lookups: Lookups::Allow,
            established: Established::Keep,
            stale: Stale::Allow,
            unknown_containers: UnknownContainers::Default,
            source_routing: SourceRouting::Refuse,
            sni: Sni::Off,
            essentials: Essential::ALL.to_vec(),
            notify: Notify::default(),
            lists: Vec::new(),
            digest: String::new(),
        }
    }

    /// Whether names decide anything.
    pub fn goes_by_names(&self) -> bool {
        let mut targets = self.rules.iter().flat_map(|rule| &rule.to);
        let has_names = |target: &Target| match target {
            Target::Name(_) | Target::Unnamed => true,
            Target::List(index) => {
                let list = self.lists.get(*index);
                list.is_some_and(|list| list.names().next().is_some())
            }
            _ => false,
        };
        targets.any(has_names)
    }

    /// Every address whose answers count, `system` resolved.
    pub fn resolver_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let system = self.resolvers.contains(&Resolver::System);
        let written = self.resolvers.iter().filter_map(|resolver| match resolver {
            Resolver::Address(ip) => Some(*ip),
            Resolver::System => None,
        });
        let system = self
            .system_resolvers
            .iter()
            .copied()
            .filter(move |_| system);
        written.chain(system)
    }
}
