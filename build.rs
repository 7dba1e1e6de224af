//! Compiles bpf/egrets.bpf.c and generates its skeleton into OUT_DIR.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=migrations");
    let skeleton = PathBuf::from(env::var("OUT_DIR")?).join("egrets.skel.rs");
    let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => return Err(format!("egrets is not ported to {other} yet").into()),
    };
    SkeletonBuilder::new()
        .source("bpf/egrets.bpf.c")
        .clang_args([
            "-O2",
            "-Wall",
            "-Werror",
            // LLVM 20 made v4 the default, which kernels before 6.6 refuse.
            "-mcpu=v3",
            &format!("-D__TARGET_ARCH_{arch}"),
        ])
        .build_and_generate(&skeleton)?;
    Ok(())
}
