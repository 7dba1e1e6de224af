//! Reads metrics as Prometheus does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

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
