//! Compiles the BPF objects and generates their skeletons into OUT_DIR. Without the feature
//! `record` there is nothing to do: such a build needs neither clang nor libelf.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=migrations");
    #[cfg(feature = "record")]
    for object in ["egrets", "policy"] {
        skeleton(object)?;
    }
    Ok(())
}

#[cfg(feature = "record")]
fn skeleton(object: &str) -> Result<(), Box<dyn Error>> {
    use std::env;
    use std::path::PathBuf;

    use libbpf_cargo::SkeletonBuilder;

    println!("cargo:rerun-if-changed=bpf");
    let skeleton = PathBuf::from(env::var("OUT_DIR")?).join(format!("{object}.skel.rs"));
    let target = env::var("CARGO_CFG_TARGET_ARCH")?;
    // As libbpf names it, which says where a kprobe finds its arguments.
    let arch = match target.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        _ => {
            return Err(format!(
                "recording is not ported to {target}, only to x86_64 and aarch64; a build that \
                 reads histories works here: cargo build --no-default-features"
            )
            .into());
        }
    };
    // BTF has the names of files: not where they were built.
    let root = env::var("CARGO_MANIFEST_DIR")?;
    SkeletonBuilder::new()
        .source(format!("bpf/{object}.bpf.c"))
        .clang_args([
            "-O2",
            "-Wall",
            "-Werror",
            // LLVM 20 made v4 the default, which kernels before 6.6 refuse.
            "-mcpu=v3",
            &format!("-D__TARGET_ARCH_{arch}"),
            &format!("-ffile-prefix-map={root}=."),
        ])
        .build_and_generate(&skeleton)?;
    Ok(())
}
