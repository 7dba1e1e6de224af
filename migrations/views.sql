-- The public interface of a history: its views. They change only by adding columns;
-- docs/schema.md describes each column in full. A recorder replaces the views of a file
-- when they differ from these. Comments are within the statements so that sqlite3's
-- .schema shows them.

CREATE VIEW egress AS -- a row per TCP attempt, or flow of another protocol
SELECT
    c.id,                                                          -- ascending over all recordings
    strftime('%Y-%m-%dT%H:%M:%S', c.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', c.ts / 1000000 % 1000)                 AS time, -- of the attempt, or of a flow's first packet; ISO 8601, UTC
    c.ts,                                                          -- the same in ns since 1970
    p.pid,                                                         -- process id (tgid) in the initial pid namespace
    c.tid,                                                         -- thread that connected or sent
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.cmdline,                                                     -- arguments, separated by spaces
    p.uid,                                                         -- user id in the initial user namespace
    p.user,                                                        -- its name
    p.ppid,                                                        -- parent process id
    p.parent_comm,                                                 -- short name of the parent
    g.protocol,                                                    -- 'tcp', 'udp', 'icmp', ...
    CASE WHEN d.ip = '::' THEN NULL
         WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- of the destination: 4 or 6
    s.ip                                                           AS src_ip, -- local address, before any NAT
    c.src_port,                                                    -- local port
    NULLIF(d.ip, '::')                                             AS dst_ip, -- destination as the process named it
    NULLIF(g.dst_port, 0)                                          AS dst_port, -- port; NULL: the protocol has none
    CASE WHEN d.ip <> '::' THEN d.scope END                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
    h.name                                                         AS host, -- name that was looked up; NULL: none known
    g.host_source,                                                 -- whose lookup gave the name: 'process', 'ancestor', 'container', 'netns', 'host'; 'hosts': /etc/hosts; 'sni': TLS's own
    c.host_age_ms,                                                 -- age of the answer when the connection began
    c.host_rivals,                                                 -- how many rival names the address had in that scope
    g.outcome,                                                     -- 'connected', 'refused', 'timeout', ...
    g.errno,                                                       -- symbolic name, such as ECONNREFUSED
    c.latency_us,                                                  -- TCP: microseconds from the attempt to the established connection
    c.tx_bytes,                                                    -- payload sent
    c.rx_bytes,                                                    -- payload received
    c.duration_us,                                                 -- microseconds from the attempt to the close; NULL: open
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime reports it
    k.image                                                        AS container_image, -- image
    k.runtime                                                      AS container_runtime, -- 'docker', 'podman', 'crio', 'containerd', ...
    k.hostname                                                     AS container_hostname, -- hostname
    k.ip                                                           AS container_ip, -- address
    k.pod,                                                         -- Kubernetes pod
    p.netns,                                                       -- inode of the network namespace
    p.cgroup,                                                      -- cgroup path
    d.addr                                                         AS dst_addr, -- dst_ip as 16 bytes, network order: a CIDR is a range
    (SELECT id FROM lookup WHERE id = c.lookup_id)                 AS lookup_id, -- evidence for host: id in dns
    c.already_open,                                                -- 1: open before the recording began
    c.tx_packets,                                                  -- packets sent; NULL for TCP
    c.rx_packets,                                                  -- packets received
    p.id                                                           AS process_id, -- a process between two changes of its identity
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- start time of the process
    p.start_ts,                                                    -- the same in ns since 1970
    p.login_uid,                                                   -- user id of the login session
    p.login_user,                                                  -- its name
    k.pod_namespace,                                               -- namespace of the pod
    o.container_id                                                 AS outer_container_id, -- the container that this one runs in
    o.name                                                         AS outer_container_name, -- its name
    c.raw,                                                         -- 1: from a raw socket
    c.shared_pid,                                                  -- another process that used the socket
    g.direction,                                                   -- 'out'; 'in': the peer sent first
    c.first_hop,                                                   -- where a source route sends the packets
    c.total_tx_bytes,                                              -- payload sent since an already_open connection was made
    c.total_rx_bytes,                                              -- payload received, likewise
    p.exe_view,                                                    -- where the path exe holds: 'host', 'namespace', 'user_namespace', 'detached', 'memory'
    p.exe_deleted,                                                 -- 1: the executable was deleted or replaced
    p.exe_device,                                                  -- its file system, MAJOR:MINOR
    p.exe_inode,                                                   -- its inode number
    k.uid                                                          AS container_uid, -- user whose container it is; 0: root's
    c.verdict,                                                     -- what the policy says: 'allow', 'alert', 'block', ...
    c.rule,                                                        -- what decided
    c.policy,                                                      -- the policy's digest
    c.enforced,                                                    -- 1: the verdict was enforced; 0: only observed
    c.action_outcome,                                              -- what became of 'suspend', 'kill', 'dump': 'done', 'gone', 'exempt', 'rate_limit', 'failed'
    w.sni,                                                         -- server name that TLS sent
    w.sni_ech,                                                     -- 1: with an encrypted one (ECH), or a pretence of it
    w.alpn,                                                        -- protocols that TLS offered
    w.http_host,                                                   -- Host of the first HTTP/1 request
    w.proxied_host,                                                -- host that a proxy was asked for
    w.proxied_port,                                                -- its port
    x.sha256                                                       AS exe_sha256, -- of the executable
    x.hash_status                                                  AS exe_hash_status, -- 'hashed', 'too_large', 'unreadable', 'gone', ...
    x.setuid                                                       AS exe_setuid, -- 1: it is set-user-ID
    x.world_writable_dir                                           AS exe_world_writable_dir, -- 1: any user can write to a directory on its path
    x.packaged                                                     AS exe_packaged, -- 1: a package owns it; 0: none does
    x.package,                                                     -- its package
    x.package_version,                                             -- the version of that
    x.modified                                                     AS exe_modified, -- 1: it differs from the package's checksum
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser,                                                       -- its name
    CASE WHEN d.ip <> '::' THEN d.ipv4 END                         AS dst_ipv4, -- the IPv4 address that dst_ip stands for by NAT64
    d.country                                                      AS dst_country, -- country of the destination: --geo
    d.asn                                                          AS dst_asn, -- number of its autonomous system
    d.as_org                                                       AS dst_as_org -- who runs that
FROM connection c
JOIN connection_daily cd ON cd.id = c.daily_id
JOIN connection_group g  ON g.id = cd.group_id
JOIN process p           ON p.id = g.process_id
JOIN address d           ON d.id = g.dst_id
LEFT JOIN address s      ON s.id = g.src_id
LEFT JOIN host h         ON h.id = g.host_id
LEFT JOIN container k    ON k.id = p.container_id
LEFT JOIN container o    ON o.id = k.outer_id
LEFT JOIN wire w         ON w.id = g.wire_id
LEFT JOIN executable x   ON x.id = p.executable_id;

CREATE VIEW egress_total AS -- totals of egress: a row per process, destination and outcome
SELECT
    p.pid,                                                         -- process columns: as in egress
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.cmdline,                                                     -- arguments
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime reports it
    k.image                                                        AS container_image, -- image
    k.pod,                                                         -- Kubernetes pod
    k.pod_namespace,                                               -- namespace of the pod
    p.id                                                           AS process_id, -- a process between two changes of its identity
    g.protocol,                                                    -- 'tcp', 'udp', 'icmp', ...
    CASE WHEN d.ip = '::' THEN NULL
         WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- 4 or 6
    NULLIF(d.ip, '::')                                             AS dst_ip, -- destination
    NULLIF(g.dst_port, 0)                                          AS dst_port, -- port; NULL: the protocol has none
    CASE WHEN d.ip <> '::' THEN d.scope END                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
    d.addr                                                         AS dst_addr, -- dst_ip as 16 bytes
    h.name                                                         AS host, -- NULL: no name
    g.host_source,                                                 -- whose lookup gave the name
    g.outcome,                                                     -- 'connected', 'refused', ...
    g.errno,                                                       -- symbolic name, such as ECONNREFUSED
    g.connections,                                                 -- count
    CASE WHEN g.outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')
         THEN g.connections ELSE 0 END                             AS failed, -- how many of them failed: all or none
    CASE WHEN g.tx_known THEN g.tx_bytes END                       AS tx_bytes, -- sum; NULL: not known for any
    CASE WHEN g.rx_known THEN g.rx_bytes END                       AS rx_bytes, -- likewise
    g.first_ts,                                                    -- ts of the first
    g.last_ts,                                                     -- ts of the last
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- start time of the process
    p.start_ts,                                                    -- the same in ns since 1970
    p.cgroup,                                                      -- cgroup path
    p.netns,                                                       -- inode of the network namespace
    p.exe_view,                                                    -- where the path exe holds
    p.exe_deleted,                                                 -- 1: the executable was deleted or replaced
    g.direction,                                                   -- as in egress
    w.sni,                                                         -- server name that TLS sent
    w.sni_ech,                                                     -- 1: with an encrypted one (ECH), or a pretence of it
    w.alpn,                                                        -- protocols that TLS offered
    w.http_host,                                                   -- Host of the first HTTP/1 request
    w.proxied_host,                                                -- host that a proxy was asked for
    w.proxied_port,                                                -- its port
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser,                                                       -- its name
    CASE WHEN d.ip <> '::' THEN d.ipv4 END                         AS dst_ipv4, -- the IPv4 address that dst_ip stands for by NAT64
    d.country                                                      AS dst_country, -- country of the destination: --geo
    d.asn                                                          AS dst_asn, -- number of its autonomous system
    d.as_org                                                       AS dst_as_org -- who runs that
FROM connection_group g
JOIN process p        ON p.id = g.process_id
JOIN address d        ON d.id = g.dst_id
LEFT JOIN host h      ON h.id = g.host_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN wire w      ON w.id = g.wire_id
WHERE g.connections > 0;

CREATE VIEW egress_daily AS -- egress_total per day
SELECT
    p.pid,                                                         -- process columns: as in egress
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.cmdline,                                                     -- arguments
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime reports it
    k.image                                                        AS container_image, -- image
    k.pod,                                                         -- Kubernetes pod
    k.pod_namespace,                                               -- namespace of the pod
    p.id                                                           AS process_id, -- a process between two changes of its identity
    g.protocol,                                                    -- 'tcp', 'udp', 'icmp', ...
    CASE WHEN d.ip = '::' THEN NULL
         WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- 4 or 6
    NULLIF(d.ip, '::')                                             AS dst_ip, -- destination
    NULLIF(g.dst_port, 0)                                          AS dst_port, -- port; NULL: the protocol has none
    CASE WHEN d.ip <> '::' THEN d.scope END                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
    d.addr                                                         AS dst_addr, -- dst_ip as 16 bytes
    h.name                                                         AS host, -- NULL: no name
    g.host_source,                                                 -- whose lookup gave the name
    g.outcome,                                                     -- 'connected', 'refused', ...
    g.errno,                                                       -- symbolic name, such as ECONNREFUSED
    cd.connections,                                                -- count on that day
    CASE WHEN g.outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')
         THEN cd.connections ELSE 0 END                            AS failed, -- how many of them failed: all or none
    CASE WHEN cd.tx_known THEN cd.tx_bytes END                     AS tx_bytes, -- sum; NULL: not known for any
    CASE WHEN cd.rx_known THEN cd.rx_bytes END                     AS rx_bytes, -- likewise
    cd.first_ts,                                                   -- ts of the first
    cd.last_ts,                                                    -- ts of the last
    y.start_ts                                                     AS day_ts, -- midnight in the recorder's time zone, ns since 1970
    y.end_ts                                                       AS day_end_ts, -- end of the day
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- start time of the process
    p.start_ts,                                                    -- the same in ns since 1970
    p.cgroup,                                                      -- cgroup path
    p.netns,                                                       -- inode of the network namespace
    p.exe_view,                                                    -- where the path exe holds
    p.exe_deleted,                                                 -- 1: the executable was deleted or replaced
    g.direction,                                                   -- as in egress
    w.sni,                                                         -- server name that TLS sent
    w.sni_ech,                                                     -- 1: with an encrypted one (ECH), or a pretence of it
    w.alpn,                                                        -- protocols that TLS offered
    w.http_host,                                                   -- Host of the first HTTP/1 request
    w.proxied_host,                                                -- host that a proxy was asked for
    w.proxied_port,                                                -- its port
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser,                                                       -- its name
    CASE WHEN d.ip <> '::' THEN d.ipv4 END                         AS dst_ipv4, -- the IPv4 address that dst_ip stands for by NAT64
    d.country                                                      AS dst_country, -- country of the destination: --geo
    d.asn                                                          AS dst_asn, -- number of its autonomous system
    d.as_org                                                       AS dst_as_org -- who runs that
FROM day y
JOIN connection_daily cd ON cd.day_id = y.id
JOIN connection_group g  ON g.id = cd.group_id
JOIN process p           ON p.id = g.process_id
JOIN address d           ON d.id = g.dst_id
LEFT JOIN host h         ON h.id = g.host_id
LEFT JOIN container k    ON k.id = p.container_id
LEFT JOIN wire w         ON w.id = g.wire_id
WHERE cd.connections > 0;

CREATE VIEW days AS -- the days of egress_daily; they do not overlap
SELECT
    start_ts,                                                      -- begin, ns since 1970
    end_ts                                                         -- exclusive end
FROM day;

CREATE VIEW dns AS -- a row per resource record of an answer, and one per lookup without records
SELECT
    l.id,                                                          -- of the lookup
    strftime('%Y-%m-%dT%H:%M:%S', l.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', l.ts / 1000000 % 1000)                 AS time, -- of the query; ISO 8601, UTC
    l.ts,                                                          -- the same in ns since 1970
    p.pid,                                                         -- process that sent the query
    p.comm,                                                        -- short name
    p.exe,                                                         -- path of the executable
    k.name                                                         AS container_name, -- as its runtime reports it
    v.ip                                                           AS server_ip, -- queried server, before any NAT
    g.server_port,                                                 -- its port
    g.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- queried name
    g.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    g.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    CASE WHEN a.lookup_id IS NOT NULL THEN coalesce(n.name, q.name) END AS name, -- resource record: name
    a.type,                                                        -- type
    a.data,                                                        -- data, in presentation form
    a.ttl,                                                         -- time to live, seconds
    l.latency_us,                                                  -- microseconds from query to answer
    g.status,                                                      -- 'answered', 'unanswered', 'unsent', 'unsolicited', 'malformed'
    l.times,                                                       -- how many similar messages the row represents
    p.id                                                           AS process_id, -- process columns: as in egress
    p.start_ts,                                                    -- start time of the process
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.pod,                                                         -- Kubernetes pod
    k.pod_namespace,                                               -- namespace of the pod
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser                                                        -- its name
FROM lookup l
JOIN lookup_group g   ON g.id = l.group_id
LEFT JOIN process p   ON p.id = g.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = g.server_id
LEFT JOIN host q      ON q.id = g.qname_id
LEFT JOIN answer a    ON a.lookup_id = l.id
LEFT JOIN host n      ON n.id = a.name_id;

CREATE VIEW lookups AS -- a row per lookup
SELECT
    l.id,                                                          -- as in dns
    strftime('%Y-%m-%dT%H:%M:%S', l.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', l.ts / 1000000 % 1000)                 AS time, -- of the query; ISO 8601, UTC
    l.ts,                                                          -- the same in ns since 1970
    p.pid,                                                         -- process that sent the query
    p.comm,                                                        -- short name
    p.exe,                                                         -- path of the executable
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    v.ip                                                           AS server_ip, -- queried server, before any NAT
    g.server_port,                                                 -- its port
    g.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- queried name
    g.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    g.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    l.latency_us,                                                  -- microseconds from query to answer
    g.status,                                                      -- 'answered', 'unanswered', 'unsent', 'unsolicited', 'malformed'
    l.times,                                                       -- how many similar messages the row represents
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime reports it
    k.image                                                        AS container_image, -- image
    g.process_id,                                                  -- process columns: as in egress
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- start time of the process
    p.start_ts,                                                    -- the same in ns since 1970
    k.pod,                                                         -- Kubernetes pod
    k.pod_namespace,                                               -- namespace of the pod
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser                                                        -- its name
FROM lookup l
JOIN lookup_group g   ON g.id = l.group_id
LEFT JOIN process p   ON p.id = g.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = g.server_id
LEFT JOIN host q      ON q.id = g.qname_id;

CREATE VIEW lookups_total AS -- totals of lookups: a row per process, query, server and result
SELECT
    p.pid,                                                         -- process columns: as in lookups
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime reports it
    k.image                                                        AS container_image, -- image
    k.pod,                                                         -- Kubernetes pod
    k.pod_namespace,                                               -- namespace of the pod
    p.start_ts,                                                    -- start time of the process
    g.process_id,                                                  -- a process between two changes of its identity
    v.ip                                                           AS server_ip, -- queried server, before any NAT
    g.server_port,                                                 -- its port
    g.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- queried name
    g.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    g.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    g.status,                                                      -- 'answered', 'unanswered', 'unsent', 'unsolicited', 'malformed'
    g.lookups,                                                     -- count
    CASE WHEN g.rcode IS 'NOERROR' THEN 0 ELSE g.lookups END       AS failed, -- how many of them failed: all or none
    g.first_ts,                                                    -- ts of the first
    g.last_ts,                                                     -- ts of the last
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser                                                        -- its name
FROM lookup_group g
LEFT JOIN process p   ON p.id = g.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = g.server_id
LEFT JOIN host q      ON q.id = g.qname_id
WHERE g.lookups > 0;

CREATE VIEW lookups_daily AS -- lookups_total per day
SELECT
    p.pid,                                                         -- process columns: as in lookups
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime reports it
    k.image                                                        AS container_image, -- image
    k.pod,                                                         -- Kubernetes pod
    k.pod_namespace,                                               -- namespace of the pod
    p.start_ts,                                                    -- start time of the process
    g.process_id,                                                  -- a process between two changes of its identity
    v.ip                                                           AS server_ip, -- queried server, before any NAT
    g.server_port,                                                 -- its port
    g.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- queried name
    g.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    g.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    g.status,                                                      -- 'answered', 'unanswered', 'unsent', 'unsolicited', 'malformed'
    ld.lookups,                                                    -- count on that day
    CASE WHEN g.rcode IS 'NOERROR' THEN 0 ELSE ld.lookups END      AS failed, -- how many of them failed: all or none
    ld.first_ts,                                                   -- ts of the first
    ld.last_ts,                                                    -- ts of the last
    y.start_ts                                                     AS day_ts, -- midnight in the recorder's time zone, ns since 1970
    y.end_ts                                                       AS day_end_ts, -- end of the day
    p.euid,                                                        -- effective user id: whose rights it had
    p.euser                                                        -- its name
FROM day y
JOIN lookup_daily ld  ON ld.day_id = y.id
JOIN lookup_group g   ON g.id = ld.group_id
LEFT JOIN process p   ON p.id = g.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = g.server_id
LEFT JOIN host q      ON q.id = g.qname_id;

CREATE VIEW rivals AS -- rival names of connections: 16 of each at most, the latest first
SELECT
    r.connection_id,                                               -- id in egress
    h.name                                                         AS host, -- the rival name
    (SELECT id FROM lookup WHERE id = r.lookup_id)                 AS lookup_id -- evidence for it: id in dns
FROM rival r
JOIN host h ON h.id = r.host_id
ORDER BY r.connection_id, r.lookup_id DESC;

CREATE VIEW ancestors AS -- the ancestors of processes: a row per process and ancestor
SELECT
    p.id                                                           AS process_id, -- the descendant: as in egress and dns
    g.depth + 1                                                    AS depth, -- 1: parent, 2: its parent, ...
    a.pid,                                                         -- pid of the ancestor
    a.start_ts,                                                    -- start time, ns since 1970
    a.comm,                                                        -- short name when it started the next program
    a.exe,                                                         -- executable at that time
    a.cmdline,                                                     -- arguments at that time
    p.recording_id,                                                -- id in recordings
    a.pid = p.session                                              AS session_leader -- 1: leader of the process's session
FROM process p
JOIN lineage g  ON g.ancestor_id = p.parent_id
JOIN ancestor a ON a.id = g.above_id;

CREATE VIEW gaps AS -- when egrets did not see everything
SELECT
    from_ts,                                                       -- begin, ns since 1970
    to_ts,                                                         -- end, likewise
    kind,                                                          -- kind of event that was lost, 'parse', 'retention', ...; 'recording': no recorder ran
    lost,                                                          -- how many events or rows
    why                                                            -- reason, as text
FROM (SELECT from_ts, to_ts, kind, lost, why FROM gap
      UNION ALL
      SELECT ended, next_start, 'recording', NULL,
             CASE WHEN clean THEN 'not recording' ELSE 'not recording: the recorder before did not end cleanly' END
      FROM (SELECT COALESCE(end_ts, seen_ts) AS ended, clean,
                   LEAD(start_ts) OVER (ORDER BY id) AS next_start
            FROM recording)
      WHERE next_start > ended);

CREATE VIEW recordings AS -- a row per run of 'egrets record'
SELECT
    id,                                                            -- ascending
    strftime('%Y-%m-%dT%H:%M:%S', start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', start_ts / 1000000 % 1000)             AS start, -- begin; ISO 8601, UTC
    strftime('%Y-%m-%dT%H:%M:%S', end_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', end_ts / 1000000 % 1000)               AS end, -- end; NULL: running, or killed
    start_ts,                                                      -- the same in ns since 1970
    end_ts,                                                        -- the same in ns since 1970
    seen_ts,                                                       -- time of the newest batch: everything up to it was seen
    hostname,                                                      -- of the host
    kernel,                                                        -- uname -r
    boot_id,                                                       -- identifies the boot
    version,                                                       -- of egrets
    pid,                                                           -- of the recorder
    hook_set,                                                      -- as 'egrets check' names it
    hooks,                                                         -- attached hooks
    clean,                                                         -- 1: stopped in an orderly way; 0: running, or ended otherwise
    ended,                                                         -- 'stopped', 'killed', 'host restarted', 'locked', 'disk full', 'not writable', 'file lost'; NULL: running, or killed and none followed
    counted_ts                                                     -- when the bytes of open connections were last read: every 2 s; NULL: not yet
FROM recording;

CREATE VIEW policies AS -- a row per policy that came into force
SELECT
    id,                                                            -- ascending
    strftime('%Y-%m-%dT%H:%M:%S', ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', ts / 1000000 % 1000)                   AS time, -- from when it decided; ISO 8601, UTC
    ts,                                                            -- the same in ns since 1970
    digest,                                                        -- as the column policy of egress
    file,                                                          -- its path
    rules,                                                         -- how many it has
    enforced,                                                      -- 1: enforced; 0: observed
    recording_id,                                                  -- id in recordings
    generation,                                                    -- ascends with the policies of a recording, from 1
    reason,                                                        -- why it came into force: 'started', 'reloaded', 'expired', 'applied', 'reverted'
    unknown_containers                                             -- containers that no runtime has described, at the last count
FROM policy
WHERE generation IS NOT NULL;

CREATE VIEW policy_changes AS -- a row per policy that came into force, was refused or confirmed
SELECT
    id,                                                            -- as in policies
    strftime('%Y-%m-%dT%H:%M:%S', ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', ts / 1000000 % 1000)                   AS time, -- of that; ISO 8601, UTC
    ts,                                                            -- the same in ns since 1970
    reason,                                                        -- 'started', 'reloaded', 'expired', 'applied', 'confirmed', 'reverted', 'refused'
    file,                                                          -- its path
    digest,                                                        -- NULL: refused
    error,                                                         -- why it was refused, a line per error
    recording_id                                                   -- id in recordings
FROM policy;

CREATE VIEW policy_rules AS -- a row per rule of a policy that came into force, with its hits
SELECT
    r.policy_id,                                                   -- id in policies
    p.digest,                                                      -- the policy's
    CASE WHEN r.n < 65531 THEN r.n + 1 END                         AS number, -- in the file, from 1; NULL: a setting
    r.name                                                         AS rule, -- as in egress
    r.action,                                                      -- 'allow', 'alert', 'block', ...
    p.enforced AND NOT r.observed                                  AS enforced, -- 1: it is enforced; 0: only observed
    r.hits,                                                        -- attempts and flows that it decided on
    strftime('%Y-%m-%dT%H:%M:%S', r.last_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', r.last_ts / 1000000 % 1000)            AS last_hit, -- time of the newest, to a second; ISO 8601, UTC
    p.recording_id                                                 -- id in recordings
FROM policy p
JOIN policy_rule r ON r.policy_id = p.id;

CREATE VIEW verdicts AS -- a row per connection or flow that a policy decided on
SELECT
    id,                                                            -- as in egress, which has more about it
    time,                                                          -- of the attempt, or of a flow's first packet; ISO 8601, UTC
    ts,                                                            -- the same in ns since 1970
    pid,                                                           -- process id (tgid)
    comm,                                                          -- short name of the process
    exe,                                                           -- path of the executable
    uid,                                                           -- user id
    user,                                                          -- its name
    unit,                                                          -- systemd unit
    container_id,                                                  -- NULL: not in a container
    container_name,                                                -- as its runtime reports it
    container_image,                                               -- image
    pod,                                                           -- Kubernetes pod
    pod_namespace,                                                 -- namespace of the pod
    host,                                                          -- NULL: no name
    host_source,                                                   -- whose lookup gave the name
    protocol,                                                      -- 'tcp', 'udp', 'icmp', ...
    dst_ip,                                                        -- destination
    dst_port,                                                      -- port; NULL: the protocol has none
    dst_scope,                                                     -- 'loopback', 'link', 'private', 'multicast', 'public'
    verdict                                                        AS action, -- what the policy says: 'allow', 'alert', 'block', ...
    enforced,                                                      -- 1: it was enforced; 0: only observed
    enforced AND verdict NOT IN ('allow', 'alert')                 AS refused, -- 1: the policy refused it; 0: it was let through
    rule,                                                          -- what decided
    policy,                                                        -- the policy's digest: digest in policies
    outcome,                                                       -- what came of it: 'connected', 'denied', ...
    errno,                                                         -- symbolic name, such as EPERM
    tx_bytes,                                                      -- payload sent
    rx_bytes,                                                      -- payload received
    process_id                                                     -- as in egress
FROM egress
WHERE verdict IS NOT NULL;
