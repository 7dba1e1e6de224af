//! What of a policy can't be enforced yet: refused, never ignored.

use std::io;
use std::path::Path;

use anyhow::{Result, bail};

use super::compile::{lineage_problem, max_depth, most_labels};
use super::types::policy_size;
use crate::capture::socket_diag;
use crate::notify;
use crate::policy::name_hash::MAX_LABELS;
use crate::policy::{Established, Policy, check_program};

/// # Errors
/// The rules and settings that the kernel side can't carry out, each with the reason.
pub fn check(policy: &Policy) -> Result<()> {
    let mut refused: Vec<String> = lineage_problem(policy).into_iter().collect();
    if policy.established == Established::Reset
        && let Err(e) = socket_diag::can_reset()
        // by a recorder that has dropped its rights: it has tried when it started
        && e.raw_os_error() != Some(libc::EPERM)
    {
        refused.push(format!("established: {}", cannot_reset(&e)));
    }
    if let Some(program) = policy.notify.exec.first()
        && let Err(e) = check_program(Path::new(program))
    {
        refused.push(format!("notify: {e:#}"));
    }
    if let Some(webhook) = &policy.notify.webhook
        && let Err(e) = notify::check_webhook(webhook)
    {
        refused.push(format!("notify: webhook: {e:#}"));
    }
    let most = policy_size::POLICY_EXE_DEPTH.0 as usize;
    if max_depth(policy) > most {
        refused.push(format!(
            "exe, via: a directory can have {most} levels at most"
        ));
    }
    if most_labels(policy) > MAX_LABELS {
        refused.push(format!("a name can have {MAX_LABELS} labels at most"));
    }
    if refused.is_empty() {
        return Ok(());
    }
    bail!("can't be enforced:\n  {}", refused.join("\n  "));
}

fn cannot_reset(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "this kernel can't reset connections: it takes one with \
                                   CONFIG_INET_DIAG_DESTROY (Linux 4.5), or 'alert'"
            .to_owned(),
        Some(libc::EAFNOSUPPORT) => "connections can't be reset without netlink sockets: it takes \
                                     RestrictAddressFamilies=AF_UNIX AF_NETLINK in the unit"
            .to_owned(),
        _ => format!("connections can't be reset (sock_diag): {error}"),
    }
}
