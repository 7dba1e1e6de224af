//! The view `egress`.

use super::{ColumnDef, RowContext, connection, process, sql};
use crate::model::{Container, ExeView, Process, dst_scope, errno_name, nat64_ipv4};
use crate::when::iso;

const AS_EXE: &str = "as `exe`";
const AS_DST_IP: &str = "as `dst_ip`";
const AS_HOST: &str = "as `host`";
const NO_CONTAINER: &str = "no container; not reported";

fn outer(process: &Process) -> Option<&Container> {
    process.container.as_deref()?.outer.as_deref()
}

fn start_ts(process: &Process, context: &RowContext) -> i64 {
    context.run.start_ts(process.start_ns)
}

/// When what was found out about an executable is NULL.
const AS_HASH: &str = "not known, as `exe_hash_status` may say";

/// When what files say of addresses is NULL.
const NO_GEO: &str =
    "recorded without `--geo`; `dst_scope` is not `public`; the file does not have it";

pub const EGRESS: &[ColumnDef] = &[
    connection("id", "integer", |c, x| {
        x.run.connection_id(c.number).into()
    })
    .doc("ascends over all recordings"),
    connection("time", "text", |c, _| iso(c.ts).into())
        .time_of("ts")
        .doc("of the attempt, or of the flow's first packet"),
    connection("ts", "integer, ns", |c, _| c.ts.into())
        .stored()
        .doc("the same"),
    process("pid", "integer", |p, _| p.pid.into())
        .stored()
        .doc(
            "process (thread group), in the initial pid namespace. 0, with the `comm` `unknown`: none \
             of the connection is known ([limitations](limitations.md#loss))",
        ),
    connection("tid", "integer", |c, _| c.tid.into())
        .updated()
        .doc("its thread that connected or sent; 0 likewise"),
    process("comm", "text", |p, _| (&p.comm).into())
        .stored()
        .doc("short name of the process (of its main thread), 15 bytes at most"),
    process("exe", "text", |p, _| p.exe.as_deref().into())
        .stored()
        .doc(
            "path of the executable from the root of the mount namespace that its mount is in; \
             `exe_view` tells which one. It begins with `…/` where its beginning is not known, and \
             is `/memfd:NAME (deleted)` for a program that was run from memory",
        )
        .null("not known: the start of the process was not seen, and it ended before it could be looked up"),
    process("cmdline", "text", |p, _| p.cmdline.as_deref().into())
        .stored()
        .doc(
            "its arguments, separated by spaces; truncated after 4096 bytes, with `…` at the end; \
             with `--no-args` the program alone",
        )
        .null("as `exe`; kernel threads"),
    process("uid", "integer", |p, _| p.uid.into())
        .stored()
        .doc(
            "real user id, in the initial user namespace: of the user who started it. Whose rights it \
             has is `euid`",
        ),
    process("user", "text", |p, _| p.user.as_deref().into())
        .stored()
        .doc("its name in `/etc/passwd`")
        .null("it has none there"),
    process("ppid", "integer", |p, _| p.ppid.into())
        .stored()
        .doc("parent process")
        .null(AS_EXE),
    process("parent_comm", "text", |p, _| p.parent_comm.as_deref().into())
        .stored()
        .doc("the parent's short name")
        .null(AS_EXE),
    connection("protocol", "text", |c, _| c.protocol.as_str().into())
        .doc("`tcp`, `udp`, `icmp` and so on: [below](#protocols)"),
    connection("family", "integer", |c, _| {
        c.dst_ip().map(|ip| if ip.is_ipv4() { 4_u16 } else { 6 }).into()
    })
    .doc("4 or 6, of the destination")
    .null(AS_DST_IP),
    connection("src_ip", "text", |c, _| {
        c.src.map(|src| src.ip.to_string()).into()
    })
    .doc("local address; for TCP, before any NAT")
    .null("TCP attempts that are undecided, or failed before they had one"),
    connection("src_port", "integer", |c, _| c.src_port().into())
        .updated()
        .doc("local port, likewise")
        .null("as `src_ip`; protocols without ports"),
    connection("dst_ip", "text", |c, _| {
        c.dst_ip().map(|ip| ip.to_string()).into()
    })
    .doc(
        "destination as the process named it, before any NAT; IPv4-mapped IPv6 addresses as IPv4. \
         Protocols other than TCP and UDP: as in the packet, after NAT",
    )
    .null("a frame whose destination is unknown"),
    connection("dst_port", "integer", |c, _| c.dst_port().into())
        .doc("its port")
        .null("as `dst_ip`; protocols without ports; later fragments"),
    connection("dst_scope", "text", |c, _| c.dst_ip().map(dst_scope).into())
        .doc("`loopback`, `link`, `private`, `multicast`, `public`")
        .null(AS_DST_IP),
    connection("host", "text", |c, _| c.name.as_ref().map(|n| &*n.host).into())
        .doc("name that was looked up, or that `/etc/hosts` has: lower case, no trailing dot")
        .null("no answer that counts gave this address; `egrets explain` says more"),
    connection("host_source", "text", |c, _| {
        c.name.as_ref().map(|n| n.source.as_str()).into()
    })
    .doc(
        "whose lookup gave the name: the `process` itself, an `ancestor`, another process in its \
         `container` (outside of containers: its cgroup), in its network namespace (`netns`), or on \
         the `host`; `hosts`: no lookup, the name is in `/etc/hosts` as the process sees it; or `sni`: \
         the name is the connection's own, that of `sni`",
    )
    .null(AS_HOST),
    connection("host_age_ms", "integer, ms", |c, _| {
        c.name.as_ref().and_then(|n| n.age_ms).into()
    })
    .updated()
    .doc("age of the answer when the connection began")
    .null("as `host`; `host_source` is `hosts` or `sni`"),
    connection("host_rivals", "integer", |c, _| {
        c.name.as_ref().map(|n| n.rivals).into()
    })
    .updated()
    .doc("how many other names that source had for the address; those kept are in [rivals](#rivals)")
    .null(AS_HOST),
    connection("outcome", "text", |c, _| c.outcome.as_str().into()).doc("below"),
    connection("errno", "text", |c, _| c.errno.map(errno_name).into())
        .doc("name of the error, such as `ECONNREFUSED`; `E` and the number for rare ones")
        .null("no error, or not known"),
    connection("latency_us", "integer, µs", |c, _| c.latency_us.into())
        .updated()
        .doc("TCP: from the attempt to the established connection")
        .null("no connection; `already_open`"),
    connection("tx_bytes", "integer, bytes", |c, _| c.tx_bytes.into())
        .updated()
        .doc(
            "payload sent ([below](#protocols)), without retransmissions. Updated every 2 s while \
             open, at the close, and at the end of the recording. `already_open`: since the \
             recording began",
        )
        .null("nothing was transferred yet"),
    connection("rx_bytes", "integer, bytes", |c, _| c.rx_bytes.into())
        .updated()
        .doc("payload received, likewise")
        .null("as `tx_bytes`"),
    connection("duration_us", "integer, µs", |c, _| c.duration_us.into())
        .updated()
        .doc(
            "TCP: from the attempt to the close, the failure, or the release of its socket. Flows: \
             from the first packet to the last",
        )
        .null("still open"),
    process("unit", "text", |p, _| p.unit.as_deref().into())
        .stored()
        .doc("systemd unit, from the cgroup path")
        .null("not in a service or scope"),
    process("container_id", "text", |p, _| {
        p.container.as_ref().map(|k| &k.id).into()
    })
    .doc("64 hexadecimal digits; for LXC and systemd-nspawn the name")
    .null("not in a container"),
    process("container_name", "text", |p, x| {
        x.details(p).and_then(|d| d.name.as_deref()).into()
    })
    .doc(
        "as Docker or the runtime's files report it: [containers.md](containers.md). The name at \
         that time: after a rename, older rows keep the old one",
    )
    .null(NO_CONTAINER),
    process("container_image", "text", |p, x| {
        x.details(p).and_then(|d| d.image.as_deref()).into()
    })
    .doc("likewise")
    .null(NO_CONTAINER),
    process("container_runtime", "text", |p, x| {
        p.container.as_deref().and_then(|k| x.containers.runtime(k)).into()
    })
    .doc("`docker`, `podman`, `crio`, `containerd`, `lxc`, `systemd-nspawn`")
    .null("no container; neither its cgroup path nor its files tell"),
    process("container_hostname", "text", |p, x| {
        x.details(p).and_then(|d| d.hostname.as_deref()).into()
    })
    .doc("as `container_name`")
    .null(NO_CONTAINER),
    process("container_ip", "text", |p, x| {
        x.details(p).and_then(|d| d.ip.as_deref()).into()
    })
    .doc("likewise")
    .null(NO_CONTAINER),
    process("pod", "text", |p, x| {
        x.details(p).and_then(|d| d.pod.as_deref()).into()
    })
    .doc("Kubernetes pod")
    .null("not in a pod of containerd or CRI-O"),
    process("netns", "integer", |p, _| p.netns.into())
        .stored()
        .doc("inode number of the network namespace, as `lsns` shows it")
        .null("not known"),
    process("cgroup", "text", |p, _| p.cgroup.as_deref().into())
        .stored()
        .doc("path in the cgroup2 hierarchy, or in a v1 hierarchy if only that names the container")
        .null("the root cgroup; not known"),
    sql("dst_addr", "blob").doc(
        "`dst_ip` as 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`: a network is a range of it",
    ),
    connection("lookup_id", "integer", |c, x| {
        let number = c.name.as_ref().and_then(|n| n.lookup);
        number.map(|number| x.run.lookup_id(number)).into()
    })
    .updated()
    .doc("the lookup that `host` comes from: `id` in [dns](#dns)")
    .null("as `host`; `host_source` is `hosts`; it is `sni` and none was seen; the lookup is not recorded"),
    connection("already_open", "integer", |c, _| c.already_open.into())
        .boolean()
        .stored()
        .doc(
            "1: the connection, or the flow's socket, was open before the recording began. `time` is \
             when the recorder found it, or of the first packet that it saw; earlier lookups for it \
             were not seen. 0: it began in the recording",
        ),
    connection("tx_packets", "integer", |c, _| c.tx_packets.into())
        .updated()
        .doc("flows: packets sent")
        .null("TCP"),
    connection("rx_packets", "integer", |c, _| c.rx_packets.into())
        .updated()
        .doc("flows: packets received")
        .null("TCP"),
    sql("process_id", "integer").doc(
        "the process between two changes of its identity: `process_id` in [ancestors](#ancestors)",
    ),
    process("start", "text", |p, x| iso(start_ts(p, x)).into()).time_of("start_ts")
        .doc(
        "start time of the process, to 10 ms, by the wall clock when the first recording of that \
         boot began. `pid` and `start` identify a process even if the pid was reused, in all \
         recordings of a boot unless the clock was set by more than 10 s between them",
    ),
    process("start_ts", "integer, ns", |p, x| start_ts(p, x).into())
        .stored()
        .doc("the same"),
    process("login_uid", "integer", |p, _| p.login_uid.into())
        .stored()
        .doc("user id of the login, whatever user the process has become since (`/proc/PID/loginuid`)")
        .null("no login; a kernel without audit"),
    process("login_user", "text", |p, _| p.login_user.as_deref().into())
        .stored()
        .doc("its name in `/etc/passwd`")
        .null("as `login_uid`; it has none there"),
    process("pod_namespace", "text", |p, x| {
        x.details(p).and_then(|d| d.pod_namespace.as_deref()).into()
    })
    .doc("Kubernetes namespace of the pod")
    .null("as `pod`"),
    process("outer_container_id", "text", |p, _| outer(p).map(|k| &k.id).into())
        .doc("the container that the container runs in")
        .null("none"),
    process("outer_container_name", "text", |p, x| {
        let details = outer(p).and_then(|k| x.containers.details(k));
        details.and_then(|d| d.name.as_deref()).into()
    })
    .doc("its name")
    .null("none; not reported"),
    connection("raw", "integer", |c, _| c.raw.into())
        .boolean()
        .stored()
        .doc(
            "1: from a raw socket, whose process wrote the protocol's header itself, or the whole \
             packet. 0: any other",
        ),
    connection("shared_pid", "integer", |c, _| c.shared_pid.into())
        .updated()
        .doc(
            "a process other than `pid` that was seen to use the same socket: it connected or sent \
             on it, was the last to close it, or had it, too, as the recording began. The row's \
             bytes may be its",
        )
        .null("none was seen: [limitations](limitations.md#processes-and-containers)"),
    connection("direction", "text", |c, _| c.direction().into()).doc(
            "`out`; `in`: a flow whose peer sent first, such as a server's answers: \
             [below](#direction)",
        ),
    connection("first_hop", "text", |c, _| {
        c.first_hop.map(|hop| hop.to_string()).into()
    })
    .updated()
    .doc(
        "where a source route (IPv4's option, IPv6's routing header) sends the packets: that host \
         gets them, whatever `dst_ip` says",
    )
    .null("no source route; protocols other than TCP and UDP, whose `dst_ip` is the first hop"),
    connection("total_tx_bytes", "integer, bytes", |c, _| {
        c.total_bytes.map(|(tx, _)| tx).into()
    })
    .updated()
    .doc(
        "`already_open` TCP: payload sent since the connection was made, other recordings and the \
         time between them included. Not to be added up: `tx_bytes` is",
    )
    .null("not `already_open`: `tx_bytes` is all; flows"),
    connection("total_rx_bytes", "integer, bytes", |c, _| {
        c.total_bytes.map(|(_, rx)| rx).into()
    })
    .updated()
    .doc("payload received, likewise")
    .null("as `total_tx_bytes`"),
    process("exe_view", "text", |p, _| p.exe_file.view.map(ExeView::as_str).into())
        .stored()
        .doc(
            "where the path `exe` holds: `host`, the mount namespace of the host's first process; \
             `namespace`, another one that a privileged process created, such as a container's; \
             `user_namespace`, one that any user can create, with any file at any path, or a \
             process in a user's namespace that is older than the recorder and can have named any \
             file as its own; \
             `detached`, none; `memory`, a program without a file",
        )
        .null(AS_EXE),
    process("exe_deleted", "integer", |p, _| {
        p.exe_file.view.map(|_| i64::from(p.exe_file.deleted)).into()
    })
    .boolean()
        .stored()
    .doc("1: when the process was first seen, the file had been deleted or replaced; 0: not")
    .null(AS_EXE),
    process("exe_device", "text", |p, _| {
        let device = p.exe_file.device;
        device.map(|(major, minor)| format!("{major}:{minor}")).into()
    })
    .stored()
    .doc("file system of the executable as `MAJOR:MINOR`, as `/proc/PID/mountinfo` shows it")
    .null(AS_EXE),
    process("exe_inode", "integer", |p, _| {
        p.exe_file.inode.into()
    })
    .stored()
    .doc("its inode number there")
    .null(AS_EXE),
    process("container_uid", "integer", |p, _| {
        p.container.as_ref().map(|k| k.uid).into()
    })
    .doc(
        "the user who may create the container's cgroup: 0 for root's runtimes, otherwise the user of \
         a rootless one. All that is shown of such a container is what this user's files say",
    )
    .null("not in a container"),
    connection("verdict", "text", |c, _| {
        c.verdict.as_ref().map(|v| v.action.as_str()).into()
    })
    .updated()
    .doc(
        "what the policy says: `allow`, `alert`, `block`, `suspend`, `kill`, `dump`. `block` and \
         those after it refuse, where `enforced` is 1. Of a flow, the last one",
    )
    .null("recorded without a policy; an answer to a peer that sent first; open before the policy"),
    connection("rule", "text", |c, _| c.verdict.as_ref().map(|v| &*v.rule).into())
        .updated()
        .doc(
            "the rule that decided: its `name`, or its number; `default`; `essential`, what is open \
             under any default; or the setting `source_routing`, \
             `unknown_containers` or `sni`",
        )
        .null("as `verdict`"),
    connection("policy", "text", |c, _| c.verdict.as_ref().map(|v| &*v.policy).into())
        .updated()
        .doc("the policy's digest, as in [policies](#policies)")
        .null("as `verdict`"),
    connection("enforced", "integer", |c, _| {
        c.verdict.as_ref().map(|v| i64::from(v.enforced)).into()
    })
    .boolean()
        .updated()
    .doc(
        "1: the verdict was enforced; 0: it was only observed, without `--enforce` or by a rule \
         with `mode: observe`",
    )
    .null("as `verdict`"),
    connection("action_outcome", "text", |c, _| {
        let outcome = c.verdict.as_ref().and_then(|v| v.action_outcome);
        outcome.map(|outcome| outcome.as_str()).into()
    })
    .doc(
        "whether the process was suspended or killed: `done`; `gone`, it had ended; `exempt`, the \
         host needs it; `rate_limit`, the rule has done so too often; `failed`",
    )
    .null("another `verdict` than `suspend`, `kill`, `dump`; only observed; not known yet"),
    connection("sni", "text", |c, _| c.sni().into())
        .doc(
            "the server name that the process' TLS asked for: lower case, no trailing dot; bytes that \
             no name has as `\\DDD`. Behind a proxy it is the name of the server, not of `dst_ip`: \
             [naming.md](naming.md#names-that-connections-send)",
        )
        .null("no TLS, or without a name; not seen; `--no-payload`"),
    connection("sni_ech", "integer", |c, _| c.sni_ech().into())
        .boolean()
        .doc(
            "1: TLS sent an encrypted name as well (ECH), or pretended to, as most browsers do: `sni` \
             may be its provider's alone ([naming.md](naming.md#names-that-connections-send)). 0: not",
        )
        .null("no TLS was seen"),
    connection("alpn", "text", |c, _| c.alpn().into())
        .list()
        .doc("the protocols that TLS offered, such as `h2,http/1.1`")
        .null("as `sni_ech`; TLS offered none"),
    connection("http_host", "text", |c, _| c.http_host().into())
        .doc(
            "the host of the first HTTP request, without its port, as `sni`: `Host` of HTTP/1, `:authority` \
             of HTTP/2 without TLS",
        )
        .null("no such request was seen"),
    connection("proxied_host", "text", |c, _| {
        c.proxied().map(|(host, _)| &*host.text).into()
    })
    .doc("the host that an HTTP or SOCKS proxy at `dst_ip` was asked for, in the first request, as `sni`")
    .null("not seen to be asked"),
    connection("proxied_port", "integer", |c, _| c.proxied().map(|(_, port)| port).into())
        .doc("its port")
        .null("as `proxied_host`"),
    process("exe_sha256", "text", |p, x| {
        x.identity(p).and_then(|i| i.sha256.as_deref()).into()
    })
    .doc(
        "SHA-256 of the executable, as 64 lower-case hexadecimal digits: of the file that ran, even \
         where it was deleted or replaced since ([limitations](limitations.md#executables))",
    )
    .null("not known: `exe_hash_status`"),
    process("exe_hash_status", "text", |p, x| x.identity(p).map(|i| i.status.as_str()).into())
        .doc(
            "`hashed`; `too_large`, more than 512 MiB; `unreadable`, its user may run but not read \
             it; `gone`, the process had ended, and its path no longer led to that file for certain; \
             `file_system`, on one that another process or host serves; `rate_limit`, its user has \
             had too much read; `timeout`",
        )
        .null("not read yet; read by no one, as without `/proc`"),
    process("exe_setuid", "integer", |p, x| {
        x.identity(p).and_then(|i| i.setuid).into()
    })
    .boolean()
        .doc("1: the executable is set-user-ID; 0: not")
    .null(AS_HASH),
    process("exe_world_writable_dir", "integer", |p, x| {
        x.identity(p).and_then(|i| i.world_writable_dir).into()
    })
    .boolean()
        .doc(
        "1: any user can write to a directory that its path leads through, such as `/tmp`; 0: to \
         none",
    )
    .null(AS_HASH),
    process("exe_packaged", "integer", |p, x| {
        x.identity(p).and_then(|i| i.packaged).into()
    })
    .boolean()
        .doc(
        "1: a package owns the executable; 0: none does. By the databases of dpkg, apk and rpm of the host, \
         or of the container: what root in the container says",
    )
    .null(
        "none of these is there; not looked up: `exe_view` is `user_namespace` or `detached`, or \
         as `exe_hash_status`; the package's file has been replaced since",
    ),
    process("package", "text", |p, x| {
        x.identity(p).and_then(|i| i.package.as_deref()).into()
    })
    .doc("the package that owns the executable")
    .null("`exe_packaged` is not 1"),
    process("package_version", "text", |p, x| {
        x.identity(p).and_then(|i| i.package_version.as_deref()).into()
    })
    .doc("its version")
    .null("as `package`"),
    process("exe_modified", "integer", |p, x| {
        x.identity(p).and_then(|i| i.modified).into()
    })
    .boolean()
        .doc("1: the executable is not what its package installed, by the package's checksum; 0: it is")
    .null("as `package`; not hashed; the package has no checksum of it"),
    process("euid", "integer", |p, _| p.euid.into())
        .stored()
        .doc(
            "effective user id, in the initial user namespace: whose rights the process had. It differs \
             from `uid` in set-user-ID programs, and in services that give up rights for a while",
        ),
    process("euser", "text", |p, _| p.euser.as_deref().into())
        .stored()
        .doc("its name in `/etc/passwd`")
        .null("it has none there"),
    connection("dst_ipv4", "text", |c, _| {
        c.dst_ip().and_then(nat64_ipv4).map(|ip| ip.to_string()).into()
    })
    .doc(
        "the IPv4 address that `dst_ip` stands for by NAT64: of addresses in `64:ff9b::/96`. `dst_scope` \
         and the columns below are that one's",
    )
    .null("`dst_ip` is no such address"),
    connection("dst_country", "text", |c, _| {
        c.geo().and_then(|geo| geo.country.as_deref()).into()
    })
    .doc("country of the destination, two letters, as the file of `--geo` has it: [below](#geo)")
    .null(NO_GEO),
    connection("dst_asn", "integer", |c, _| c.geo().and_then(|geo| geo.asn).into())
        .doc("number of the autonomous system that announces the destination, likewise")
        .null(NO_GEO),
    connection("dst_as_org", "text", |c, _| {
        c.geo().and_then(|geo| geo.as_org.as_deref()).into()
    })
    .doc("who runs that system, likewise")
    .null(NO_GEO),
];
