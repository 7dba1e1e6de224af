//! A connection in words: "curl to example.com:443 as www-data in web".

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;

use crate::model::Protocol;

use super::facts::{Container, Destination, Details, Evidence, HostName, Said, Subject};
use super::problem::shown;
use super::target::{NamePattern, Target};
use super::{Policy, Sni};

pub const FORM: &str = "PROGRAM to HOST[:PORT] [as USER] [in CONTAINER] [image IMAGE] [pod POD] \
                        [namespace NAMESPACE] [unit UNIT] [via PROGRAM] [called NAME] [at ADDRESS] [over PROTOCOL] [sni NAME|none]";

/// Characters of a process' name (comm).
const MAX_NAME: usize = 15;

/// What a sentence says, and what had to be assumed.
#[derive(Debug)]
pub struct Sentence {
    pub subject: Subject,
    pub destination: Destination,
    pub assumed: Vec<String>,
}

/// What the system can add.
pub struct System<'a> {
    /// The path of a program, by its name.
    pub program: &'a dyn Fn(&str) -> Option<String>,
    pub uid: &'a dyn Fn(&str) -> Option<u32>,
}

/// # Errors
///
/// The word that is not understood, and the form.
pub fn parse(text: &str, policy: &Policy, system: &System) -> Result<Sentence> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [program, "to", host, rest @ ..] = words.as_slice() else {
        bail!("a connection is described as: {FORM}");
    };
    let mut said = Words::default();
    for pair in rest.chunks(2) {
        let [word, value] = *pair else {
            bail!(
                "{} is followed by nothing; a connection is: {FORM}",
                shown(pair[0])
            );
        };
        said.add(word, value, system)?;
    }
    let (name, port) = host_and_port(host)?;
    let mut assumed = Vec::new();
    let subject = said.subject(program, system, &mut assumed);
    let mut destination = Destination {
        ip: None,
        port: None,
        protocol: said.protocol.unwrap_or(Protocol::Tcp),
        names: Vec::new(),
        said: said.server_name.take().unwrap_or_default(),
    };
    if said.protocol.is_none() {
        assumed.push("it is a TCP connection".to_owned());
    }
    if matches!(
        destination.protocol,
        Protocol::Tcp | Protocol::Udp | Protocol::Ip(132 | 136)
    ) {
        destination.port = port.or(Some(443));
        if port.is_none() {
            assumed.push("the port is 443".to_owned());
        }
    }
    match (name.parse::<IpAddr>(), said.at) {
        (Ok(ip), _) => destination.ip = Some(ip),
        (Err(_), at) => {
            let name = NamePattern::parse(name)
                .map_err(|why| anyhow::anyhow!("{} {why}", shown(name)))?
                .name;
            destination.names.push(HostName {
                name,
                evidence: Evidence::Own,
            });
            assumed.push("the process looked the name up itself, at one of the resolvers".into());
            if at.is_none() {
                assumed.push("its address is a public one that no rule lists".to_owned());
            }
            if policy.sni != Sni::Off
                && destination.protocol == Protocol::Tcp
                && destination.said == Said::NotYet
            {
                assumed.push("it says the name that was looked up".to_owned());
            }
            destination.ip = Some(at.unwrap_or_else(|| unlisted(policy)));
        }
    }
    Ok(Sentence {
        subject,
        destination,
        assumed,
    })
}

#[derive(Default)]
struct Words {
    user: Option<(Option<u32>, Option<String>)>,
    container: Option<Details>,
    unit: Option<String>,
    via: Vec<String>,
    name: Option<String>,
    at: Option<IpAddr>,
    server_name: Option<Said>,
    protocol: Option<Protocol>,
}

