//! Reads metrics as Prometheus does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// How many expressions of contrib/grafana are about a history, or about a recording. All of their
/// names and labels have to be in these metrics, which [`read_metrics`] has read.
pub fn found_by_dashboard(metrics: &str, of_history: bool) -> usize {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/grafana/egrets.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut found = 0;
    for expression in targets.map(|target| target["expr"].as_str().unwrap()) {
        let name = &expression[expression.find("egrets_").unwrap()..];
        let (name, selector) = name.split_once('{').unwrap();
        if name.starts_with("egrets_history_") != of_history {
            continue;
        }
        let sample = metrics
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let sample = sample.unwrap_or_else(|| panic!("{expression}:\n{metrics}"));
        let selector = selector.split('}').next().unwrap();
        let selected = selector
            .split(',')
            .map(|pair| pair.split(['=', '!']).next().unwrap());
        let grouped = expression
            .split_once("by (")
            .map(|(_, rest)| rest.split(')').next().unwrap());
        for label in selected.chain(grouped.into_iter().flat_map(|labels| labels.split(", "))) {
            // Prometheus itself adds the instance.
            let is_there = label == "instance" || sample.contains(&format!("{label}="));
            assert!(is_there, "{expression}: no {label} in {sample}");
        }
        found += 1;
    }
    found
}

/// What Prometheus' own library for Python reads of the format `openmetrics` or `prometheus`: a line a
/// sample.
pub fn read_metrics(text: &str, format: &str) -> String {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let script = "import sys, importlib
parser = importlib.import_module('prometheus_client.' + ('openmetrics.' if sys.argv[1] == 'openmetrics' else '') + 'parser')
for family in parser.text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type != 'unknown', family
    for s in family.samples:
        print(s.name, ','.join(f'{k}={v}' for k, v in sorted(s.labels.items())), float(s.value))";
    let mut python = Command::new(tools.join("python/bin/python"))
        .args(["-c", script, format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("scripts/tools.sh makes this environment");
    let mut input = python.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap()
}
