//! The C types of bpf/policy.h as the bytes that maps hold.

use super::types;

macro_rules! plain {
    ($($name:ident),*) => {$(
        // SAFETY: generated from the C struct of bpf/policy.h, #[repr(C)], made of integers and
        // arrays of them alone, so any bytes are a valid value.
        unsafe impl plain::Plain for types::$name {}
    )*};
}
plain!(
    policy_settings,
    policy_mask,
    policy_user_key,
    policy_exe_key,
    policy_class_key,
    policy_ports,
    policy_cidr_key,
    policy_cgroup,
    policy_process,
    policy_name_key,
    policy_name,
    policy_grant_key,
    policy_grant,
    policy_seen_name,
    policy_query,
    policy_alias,
    policy_stream,
    policy_order_key,
    policy_lineage,
    policy_comm,
    policy_pattern_key
);

pub fn plain_bytes<T: plain::Plain>(value: &T) -> &[u8] {
    // SAFETY: these types have no padding: bpf/policy.h names each gap.
    unsafe { plain::as_bytes(value) }
}
