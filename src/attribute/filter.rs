//! `--exclude`: what is not recorded.

use std::str::FromStr;

use anyhow::{Result, bail};
use ipnet::IpNet;

use crate::model::{Endpoint, Process, UNKNOWN};

/// One value of `--exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclude {
    Loopback,
    Net(IpNet),
    Port(u16),
    /// By the executable's file name or path. Not by its short name, which a process gives itself.
    Program(String),
}

impl Exclude {
    /// Whether it excludes a lookup of a process. The resolver's address does not count: it may
    /// be a stub on loopback.
    pub fn matches_lookup(
        &self,
        server: Endpoint,
        process: &Process,
        is_hosts: impl Fn(&Process) -> bool,
    ) -> bool {
        match self {
            Exclude::Loopback | Exclude::Net(_) => false,
            Exclude::Port(_) | Exclude::Program(_) => self.matches(server, process, is_hosts),
        }
    }

    /// Whether it excludes a connection of a process. `is_hosts` tells whether the executable is
    /// the file at its path on the host.
    pub fn matches(
        &self,
        dst: Endpoint,
        process: &Process,
        is_hosts: impl Fn(&Process) -> bool,
    ) -> bool {
        match self {
            Exclude::Loopback | Exclude::Net(_) if dst == UNKNOWN => false,
            // Not what NAT64 leads there: that leaves the host.
            Exclude::Loopback => dst.ip.is_loopback() || dst.ip.is_unspecified(),
            Exclude::Net(net) => net.contains(&dst.ip),
            Exclude::Port(port) => dst.port == *port,
            Exclude::Program(program) => {
                let path = process.exe.as_deref().unwrap_or_default();
                let is_named = match program.starts_with('/') {
                    true => path == program,
                    // a user may give any name to a file of their own
                    false => process.exe_file.root_only && path.rsplit('/').next() == Some(program),
                };
                is_named && is_hosts(process)
            }
        }
    }
}

impl FromStr for Exclude {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Exclude> {
        if text == "loopback" {
            return Ok(Exclude::Loopback);
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Exclude::Net(net));
        }
        if let Ok(ip) = text.parse::<std::net::IpAddr>() {
            return Ok(Exclude::Net(ip.into()));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(port) => Ok(Exclude::Port(port)),
                Err(_) => bail!("invalid port {text}: ports are 0 to 65535"),
            };
        }
        let is_path = text.starts_with('/') && !text.ends_with('/');
        let is_name = !text.is_empty() && !text.contains('/') && !text.contains(':');
        if !is_path && !is_name {
            bail!(
                "expected loopback, a network (10.0.0.0/8), an address, a port (443), a program of root's (curl) or a program's path (/opt/agent/bin/agent)"
            );
        }
        Ok(Exclude::Program(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_recognized() {
        assert_eq!("loopback".parse::<Exclude>().unwrap(), Exclude::Loopback);
        assert_eq!("443".parse::<Exclude>().unwrap(), Exclude::Port(443));
        for program in ["curl", "/opt/agent/bin/agent"] {
            let exclude = program.parse::<Exclude>().unwrap();
            assert_eq!(exclude, Exclude::Program(program.into()));
        }
        for net in ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1"] {
            assert!(matches!(net.parse(), Ok(Exclude::Net(_))), "{net}");
        }
        for bad in ["", "70000", "10.0.0.0/40", "a/b", "x:y", "/usr/bin/"] {
            assert!(bad.parse::<Exclude>().is_err(), "{bad}");
        }
    }

    #[test]
    fn program_is_excluded_by_its_file_and_not_by_a_name_that_it_gives_itself() {
        let excluded = |exclude: &str, exe: &str, root_only: bool, is_hosts: bool| {
            let mut process = crate::model::builders::process("agent");
            process.exe = Some(exe.into());
            process.exe_file.root_only = root_only;
            let exclude = exclude.parse::<Exclude>().unwrap();
            exclude.matches(UNKNOWN, &process, |_| is_hosts)
        };
        assert!(excluded("agent", "/usr/sbin/agent", true, true));
        assert!(!excluded("agent", "/usr/bin/python3", true, true));
        assert!(!excluded("agent", "/home/eve/agent", false, true));
        assert!(!excluded("agent", "/usr/sbin/agent", true, false));
        assert!(excluded("/home/ci/agent", "/home/ci/agent", false, true));
        assert!(!excluded("/home/ci/agent", "/home/ci/agent", false, false));
        assert!(!excluded(
            "/usr/sbin/agent",
            "/x/usr/sbin/agent",
            true,
            true
        ));
    }
}
