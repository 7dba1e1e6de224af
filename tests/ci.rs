//! contrib/ci, as each forge runs it: the steps are those of its files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

use crate::support::{code, text};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ci");

/// A job's own directory, and a server that its commands reach.
struct Job {
    dir: tempfile::TempDir,
    port: u16,
}

impl Job {
    fn new() -> Job {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut client in server.incoming().map_while(Result::ok) {
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(b"HTTP/1.0 204 none\r\n\r\n");
            }
        });
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("contrib")).unwrap();
        symlink(FILES, dir.path().join("contrib/ci")).unwrap();
        let make = format!("all:\n\tcurl -s http://localhost:{port}/\n");
        fs::write(dir.path().join("Makefile"), make).unwrap();
        Job { dir, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shell(&self, script: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-eo", "pipefail", "-c", script])
            .current_dir(self.dir.path())
            .env_remove("GITHUB_OUTPUT")
            .env_remove("GITHUB_STEP_SUMMARY")
            .env("RUNNER_TEMP", self.dir.path())
            .env("EGRETS_CONFIG", "none")
            .env("INPUT_EGRETS", env!("CARGO_BIN_EXE_egrets"));
        bash
    }

    /// A step that uses the action with these inputs.
    fn action(&self, given: &[(&str, &str)], environment: &[(&str, &str)]) -> Output {
        let text = fs::read_to_string(Path::new(FILES).join("action.yml")).unwrap();
        let action: Value = serde_saphyr::from_str(&text).unwrap();
        let temp = self.dir.path().to_str().unwrap();
        let mut inputs = BTreeMap::from([("egrets", env!("CARGO_BIN_EXE_egrets"))]);
        inputs.extend(given.iter().copied());
        let expand = |value: &str| {
            let mut value = value.replace("${{ runner.temp }}", temp);
            for (name, input) in action["inputs"].as_object().unwrap() {
                let default = input["default"].as_str().unwrap_or_default();
                let default = default.replace("${{ runner.temp }}", temp);
                let input = inputs
                    .get(name.as_str())
                    .map_or(default, |v| (*v).to_owned());
                value = value.replace(&format!("${{{{ inputs.{name} }}}}"), &input);
            }
            assert!(!value.contains("${{"), "{value}");
            value
        };
        for name in inputs.keys() {
            assert!(!action["inputs"][name].is_null(), "no input {name}");
        }
        let steps = action["runs"]["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 1);
        let mut step = self.shell(steps[0]["run"].as_str().unwrap());
        step.env("GITHUB_ACTION_PATH", FILES)
            .env("GITHUB_OUTPUT", self.path("output"))
            .env("GITHUB_STEP_SUMMARY", self.path("summary"))
            .envs(environment.iter().copied());
        for (name, value) in steps[0]["env"].as_object().unwrap() {
            step.env(name, expand(value.as_str().unwrap()));
        }
        step.output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Whether a summary has curl's connection.
    fn is_reported(&self, name: &str) -> bool {
        let summary = self.read(name);
        summary.contains("curl") && summary.contains("localhost")
    }
}

#[test]
fn action_records_the_commands_of_a_step_and_keeps_their_status() {
    let job = Job::new();
    let commands = format!(
        "curl -s http://localhost:{}/ > got\ntest \"$SECRET\" = 'a \"b\"\n$c'\nexit 7",
        job.port
    );
    // what a step has in its environment is there, and inputs are no shell text
    let step = job.action(&[("run", &commands)], &[("SECRET", "a \"b\"\n$c")]);
    assert_eq!(code(&step), 7, "{}", text(&step.stderr));
    assert!(job.is_reported("summary"), "{}", job.read("summary"));
    let history = job.path("egrets.db");
    assert_eq!(
        job.read("output"),
        format!("history={}\n", history.display())
    );
    assert!(job.path("got").exists());

    let policy = job.path("policy.yaml");
    let rules = format!(
        "version: 1\ndefault: allow\nrules:\n  - {{ name: none, ports: [{}], action: block }}\n",
        job.port
    );
    fs::write(&policy, rules).unwrap();
    let second = job.path("second.db");
    let inputs = [
        ("run", &*format!("! curl -s http://localhost:{}/", job.port)),
        ("policy", policy.to_str().unwrap()),
        ("enforce", "true"),
        ("fail-on", "block"),
        ("history", second.to_str().unwrap()),
        ("baseline", history.to_str().unwrap()),
    ];
    let step = job.action(&inputs, &[]);
    assert_eq!(code(&step), 3, "{}", text(&step.stderr));
    assert!(
        job.read("summary").contains("none"),
        "{}",
        job.read("summary")
    );

    for (inputs, said) in [
        (
            [("run", "true"), ("enforce", "true")],
            "INPUT_ENFORCE needs INPUT_POLICY",
        ),
        (
            [("run", "true"), ("enforce", "yes")],
            "INPUT_ENFORCE: true or false, not yes",
        ),
        (
            [("run", ""), ("fail-on", "block")],
            "INPUT_FAIL_ON is for run alone",
        ),
    ] {
        let step = job.action(&inputs, &[]);
        assert_eq!(code(&step), 2, "{said}");
        assert!(text(&step.stderr).contains(said), "{}", text(&step.stderr));
    }
}

/// Jenkins' example, and the action without commands, record what comes between two steps.
#[test]
fn what_comes_between_start_and_stop_is_reported() {
    let job = Job::new();
    let started = job.action(&[], &[]);
    assert_eq!(code(&started), 0, "{}", text(&started.stderr));
    assert_eq!(code(&job.shell("make").output().unwrap()), 0);
    let stopped = job.action(&[("stop", "true")], &[]);
    assert_eq!(code(&stopped), 0, "{}", text(&stopped.stderr));
    assert!(job.is_reported("summary"), "{}", job.read("summary"));
    let again = job.action(&[("stop", "true")], &[]);
    assert_eq!(code(&again), 2);
    assert!(text(&again.stderr).contains("no recording was started"));

    let job = Job::new();
    let jenkins = fs::read_to_string(Path::new(FILES).join("Jenkinsfile")).unwrap();
    let lines = jenkins.lines().map(str::trim);
    let commands = lines.filter_map(|line| line.strip_prefix("sh '")?.strip_suffix('\''));
    let script = Vec::from_iter(commands).join("\n");
    assert_eq!(script.lines().count(), 3, "{script}");
    let mut step = job.shell(&script);
    let workspace = job.dir.path().to_str().unwrap();
    let variables = jenkins
        .lines()
        .filter_map(|line| line.trim().split_once(" = "));
    for (name, value) in variables {
        step.env(
            name,
            value.trim_matches('"').replace("${WORKSPACE}", workspace),
        );
    }
    let step = step.output().unwrap();
    assert_eq!(code(&step), 0, "{}", text(&step.stderr));
    assert!(job.is_reported("egrets.md"));
}

#[test]
fn gitlab_example_records_its_job() {
    let job = Job::new();
    let file = fs::read_to_string(Path::new(FILES).join("gitlab-ci.yml")).unwrap();
    let file: Value = serde_saphyr::from_str(&file).unwrap();
    let recorded = &file["recorded"];
    let commands = recorded["script"].as_array().unwrap().iter();
    let script = Vec::from_iter(commands.map(|line| line.as_str().unwrap())).join("\n");
    let mut step = job.shell(&script);
    let directory = job.dir.path().to_str().unwrap();
    for (name, value) in recorded["variables"].as_object().unwrap() {
        step.env(
            name,
            value
                .as_str()
                .unwrap()
                .replace("$CI_PROJECT_DIR", directory),
        );
    }
    let step = step.output().unwrap();
    assert_eq!(code(&step), 0, "{}", text(&step.stderr));
    assert!(job.is_reported("egrets.md"), "{}", job.read("egrets.md"));
}

#[test]
fn program_is_downloaded_only_with_its_checksum() {
    let job = Job::new();
    let release = job.path("release");
    fs::create_dir(&release).unwrap();
    let name = format!("egrets-{}", std::env::consts::ARCH);
    symlink(env!("CARGO_BIN_EXE_egrets"), release.join(&name)).unwrap();
    let run = |sums: &str| {
        fs::write(release.join("SHA256SUMS"), sums).unwrap();
        job.shell("contrib/ci/egrets.sh run")
            .env_remove("INPUT_EGRETS")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("INPUT_DOWNLOAD", format!("file://{}", release.display()))
            .env("INPUT_RUN", "echo recorded")
            .output()
            .unwrap()
    };
    let sum = Command::new("sha256sum")
        .arg(release.join(&name))
        .output()
        .unwrap();
    let sum = text(&sum.stdout).split(' ').next().unwrap().to_owned();
    let right = format!("{sum}  {name}\n");
    for wrong in [
        format!("{}  {name}\n", "0".repeat(64)),
        format!("{sum}  another\n"),
        format!("{right}{right}"),
        String::new(),
    ] {
        let refused = run(&wrong);
        assert_eq!(code(&refused), 2, "{wrong}");
        assert!(
            text(&refused.stderr).contains("checksum"),
            "{}",
            text(&refused.stderr)
        );
    }
    let recorded = run(&right);
    assert_eq!(code(&recorded), 0, "{}", text(&recorded.stderr));
    assert!(text(&recorded.stdout).contains("recorded\n"));
}
