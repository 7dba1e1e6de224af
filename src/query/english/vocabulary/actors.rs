//! Who acted: the nouns for processes, containers, users and what started them.

use super::Words;

/// What programs do together, and no name of one: "the build".
pub const ACTIVITIES: Words = &[
    "build",
    "builds",
    "test",
    "tests",
    "testsuite",
    "pipeline",
    "pipelines",
    "ci",
    "job",
    "jobs",
    "step",
    "steps",
    "stage",
    "workflow",
    "deploy",
    "deployment",
    "release",
    "install",
    "installation",
    "installer",
    "update",
    "updates",
    "upgrade",
    "backup",
    "backups",
    "compilation",
];

/// Nouns that start a SUBJECT but not a list.
pub const SINGULAR: Words = &[
    "process",
    "program",
    "pid",
    "container",
    "image",
    "user",
    "unit",
    "service",
    "pod",
    "namespace",
];
pub const PROCESS: Words = &[
    "processes",
    "process",
    "programs",
    "program",
    "talkers",
    "apps",
    "app",
    "applications",
    "application",
    "tasks",
    "task",
    "daemons",
    "daemon",
    "software",
];
/// Executables by their paths.
pub const EXECUTABLE: Words = &[
    "executables",
    "executable",
    "binaries",
    "binary",
    "paths",
    "path",
];
pub const CONTAINER: Words = &["containers", "container"];
/// All containers, or all services.
pub const CONTAINERS: Words = &["containers"];
pub const IMAGE: Words = &["images", "image"];
pub const USER: Words = &["users", "user"];
pub const UNIT: Words = &["units", "unit", "services", "service"];
pub const SERVICE_UNITS: Words = &["services"];
pub const POD: Words = &["pods", "pod"];
pub const NAMESPACE: Words = &["namespaces", "namespace"];
pub const PID: Words = &["pid"];
pub const PIDS: Words = &["pids", "pid"];
/// Before "of" and a process.
pub const DESCENDANTS: Words = &["children", "child", "descendants", "descendant"];
/// The same without "of": "everything under make", "started by make".
pub const UNDER: Words = &["under", "below"];
pub const STARTED: Words = &["started", "spawned", "launched"];
/// "make and its children"
pub const ITS: Words = &["its", "their", "all"];
pub const COMMANDS: Words = &["commands", "command"];
pub const PARENTS: Words = &["parents", "parent"];
pub const SHELLS: Words = &["shells", "shell"];
pub const DELETED: Words = &["deleted-programs", "deleted"];
pub const UNPACKAGED: Words = &["unpackaged-programs", "unpackaged"];
pub const MODIFIED: Words = &["modified-programs", "modified"];
pub const SET_USER_ID: Words = &["setuid-programs", "setuid", "suid"];
pub const IN_WORLD_WRITABLE: Words = &["world-writable-programs", "world-writable"];
pub const OTHER_RIGHTS: Words = &["other-rights-programs"];
pub const EFFECTIVE_USER: Words = &["effective-user"];
pub const IN_DIRECTORY: Words = &["in-directory"];
/// Before a part of a command line.
pub const IN_COMMAND_LINE: Words = &["in-command-line"];
/// "not from a systemd unit"
pub const ANY_UNIT: Words = &["any-unit"];
/// What a program can be called after its name: "the ssh client".
pub const CLIENTS: Words = &[
    "client",
    "daemon",
    "tool",
    "command",
    "binary",
    "executable",
    "utility",
];
/// Before what a process did: "whatever hit x.org".
pub const WHATEVER: Words = &["whatever"];
/// Subjects that restrict nothing.
pub const ANYONE: Words = &[
    "anything",
    "anyone",
    "anybody",
    "someone",
    "somebody",
    "everyone",
    "everybody",
    "something",
    "everything",
    "we",
    "i",
    "they",
    "us",
];
