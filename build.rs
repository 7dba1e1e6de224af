//! Compiles bpf/egrets.bpf.c and generates its skeleton into OUT_DIR.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=migrations");
    let skeleton = PathBuf::from(env::var("OUT_DIR")?).join("egrets.skel.rs");
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    if arch != "x86_64" {
        return Err(format!("egrets is not ported to {arch} yet: it runs on x86_64").into());
    }
    SkeletonBuilder::new()
        .source("bpf/egrets.bpf.c")
        .clang_args([
            "-O2",
            "-Wall",
            "-Werror",
            // LLVM 20 made v4 the default, which kernels before 6.6 refuse.
            "-mcpu=v3",
            "-D__TARGET_ARCH_x86",
        ])
        .build_and_generate(&skeleton)?;
    Ok(())
}
