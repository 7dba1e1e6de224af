//! An example of a file: every option with its help, all of them comments.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use super::options::{options, sections, toml};

/// Columns of a comment.
const WIDTH: usize = 98;

const HEAD: &str = "\
# Options of egrets: /etc/egrets/egrets.toml. What is set here holds for each run that does not
# say otherwise: the command line counts most, then the environment, as EGRETS_KEEP for --keep,
# then the files in conf.d beside this one, by their names, then this file, then the default.
# 'egrets config check' reads it, 'egrets config show' says what holds and where it comes from.
# 'systemctl reload egrets' has the recorder read it again.
";

/// What an option without a default could be set to.
fn sample(command: &str, option: &str) -> &'static [&'static str] {
    match (command, option) {
        (_, "for") => &["1h"],
        (_, "format") => &["classic"],
        (_, "log-to") => &["journald"],
        ("watch" | "record", "json") => &["ecs"],
        (_, "show") => &["to public IPs"],
        (_, "hide") => &["to port 123"],
        (_, "exclude") => &["loopback", "10.0.0.0/8"],
        (_, "dns-port") => &["5300"],
        (_, "geo") => &[
            "/usr/share/GeoIP/GeoLite2-Country.mmdb",
            "/usr/share/GeoIP/GeoLite2-ASN.mmdb",
        ],
        (_, "policy") => &["/etc/egrets/policy.yaml"],
        (_, "dump-dir") => &["/var/lib/egrets/dumps"],
        (_, "db") => &["/var/lib/egrets/egrets.db"],
        ("record", "keep") => &["30d"],
        ("record", "keep-summary") => &["365d"],
        ("record", "max-size") => &["8G"],
        ("record", "group") => &["adm"],
        ("record", "metrics-file") => &["/var/lib/prometheus/node-exporter/egrets.prom"],
        ("record", "fail-on") => &["block"],
        ("alert", "if") => &["raw IPs", "new hosts by unit nginx.service"],
        ("alert", "exec") => &["/usr/local/bin/alert"],
        ("alert", "webhook") => &["https://alerts.example.com/egrets"],
        ("alert", "webhook-headers") => &["/etc/egrets/webhook.headers"],
        ("alert", "webhook-ca") => &["/etc/egrets/webhook-ca.pem"],
        ("ship", "to") => &["s3://bucket/egress"],
        ("ship", "since") => &["2026-11-23"],
        ("ship", "machine") => &["web-1"],
        ("ship", "label") => &["cluster=prod", "role=web"],
        ("ship", "metrics-file") => &["/var/lib/egrets-metrics/ship.prom"],
        ("serve", "socket") => &["/run/egrets.sock"],
        ("serve", "token-file") => &["/etc/egrets/token"],
        _ => &[],
    }
}

/// The text of the example.
pub fn example(program: &Command) -> String {
    let mut out = HEAD.to_owned();
    for command in sections(program) {
        let _ = write!(out, "\n[{}]\n", command.get_name());
        for (name, arg) in options(command) {
            for line in comment(arg) {
                let _ = writeln!(out, "# {line}");
            }
            let _ = writeln!(out, "#{name} = {}\n", toml(arg, &value(command, name, arg)));
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn value(command: &Command, name: &str, arg: &Arg) -> Vec<String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return vec!["true".to_owned()];
    }
    let defaults = arg.get_default_values().iter();
    let defaults = Vec::from_iter(defaults.map(|value| value.to_string_lossy().into_owned()));
    match defaults.is_empty() {
        true => sample(command.get_name(), name)
            .iter()
            .map(|word| (*word).to_owned())
            .collect(),
        false => defaults,
    }
}

/// The help of an option in lines.
fn comment(arg: &Arg) -> Vec<String> {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values = arg.get_possible_values();
    let shown = values.iter().filter(|value| !value.is_hide_set());
    let names = Vec::from_iter(shown.map(clap::builder::PossibleValue::get_name));
    if !names.is_empty() && !matches!(arg.get_action(), ArgAction::SetTrue) {
        let _ = write!(text, " [{}]", names.join(", "));
    }
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
