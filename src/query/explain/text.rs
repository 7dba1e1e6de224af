//! An explanation for people: a line or a few for each part of it.

use std::fmt::Display;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use chrono::{DateTime, TimeZone};

use super::Explanation;
use super::row::Row;
use super::unnamed::{Flaw, Reason, Unnamed};
use crate::human;
use crate::query::cell::SHORT_ID;
use crate::query::clock::Clock;
use crate::query::table::{Align, Table};
use crate::text::{clip, printable};

/// Characters of a command line that are shown.
const CMDLINE: usize = 200;
/// Characters of a record's data that are shown: an answer's are up to 64 KiB.
const DATA: usize = 200;

impl Explanation {
    /// Writes it, times in the zone of `now`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn text<Tz: TimeZone>(&self, now: &DateTime<Tz>, out: &mut dyn Write) -> Result<()>
    where
        Tz::Offset: Display,
    {
        let mut clock = Clock::new(now);
        // The zone of all times stands once, beside the first of them.
        for row in self.times() {
            time(row, &mut clock);
        }
        let mut page = Page { out };
        self.connection(&mut page, &mut clock)?;
        match &self.unnamed {
            Some(unnamed) => self.no_name(unnamed, &mut page, &mut clock),
            None => self.name(&mut page, &mut clock),
        }
    }

    /// Every row that has a time.
    fn times(&self) -> impl Iterator<Item = &Row> {
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
            older(c).map(str::to_owned),
        ];
        page.more(&join(parts))?;
        let user = c.text("user").or_else(|| c.text("uid"));
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
                container.map(|name| format!("container {name}")),
                c.text("exe"),
            ]),
        )?;
        if let Some(cmdline) = c.text("cmdline") {
            page.more(&clip(&cmdline, CMDLINE))?;
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
            &format!("{source}: {}", in_words(&source, contained)),
        )?;
        if matches!(source.as_str(), "container" | "netns" | "host") {
            page.more(
                "it counts as the same user, root or a system service asked, or as one of the \
                 host's own resolvers answered",
            )?;
        }
        if let Some(ms) = c.int("host_age_ms") {
            page.item("age", &self.age(ms))?;
        }
        match &self.lookup {
            Some(lookup) => self.lookup(lookup, page, clock)?,
            None if source == "hosts" => page.item("query", "none: nothing was looked up")?,
            None if self.has_evidence() => page.item(
                "query",
                "not recorded: it was left out (--exclude), or another process than those that \
                 were recorded asked",
            )?,
            None => page.item("query", "not known")?,
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
            true => ", and past its time to live (applications cache longer)",
            false => "",
        };
        format!("the answer was {age} old when the connection began{expired}")
    }

    /// The question, who asked it whom, and the records that lead to the address.
    fn lookup<Tz: TimeZone>(
        &self,
        lookup: &Row,
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
        page.more(&format!("asked by {}", asker(lookup)))?;
        page.more(&format!(
            "{}, of {} over {}, lookup {}",
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
            page.item("answer", "no record of it leads to this address")?;
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
                "none: that source had no other name for the address",
            );
        }
        let names = human::count(n, "other name", "other names");
        page.item(
            "rivals",
            &match source {
                "hosts" => format!("{names} for the address in that file, after this one"),
                _ => format!("{names} for the address from that source"),
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
                    rival.lookup.as_ref().map(asker),
                ]
            });
            page.table("", ["NAME", "LOOKED UP", "ASKED BY"], rivals)?;
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
        page.item("why", &why(unnamed.reason, &ip))?;
        if !unnamed.others.is_empty() {
            let n = unnamed.total;
            page.item(
                "answers",
                &format!(
                    "{} gave {ip}, and {} for this connection",
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
                    Some(asker(&other.lookup)),
                    Some(counts_not(other.flaw).to_owned()),
                ]
            });
            page.table("", ["NAME", "LOOKED UP", "ASKED BY", "BUT"], others)?;
            let more = n - unnamed.others.len() as i64;
            if more > 0 {
                page.more(&format!("and {more} more"))?;
            }
        }
        if unnamed.lost > 0 {
            page.item(
                "lost",
                &format!(
                    "{} before it, in the same recording: an answer may have been among them",
                    human::count(unnamed.lost, "DNS event", "DNS events")
                ),
            )?;
        }
        Ok(())
    }
}

