-- egrets history, version 8: protocols without ports and frames without an IP destination,
-- raw sockets, and sockets that several processes use. A destination that can't be told is
-- '::', which nobody can dial; where there is no port it is 0.

ALTER TABLE connection ADD COLUMN raw INTEGER NOT NULL DEFAULT 0;   -- 1: from a raw socket
ALTER TABLE connection ADD COLUMN shared_pid INTEGER;               -- another process that used the socket

-- The public interface, with the new columns at the end. --------------------

DROP VIEW egress;
DROP VIEW egress_total;
DROP VIEW egress_daily;

CREATE VIEW egress AS -- a row per TCP attempt, or flow of another protocol
SELECT
    c.id,                                                          -- counts up over all recordings
    strftime('%Y-%m-%dT%H:%M:%S', c.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', c.ts / 1000000 % 1000)                 AS time, -- of the attempt, or a flow's first packet; ISO 8601, UTC
    c.ts,                                                          -- the same in ns since 1970
    p.pid,                                                         -- process, in the host's pid namespace
    c.tid,                                                         -- its thread that dialled
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.cmdline,                                                     -- its arguments, separated by blanks
    p.uid,                                                         -- user id, as the host sees it
    p.user,                                                        -- its name
    p.ppid,                                                        -- parent process
    p.parent_comm,                                                 -- its short name
    e.protocol,                                                    -- 'tcp', 'udp', 'icmp', ...
    CASE WHEN d.ip = '::' THEN NULL
         WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- of the destination: 4 or 6
    s.ip                                                           AS src_ip, -- own address, before any NAT
    c.src_port,                                                    -- own port
    NULLIF(d.ip, '::')                                             AS dst_ip, -- destination as the process named it
    NULLIF(e.dst_port, 0)                                          AS dst_port, -- its port
    CASE WHEN d.ip <> '::' THEN d.scope END                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
    h.name                                                         AS host, -- name that was asked for; NULL: none that counts
    e.host_source,                                                 -- who had asked: 'process', 'ancestor', 'container', 'netns', 'host'; 'hosts': /etc/hosts
    c.host_age_ms,                                                 -- age of the answer when the connection began
    c.host_rivals,                                                 -- how many other names the address had there
    e.outcome,                                                     -- 'connected', 'refused', 'timeout', ...
    e.errno,                                                       -- name of the error
    c.latency_us,                                                  -- TCP: from the attempt to the connection
    c.tx_bytes,                                                    -- payload sent
    c.rx_bytes,                                                    -- payload received
    c.duration_us,                                                 -- from the attempt to its end; NULL: open
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime says
    k.image                                                        AS container_image, -- likewise
    k.runtime                                                      AS container_runtime, -- 'docker', 'podman', 'crio', 'containerd', ...
    k.hostname                                                     AS container_hostname, -- as its runtime says
    k.ip                                                           AS container_ip, -- likewise
    k.pod,                                                         -- Kubernetes' name of the pod
    p.netns,                                                       -- inode of the network namespace
    p.cgroup,                                                      -- path of the cgroup
    d.addr                                                         AS dst_addr, -- dst_ip as 16 bytes: a network is a range
    (SELECT id FROM lookup WHERE id = c.lookup_id)                 AS lookup_id, -- that host rests on: id in dns
    c.already_open,                                                -- 1: older than the recording, which found it
    c.tx_packets,                                                  -- flows: packets sent
    c.rx_packets,                                                  -- and received
    p.id                                                           AS process_id, -- process between two changes of its identity
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- when the process was started
    p.start_ts,                                                    -- the same in ns since 1970
    p.login_uid,                                                   -- who had logged in
    p.login_user,                                                  -- its name
    k.pod_namespace,                                               -- Kubernetes' namespace of the pod
    o.container_id                                                 AS outer_container_id, -- the container that this one runs in
    o.name                                                         AS outer_container_name, -- its name
    c.raw,                                                         -- 1: from a raw socket
    c.shared_pid                                                   -- another process that used the socket
FROM connection c
JOIN edge_day b       ON b.id = c.edge_day_id
JOIN edge e           ON e.id = b.edge_id
JOIN process p        ON p.id = e.process_id
JOIN address d        ON d.id = e.dst_id
LEFT JOIN address s   ON s.id = e.src_id
LEFT JOIN host h      ON h.id = e.host_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN container o ON o.id = k.outer_id;

CREATE VIEW egress_total AS -- egress summed up over all time: a row per process, destination and outcome
SELECT
    p.pid,                                                         -- this and what follows: as in egress
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.cmdline,                                                     -- its arguments
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime says
    k.image                                                        AS container_image, -- likewise
    k.pod,                                                         -- Kubernetes' name of the pod
    k.pod_namespace,                                               -- its namespace
    p.id                                                           AS process_id, -- process between two changes of its identity
    e.protocol,                                                    -- 'tcp', 'udp', 'icmp', ...
    CASE WHEN d.ip = '::' THEN NULL
         WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- 4 or 6
    NULLIF(d.ip, '::')                                             AS dst_ip, -- destination
    NULLIF(e.dst_port, 0)                                          AS dst_port, -- its port
    CASE WHEN d.ip <> '::' THEN d.scope END                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
    d.addr                                                         AS dst_addr, -- dst_ip as 16 bytes
    h.name                                                         AS host, -- NULL: no name
    e.host_source,                                                 -- who had asked for it
    e.outcome,                                                     -- 'connected', 'refused', ...
    e.errno,                                                       -- name of the error
    e.connections,                                                 -- how many there were
    CASE WHEN e.outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')
         THEN e.connections ELSE 0 END                             AS failed, -- how many of them failed: all or none
    CASE WHEN e.tx_known THEN e.tx_bytes END                       AS tx_bytes, -- sent by all; NULL: not known of any
    CASE WHEN e.rx_known THEN e.rx_bytes END                       AS rx_bytes, -- received by all
    e.first_ts,                                                    -- ts of the first
    e.last_ts                                                      -- ts of the last
FROM edge e
JOIN process p        ON p.id = e.process_id
JOIN address d        ON d.id = e.dst_id
LEFT JOIN host h      ON h.id = e.host_id
LEFT JOIN container k ON k.id = p.container_id
WHERE e.connections > 0;

CREATE VIEW egress_daily AS -- the same, a row for each day
SELECT
    p.pid,                                                         -- this and what follows: as in egress
    p.comm,                                                        -- short name of the process
    p.exe,                                                         -- path of the executable
    p.cmdline,                                                     -- its arguments
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime says
    k.image                                                        AS container_image, -- likewise
    k.pod,                                                         -- Kubernetes' name of the pod
    k.pod_namespace,                                               -- its namespace
    p.id                                                           AS process_id, -- process between two changes of its identity
    e.protocol,                                                    -- 'tcp', 'udp', 'icmp', ...
    CASE WHEN d.ip = '::' THEN NULL
         WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- 4 or 6
    NULLIF(d.ip, '::')                                             AS dst_ip, -- destination
    NULLIF(e.dst_port, 0)                                          AS dst_port, -- its port
    CASE WHEN d.ip <> '::' THEN d.scope END                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
    d.addr                                                         AS dst_addr, -- dst_ip as 16 bytes
    h.name                                                         AS host, -- NULL: no name
    e.host_source,                                                 -- who had asked for it
    e.outcome,                                                     -- 'connected', 'refused', ...
    e.errno,                                                       -- name of the error
    b.connections,                                                 -- how many there were that day
    CASE WHEN e.outcome IN ('refused', 'timeout', 'unreachable', 'reset', 'denied', 'failed')
         THEN b.connections ELSE 0 END                             AS failed, -- how many of them failed: all or none
    CASE WHEN b.tx_known THEN b.tx_bytes END                       AS tx_bytes, -- sent by all; NULL: not known of any
    CASE WHEN b.rx_known THEN b.rx_bytes END                       AS rx_bytes, -- received by all
    b.first_ts,                                                    -- ts of the first
    b.last_ts,                                                     -- ts of the last
    y.start_ts                                                     AS day_ts, -- when the day began, where the recorder is
    y.end_ts                                                       AS day_end_ts -- when it ended
FROM day y
JOIN edge_day b       ON b.day_id = y.id
JOIN edge e           ON e.id = b.edge_id
JOIN process p        ON p.id = e.process_id
JOIN address d        ON d.id = e.dst_id
LEFT JOIN host h      ON h.id = e.host_id
LEFT JOIN container k ON k.id = p.container_id
WHERE b.connections > 0;
