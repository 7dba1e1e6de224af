//! An explanation as text: one or more lines for each part.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use chrono::{DateTime, TimeZone};

use super::Explanation;
use super::page::Page;
use super::row::ViewRow;
use super::unnamed::Unnamed;
use super::wording::{already_open, flaw, reason, source_meaning};
use crate::human;
use crate::query::format::{Clock, SHORT_ID};
use crate::text::clip;

/// Columns of a command line that are shown.
const CMDLINE: usize = 200;
/// Columns of a record's data that are shown, which can be up to 64 KiB.
const DATA: usize = 200;

impl Explanation {
    /// Writes it with times in the zone of `now`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn text<Tz: TimeZone>(&self, now: &DateTime<Tz>, out: &mut dyn Write) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let mut clock = Clock::new(now);
        // The zone is shown once, next to the first time, and depends on all of them.
        for row in self.times() {
            time(row, &mut clock);
        }
        let mut page = Page::new(out);
        self.connection(&mut page, &mut clock)?;
        match &self.unnamed {
            Some(unnamed) => self.no_name(unnamed, &mut page, &mut clock),
            None => self.name(&mut page, &mut clock),
        }?;
        self.sent_names(&mut page)
    }

    /// What the connection says itself.
    fn sent_names(&self, page: &mut Page<'_>) -> Result<()> {
        let c = &self.connection;
        let host = c.text("host");
        let sni = c.text("sni");
        let asked = sni.as_ref().map(|sni| format!("asked for {sni}"));
        let offered = c.text("alpn").map(|alpn| format!("offered {alpn}"));
        if asked.is_some() || offered.is_some() {
            page.item("tls", &join([asked, offered]))?;
        }
        if c.int("sni_ech") == Some(1) {
            page.more(
                "with an encrypted name (ECH), or a pretence of it: the clear one may be its \
                 provider's",
            )?;
        } else if let (Some(sni), Some(host)) = (&sni, &host)
            && sni != host
        {
            page.more("which is another name than the one that was looked up")?;
        }
        if let Some(http) = c.text("http_host") {
            page.item("http", &format!("asked for {http}"))?;
        }
        if let Some(proxied) = c.text("proxied_host") {
            let port = c.text("proxied_port").unwrap_or_default();
            page.item(
                "proxy",
                &format!("was asked to connect to {proxied}, port {port}"),
            )?;
        }
        Ok(())
    }

    /// Every row that has a time.
    fn times(&self) -> impl Iterator<Item = &ViewRow> {
        let rivals = self.rivals.iter().filter_map(|rival| rival.lookup.as_ref());
        let others = self.unnamed.iter().flat_map(|unnamed| &unnamed.others);
        [&self.connection]
            .into_iter()
            .chain(&self.lookup)
            .chain(rivals)
            .chain(others.map(|other| &other.lookup))
    }

    fn connection<Tz: TimeZone>(&self, page: &mut Page<'_>, clock: &mut Clock<Tz>) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let c = &self.connection;
        let known = |column| c.text(column).unwrap_or_default();
        let errno = c.text("errno").map(|errno| format!(" ({errno})"));
        page.item(
            "connection",
            &format!(
                "{} to {} over {} ({}), {}{}",
                known("id"),
                endpoint(c, "dst_ip", "dst_port"),
                known("protocol"),
                known("dst_scope"),
                known("outcome"),
                errno.unwrap_or_default()
            ),
        )?;
        let bytes = |column| c.int(column).map(human::bytes);
        let parts = [
            Some(format!("{} ({})", time(c, clock), clock.zone())),
            bytes("tx_bytes").map(|sent| format!("sent {sent}")),
            bytes("rx_bytes").map(|received| format!("received {received}")),
            c.int("duration_us").map(human::duration),
            already_open(c).map(str::to_owned),
        ];
        page.more(&join(parts))?;
        let place = [
            c.text("dst_ipv4").map(|ip| format!("by NAT64 to {ip}")),
            c.text("dst_country").map(|code| format!("in {code}")),
            c.text("dst_asn").map(|number| match c.text("dst_as_org") {
                Some(name) => format!("AS{number} ({name})"),
                None => format!("AS{number}"),
            }),
        ];
        if place.iter().any(Option::is_some) {
            page.more(&join(place))?;
        }
        let user = c.text("user").or_else(|| c.text("uid"));
        let acting = c.text("euser").or_else(|| c.text("euid"));
        let acting = acting.filter(|_| c.int("euid") != c.int("uid"));
        let short_id = |id: String| id.chars().take(SHORT_ID).collect();
        let container = c
            .text("container_name")
            .or_else(|| c.text("container_id").map(short_id));
        page.item(
            "process",
            &join([
                Some(known("comm")),
                Some(format!("pid {}", known("pid"))),
                user.map(|user| format!("user {user}")),
                acting.map(|user| format!("with the rights of {user}")),
                container.map(|name| format!("container {name}")),
                c.text("exe"),
            ]),
        )?;
        if let Some(cmdline) = c.text("cmdline") {
            page.more(&clip(&cmdline, CMDLINE))?;
        }
        self.executable(page)
    }

    /// What was found out about the process' executable.
    fn executable(&self, page: &mut Page<'_>) -> Result<()> {
        let c = &self.connection;
        let Some(status) = c.text("exe_hash_status") else {
            return Ok(());
        };
        let hash = match c.text("exe_sha256") {
            Some(sha256) => format!("SHA-256 {sha256}"),
            None => format!("no hash: {status}"),
        };
        page.item("executable", &hash)?;
        let package = c.text("package").map(|name| {
            let version = c.text("package_version").unwrap_or_default();
            format!("of the package {name} {version}")
                .trim_end()
                .to_owned()
        });
        let is = |column, text: &str| (c.int(column) == Some(1)).then(|| text.to_owned());
        let facts = [
            package.or_else(|| (c.int("exe_packaged") == Some(0)).then(|| "of no package".into())),
            is("exe_modified", "not as the package installed it"),
            is("exe_setuid", "set-user-ID"),
            is(
                "exe_world_writable_dir",
                "in a directory that any user can write to",
            ),
            is("exe_deleted", "deleted or replaced"),
        ];
        if facts.iter().any(Option::is_some) {
            page.more(&join(facts))?;
        }
        Ok(())
    }

    fn name<Tz: TimeZone>(&self, page: &mut Page<'_>, clock: &mut Clock<Tz>) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let c = &self.connection;
        page.item("name", &c.text("host").unwrap_or_default())?;
        let source = c.text("host_source").unwrap_or_default();
        let contained = c.text("container_id").is_some();
        page.item(
            "source",
            &format!("{source}: {}", source_meaning(&source, contained)),
        )?;
        if matches!(source.as_str(), "container" | "netns" | "host") {
            page.more(
                "it is trusted because the same user, root or a system service looked it up, or one of \
                 the host's resolvers answered",
            )?;
        }
        if let Some(ms) = c.int("host_age_ms") {
            page.item("age", &self.age(ms))?;
        }
        match &self.lookup {
            Some(lookup) => self.lookup(lookup, page, clock)?,
            None if source == "hosts" => page.item("query", "none: nothing was looked up")?,
            None if source == "sni" => page.item("query", "none was seen for this name")?,
            None => page.item(
                "query",
                "not recorded: it was excluded (--exclude), or made by a process that was not \
                 recorded",
            )?,
        }
        self.show_rivals(&source, page, clock)
    }

    fn age(&self, ms: i64) -> String {
        let age = match ms {
            0 => "less than 1ms".to_owned(),
            ms => human::duration(ms.saturating_mul(1000)),
        };
        let expired = self
            .answers
            .iter()
            .any(|a| a.leads && a.expired == Some(true));
        let expired = match expired {
            true => ", and its time to live had passed (applications cache longer)",
            false => "",
        };
        format!("the answer was {age} old when the connection began{expired}")
    }

    /// The query, its requester and server, and the records that lead to the address.
    fn lookup<Tz: TimeZone>(
        &self,
        lookup: &ViewRow,
        page: &mut Page<'_>,
        clock: &mut Clock<Tz>,
    ) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let known = |column| lookup.text(column).unwrap_or_default();
        let latency = lookup.int("latency_us").map(human::duration);
        let latency = latency.map(|latency| format!(" {} in {latency}", known("rcode")));
        page.item(
            "query",
            &format!(
                "{} {}, {}{}",
                known("qtype"),
                known("qname"),
                known("status"),
                latency.unwrap_or_default()
            ),
        )?;
        page.more(&format!("by {}", requester(lookup)))?;
        page.more(&format!(
            "{}, to {} over {}, lookup {}",
            time(lookup, clock),
            endpoint(lookup, "server_ip", "server_port"),
            known("transport"),
            known("id")
        ))?;
        let (way, beside): (Vec<_>, Vec<_>) = self.answers.iter().partition(|a| a.leads);
        let titles = ["NAME", "TYPE", "DATA", "TTL"];
        let records = way.iter().map(|answer| {
            let ttl = answer.record.int("ttl").unwrap_or_default();
            let expired = match answer.expired {
                Some(true) => " s, expired",
                _ => " s",
            };
            let data = answer.record.text("data");
            [
                answer.record.text("name"),
                answer.record.text("type"),
                data.map(|data| clip(&data, DATA).into_owned()),
                Some(format!("{ttl}{expired}")),
            ]
        });
        if way.is_empty() {
            page.item("answer", "none of its records leads to this address")?;
        } else {
            page.table("answer", titles, records)?;
        }
        if !beside.is_empty() {
            page.more(&format!(
                "and {} that {} to this address",
                human::count(beside.len() as i64, "record", "records"),
                if beside.len() == 1 {
                    "does not lead"
                } else {
                    "do not lead"
                },
            ))?;
        }
        Ok(())
    }

    fn show_rivals<Tz: TimeZone>(
        &self,
        source: &str,
        page: &mut Page<'_>,
        clock: &mut Clock<Tz>,
    ) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let n = self.connection.int("host_rivals").unwrap_or_default();
        if n == 0 {
            return page.item(
                "rivals",
                "none: this source had no other name for the address",
            );
        }
        let names = human::count(n, "other name", "other names");
        page.item(
            "rivals",
            &match source {
                "hosts" => format!("{names} for the address, later in that file"),
                "sni" => format!("{names} for the address, from lookups or /etc/hosts"),
                _ => format!("{names} for the address from this source"),
            },
        )?;
        if source == "hosts" {
            for rival in &self.rivals {
                page.more(&rival.host.text("host").unwrap_or_default())?;
            }
        } else if !self.rivals.is_empty() {
            let rivals = self.rivals.iter().map(|rival| {
                [
                    rival.host.text("host"),
                    rival.lookup.as_ref().map(|row| time(row, clock)),
                    rival.lookup.as_ref().map(requester),
                ]
            });
            page.table("", ["NAME", "LOOKED UP", "QUERIED BY"], rivals)?;
        }
        let kept = self.rivals.len() as i64;
        if n > kept {
            let kept = if kept == 0 { "" } else { "and " };
            page.more(&format!("{kept}{} more", n - self.rivals.len() as i64))?;
        }
        Ok(())
    }

    fn no_name<Tz: TimeZone>(
        &self,
        unnamed: &Unnamed,
        page: &mut Page<'_>,
        clock: &mut Clock<Tz>,
    ) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let ip = self.connection.text("dst_ip").unwrap_or_default();
        page.item("name", "none")?;
        page.item("why", &reason(unnamed.reason, &ip))?;
        if !unnamed.others.is_empty() {
            let n = unnamed.total;
            page.item(
                "answers",
                &format!(
                    "{} contained {ip}, but {} for this connection",
                    human::count(n, "answer", "answers"),
                    if n == 1 {
                        "does not count"
                    } else {
                        "none counts"
                    }
                ),
            )?;
            let others = unnamed.others.iter().map(|other| {
                [
                    other.lookup.text("qname"),
                    Some(time(&other.lookup, clock)),
                    Some(requester(&other.lookup)),
                    Some(flaw(other.flaw).to_owned()),
                ]
            });
            page.table("", ["NAME", "LOOKED UP", "QUERIED BY", "BUT"], others)?;
            let more = n - unnamed.others.len() as i64;
            if more > 0 {
                page.more(&format!("and {more} more"))?;
            }
        }
        if unnamed.lost > 0 {
            page.item(
                "lost",
                &format!(
                    "{} earlier in the same recording, possibly including an answer",
                    human::count(unnamed.lost, "DNS event", "DNS events")
                ),
            )?;
        }
        Ok(())
    }
}

/// The process that sent the query.
fn requester(lookup: &ViewRow) -> String {
    join([
        lookup.text("comm"),
        lookup.text("pid").map(|pid| format!("pid {pid}")),
        lookup
            .text("container_name")
            .map(|name| format!("container {name}")),
        lookup.text("exe"),
    ])
}

fn join<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn time<Tz: TimeZone>(row: &ViewRow, clock: &mut Clock<Tz>) -> String
where
    Tz::Offset: Display,
{
    let iso = row.text("time").unwrap_or_default();
    clock.show(&iso, "%H:%M:%S%.3f")
}

/// An address and a port.
fn endpoint(row: &ViewRow, ip: &str, port: &str) -> String {
    let ip = row.text(ip).unwrap_or("an unknown destination".into());
    let Some(port) = row.int(port) else {
        return ip; // a protocol without ports
    };
    match (ip.parse::<IpAddr>(), u16::try_from(port)) {
        (Ok(ip), Ok(port)) => SocketAddr::new(ip, port).to_string(),
        _ => format!("{ip}:{port}"),
    }
}