impl Words {
    fn add(&mut self, word: &str, value: &str, system: &System) -> Result<()> {
        let details = |of: &mut Words, set: fn(&mut Details, String)| {
            set(of.container.get_or_insert_default(), value.to_owned());
        };
        match word {
            "as" => {
                self.user = Some(match value.parse::<u32>() {
                    Ok(uid) => (Some(uid), None),
                    Err(_) if value == "root" => (Some(0), Some("root".to_owned())),
                    Err(_) => ((system.uid)(value), Some(value.to_owned())),
                });
            }
            "in" => details(self, |of, value| of.name = Some(value)),
            "image" => details(self, |of, value| of.image = Some(value)),
            "pod" => details(self, |of, value| of.pod = Some(value)),
            "namespace" => details(self, |of, value| of.namespace = Some(value)),
            "unit" => self.unit = Some(value.to_owned()),
            "via" => self.via.push(path(value, system).0),
            "called" => self.name = Some(value.to_owned()),
            "at" => {
                self.at = Some(value.parse().context("'at' is followed by an address")?);
            }
            "sni" if value == "none" => self.server_name = Some(Said::Nothing),
            "sni" => {
                let name = NamePattern::parse(value)
                    .map_err(|why| anyhow::anyhow!("{} {why}", shown(value)))?;
                self.server_name = Some(Said::Name(name.name));
            }
            "over" => {
                let named = (0..=255).map(Protocol::of).find(|p| p.as_str() == value);
                self.protocol =
                    Some(named.with_context(|| format!("{} is no protocol", shown(value)))?);
            }
            _ => bail!("{} is not understood; a connection is: {FORM}", shown(word)),
        }
        Ok(())
    }

    fn subject(&self, program: &str, system: &System, assumed: &mut Vec<String>) -> Subject {
        let (exe, is_given) = path(program, system);
        let in_container = self.container.is_some();
        if !is_given {
            assumed.push(match in_container {
                true => format!("the program is {exe} in the container"),
                false => format!("the program is {exe}, which only root can change"),
            });
        }
        if self.user.is_none() {
            assumed.push("the user is one that no rule names".to_owned());
        }
        match in_container {
            true => assumed.push("nothing else is known of the container".to_owned()),
            false => assumed.push("it runs in no container, in the host's namespaces".to_owned()),
        }
        if self.unit.is_none() && self.via.is_empty() {
            assumed.push("no rule names its unit or what started it".to_owned());
        }
        let (uid, user) = self.user.clone().unwrap_or_default();
        // as the kernel cuts it
        let name = exe.rsplit('/').next();
        let name = name.map(|name| name.chars().take(MAX_NAME).collect());
        Subject {
            comm: self.name.clone().or(name),
            exe: Some(exe),
            exe_is_trusted: !in_container,
            uid,
            user,
            host: !in_container,
            container: match &self.container {
                Some(details) => Container::Known(details.clone()),
                None => Container::None,
            },
            cgroup: self
                .unit
                .as_ref()
                .map(|unit| format!("/system.slice/{unit}")),
            unit: self.unit.clone(),
            ancestors: self.via.clone(),
            ..Subject::default()
        }
    }
}

/// A program's path, and whether it was given as one.
fn path(program: &str, system: &System) -> (String, bool) {
    match program.starts_with('/') {
        true => (program.to_owned(), true),
        false => {
            let found = (system.program)(program);
            (
                found.unwrap_or_else(|| format!("/usr/bin/{program}")),
                false,
            )
        }
    }
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>)> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, None));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => return Ok((host, None)),
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => return Ok((text, None)),
        },
    };
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.with_context(|| format!("{} has no valid port", shown(text)))?;
    Ok((host, Some(port)))
}

/// A public address that no network of the policy contains, if there is one among a few.
fn unlisted(policy: &Policy) -> IpAddr {
    let candidates = [
        (203, 0, 113, 77),
        (198, 51, 100, 77),
        (9, 9, 9, 77),
        (77, 7, 7, 77),
    ];
    let candidates = candidates.map(|(a, b, c, d)| IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    let nets = policy
        .rules
        .iter()
        .flat_map(|rule| &rule.to)
        .filter_map(|target| match target {
            Target::Cidr(net) => Some(*net),
            _ => None,
        });
    let nets: Vec<IpNet> = nets.collect();
    let is_free = |ip: &IpAddr| {
        !nets.iter().any(|net| net.contains(ip))
            && !policy.lists.iter().any(|list| list.has_address(*ip))
    };
    candidates
        .into_iter()
        .find(is_free)
        .unwrap_or(candidates[0])
}