/// The page that is written to: a key at the left, and what belongs to it.
struct Page<'a> {
    out: &'a mut dyn Write,
}

/// Columns that a key takes.
const KEY: usize = 12;

impl Page<'_> {
    fn item(&mut self, key: &str, text: &str) -> Result<()> {
        writeln!(self.out, "{key:KEY$} {}", printable(text))?;
        Ok(())
    }

    fn more(&mut self, text: &str) -> Result<()> {
        self.item("", text)
    }

    fn table<const N: usize>(
        &mut self,
        key: &str,
        titles: [&str; N],
        rows: impl Iterator<Item = [Option<String>; N]>,
    ) -> Result<()> {
        let mut table = Table::new(titles.map(|title| (title.to_owned(), Align::Whole)));
        rows.for_each(|row| table.push(row));
        let mut lines = Vec::new();
        table.write(None, &mut lines)?;
        let mut key = key;
        for line in String::from_utf8_lossy(&lines).lines() {
            // The table has escaped its cells already.
            writeln!(self.out, "{key:KEY$} {line}")?;
            key = "";
        }
        Ok(())
    }
}

/// What a `host_source` means.
fn in_words(source: &str, contained: bool) -> &'static str {
    match source {
        "process" => "the process itself had asked for this name",
        "ancestor" => "a process that it descends from had asked for this name",
        "container" if contained => "somebody in its container had asked for this name",
        "container" => "somebody in its cgroup had asked for this name",
        "netns" => "somebody in its network namespace had asked for this name",
        "host" => "somebody on this host had asked for this name",
        "hosts" => "the file /etc/hosts, as the process sees it, has this name for the address",
        _ => "a source that this egrets does not know",
    }
}

fn why(reason: Reason, ip: &str) -> String {
    match reason {
        Reason::AlreadyOpen => {
            "the connection is older than the recording, which did not see what was looked up \
             for it"
                .to_owned()
        }
        Reason::Multicast => "a multicast group is dialled by its address".to_owned(),
        Reason::DnsServer => {
            "a DNS server is dialled by its address; only its process' own lookups would name it"
                .to_owned()
        }
        Reason::Others => {
            format!("no answer that counts gave {ip}; those that did are the following")
        }
        Reason::NoAnswer => format!(
            "no answer in this history gave {ip} to anybody: the address itself was dialled, or \
             it was learnt in a way that egrets does not see"
        ),
    }
}

/// Why an answer does not count.
fn counts_not(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Unsolicited => "it fits no query of its socket",
        Flaw::Error => "its rcode is an error",
        Flaw::Later => "it came after the connection began",
        Flaw::EarlierRecording => "it was in an earlier recording",
        Flaw::Sinkhole => "such an address counts for its own process alone",
        Flaw::OtherContainer => "it counts in that container alone",
        Flaw::Forgotten => {
            "that was another process with this pid, or it was forgotten (--max-names)"
        }
        Flaw::NotTrusted => {
            "that process' word does not count here: another user's, from a resolver that is \
             not the host's own, or from another container"
        }
    }
}

fn older(connection: &Row) -> Option<&'static str> {
    let older = connection.int("already_open") == Some(1);
    older.then_some(match connection.text("protocol").as_deref() {
        Some("udp") => "of a socket older than the recording",
        _ => "older than the recording, which found it then",
    })
}

/// Who asked.
fn asker(lookup: &Row) -> String {
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

fn time<Tz: TimeZone>(row: &Row, clock: &mut Clock<Tz>) -> String
where
    Tz::Offset: Display,
{
    let iso = row.text("time").unwrap_or_default();
    clock.show(&iso, "%H:%M:%S%.3f")
}

/// An address and a port.
fn endpoint(row: &Row, ip: &str, port: &str) -> String {
    let ip = row.text(ip).unwrap_or("an unknown destination".into());
    let Some(port) = row.int(port) else {
        return ip; // a protocol without ports
    };
    match (ip.parse::<IpAddr>(), u16::try_from(port)) {
        (Ok(ip), Ok(port)) => SocketAddr::new(ip, port).to_string(),
        _ => format!("{ip}:{port}"),
    }
}
