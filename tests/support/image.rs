//! A root directory for containers as a tar file, without a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{dial, ok};

/// busybox, dial and these programs, with their libraries.
pub fn tar(dir: &Path, programs: &[&str]) -> PathBuf {
    let root = dir.join("root");
    let copy = |from: &Path| {
        let to = root.join(from.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    };
    for empty in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(empty)).unwrap();
    }
    let dial = dial();
    fs::copy(&dial, root.join("bin/dial")).unwrap();
    copy(Path::new("/bin/busybox"));
    for program in programs {
        copy(Path::new(program));
    }
    for program in [dial.to_str().unwrap()].iter().chain(programs) {
        for word in ok(Command::new("ldd").arg(program)).split_whitespace() {
            if word.starts_with('/') {
                copy(Path::new(word));
            }
        }
    }
    let tar = dir.join("image.tar");
    ok(Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(&tar)
        .arg("."));
    tar
}
