//! `--exclude`: what is not recorded.

use std::str::FromStr;

use anyhow::{Result, bail};
use ipnet::IpNet;

use crate::model::{Endpoint, Process, UNKNOWN, dst_scope};

/// One value of `--exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclude {
    Loopback,
    Net(IpNet),
    Port(u16),
    /// By comm or the executable's file name.
    Process(String),
}

impl Exclude {
    /// Whether it excludes a lookup of a process. The resolver's address does not count: it may
    /// be a stub on loopback.
    pub fn matches_lookup(&self, server: Endpoint, process: &Process) -> bool {
        match self {
            Exclude::Loopback | Exclude::Net(_) => false,
            Exclude::Port(_) | Exclude::Process(_) => self.matches(server, process),
        }
    }

    /// Whether it excludes a connection of a process.
    pub fn matches(&self, dst: Endpoint, process: &Process) -> bool {
        match self {
            Exclude::Loopback | Exclude::Net(_) if dst == UNKNOWN => false,
            Exclude::Loopback => dst_scope(dst.ip) == "loopback",
            Exclude::Net(net) => net.contains(&dst.ip),
            Exclude::Port(port) => dst.port == *port,
            Exclude::Process(name) => {
                let file = process.exe.as_deref().and_then(|e| e.rsplit('/').next());
                process.comm == *name || file == Some(name)
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
        if text.is_empty() || text.contains('/') || text.contains(':') {
            bail!(
                "expected loopback, a network (10.0.0.0/8), an address, a port (443) or a process name (curl)"
            );
        }
        Ok(Exclude::Process(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_recognized() {
        assert_eq!("loopback".parse::<Exclude>().unwrap(), Exclude::Loopback);
        assert_eq!("443".parse::<Exclude>().unwrap(), Exclude::Port(443));
        assert_eq!(
            "curl".parse::<Exclude>().unwrap(),
            Exclude::Process("curl".into())
        );
        for net in ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1"] {
            assert!(matches!(net.parse(), Ok(Exclude::Net(_))), "{net}");
        }
        for bad in ["", "70000", "10.0.0.0/40", "a/b", "x:y"] {
            assert!(bad.parse::<Exclude>().is_err(), "{bad}");
        }
    }
}
