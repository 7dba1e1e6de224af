//! A file for node_exporter's textfile collector.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Refuses a file that other users could replace, or that can't be written.
///
/// # Errors
///
/// That it is one.
pub fn check_metrics_file(path: &Path) -> Result<()> {
    let shown = path.display();
    ensure!(
        path.file_name().is_some() && !path.is_dir(),
        "--metrics-file {shown} is not the name of a file"
    );
    let dir = directory(path);
    let meta = fs::metadata(dir)
        .with_context(|| format!("--metrics-file: the directory {}", dir.display()))?;
    let own = rustix::process::geteuid().as_raw();
    ensure!(
        meta.uid() == own && meta.mode() & 0o022 == 0,
        "--metrics-file {shown}: its directory has to be yours alone to write, as egrets has no right to \
         others' while it records: 'install -d -m 755 DIR' makes one, which node_exporter reads with \
         --collector.textfile.directory=DIR"
    );
    tempfile::Builder::new().tempfile_in(dir).with_context(|| {
        format!(
            "--metrics-file: no file can be written in {}",
            dir.display()
        )
    })?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    dir.unwrap_or(Path::new("."))
}

/// Readers see the whole of one text or of the next.
///
/// # Errors
///
/// A full disk, for example.
pub fn write_metrics_file(path: &Path, text: &str) -> Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".egrets-metrics-")
        .tempfile_in(directory(path))?;
    file.write_all(text.as_bytes())?;
    // It has nothing of who talked to whom.
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
