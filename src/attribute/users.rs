//! User names and homes from /etc/passwd. The name service switch is not used: it may query
//! the network, which egrets records, and wait for it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

/// The last user id of system users, login.defs(5).
const SYS_UID_MAX: u32 = 999;

/// Whether it is root or a system user, such as a resolver runs as.
pub fn is_system(uid: u32) -> bool {
    uid <= SYS_UID_MAX
}

#[derive(Default)]
pub struct Users {
    names: HashMap<u32, String>,
    read_at: Option<SystemTime>,
}

const PASSWD: &str = "/etc/passwd";

impl Users {
    /// The name of a user id, if /etc/passwd has one.
    pub fn name(&mut self, uid: u32) -> Option<String> {
        let changed = fs::metadata(PASSWD).and_then(|m| m.modified()).ok();
        if changed != self.read_at {
            self.read_at = changed;
            self.names = parse(&fs::read_to_string(PASSWD).unwrap_or_default());
        }
        self.names.get(&uid).cloned()
    }
}

/// passwd(5). The first name of an id counts, as for getpwuid(3).
fn parse(passwd: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1))
            && let Ok(uid) = uid.parse()
        {
            names.entry(uid).or_insert_with(|| name.to_string());
        }
    }
    names
}

/// The id of a user name.
pub fn id(name: &str) -> Option<u32> {
    let passwd = fs::read_to_string(PASSWD).ok()?;
    let of_name = |line: &str| line.split(':').next() == Some(name);
    let line = passwd.lines().find(|line| of_name(line))?;
    line.split(':').nth(2)?.parse().ok()
}

/// The home directory of a user id.
pub fn home(uid: u32) -> Option<PathBuf> {
    let passwd = fs::read_to_string(PASSWD).ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let own = fields.next()?.parse() == Ok(uid);
        own.then(|| fields.nth(2)).flatten().map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_an_id_counts_and_broken_lines_are_ignored() {
        let names =
            parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\nbroken\nx:y:z\n\nwww:x:33:33:::\n");
        assert_eq!(names.len(), 2);
        assert_eq!((names[&0].as_str(), names[&33].as_str()), ("root", "www"));
    }
}
