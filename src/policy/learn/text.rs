//! What was learnt, as a file to be read and edited.

use std::fmt::Write;

use crate::human;

use super::{Chosen, Learned};

/// Resolvers that are named in a comment.
const MAX_RESOLVERS: usize = 10;

impl Learned {
    /// The policy. `others` are servers that answered lookups and are no resolvers of it, with
    /// how many they answered.
    pub fn text(&self, chosen: &[Chosen], others: &[(String, i64)]) -> String {
        let mut text = String::from("# Allows what was seen, and nothing else");
        if !chosen.is_empty() {
            let names: Vec<&str> = chosen.iter().map(|chosen| chosen.label.as_str()).collect();
            let _ = write!(text, " for {}", names.join(", ").escape_debug());
        }
        text += &format!(
            ".\n# Learnt from {} by 'egrets policy learn'. Read it before it is enforced: what was seen\n\
         # is not always what should be.\nversion: 1\nresolvers: [system]\n",
            human::count(self.connections, "connection", "connections")
        );
        for (ip, lookups) in others.iter().take(MAX_RESOLVERS) {
            let _ = writeln!(
                text,
                "# {} were answered by {ip}: a resolver to add, if it is to be trusted",
                human::count(*lookups, "lookup", "lookups")
            );
        }
        text += match chosen.is_empty() {
            true => "default: block\n",
            false => "default: allow\n",
        };
        if !self.rules.is_empty() || !chosen.is_empty() {
            text += "rules:\n";
        }
        for rule in &self.rules {
            rule.write(&mut text);
        }
        for (index, chosen) in chosen.iter().enumerate() {
            let _ = writeln!(
                text,
                "  - {{ name: nothing else {}, who: {}, action: block }}",
                index + 1,
                chosen.text
            );
        }
        text
    }
}
