-- egrets history, version 9: a process is its pid and its start, in sums and lookups too, and
-- one that is recorded twice has the same start; the pods of lookups.

-- When the boot was that recorders saw, by the wall clock of the first of them: what the
-- starts of processes count from.
ALTER TABLE recording ADD COLUMN boot_ts INTEGER;

-- Who begins to type the name of a user or a unit is offered the rest.
CREATE INDEX process_user ON process (user) WHERE user IS NOT NULL;
CREATE INDEX process_unit ON process (unit) WHERE unit IS NOT NULL;

-- The public interface, with the new columns at the end. --------------------

DROP VIEW egress_total;
DROP VIEW egress_daily;
DROP VIEW lookups;

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
    e.last_ts,                                                     -- ts of the last
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- when the process was started
    p.start_ts                                                     -- the same in ns since 1970
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
    y.end_ts                                                       AS day_end_ts, -- when it ended
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- when the process was started
    p.start_ts                                                     -- the same in ns since 1970
FROM day y
JOIN edge_day b       ON b.day_id = y.id
JOIN edge e           ON e.id = b.edge_id
JOIN process p        ON p.id = e.process_id
JOIN address d        ON d.id = e.dst_id
LEFT JOIN host h      ON h.id = e.host_id
LEFT JOIN container k ON k.id = p.container_id
WHERE b.connections > 0;

CREATE VIEW lookups AS -- a row per lookup
SELECT
    l.id,                                                          -- as in dns
    strftime('%Y-%m-%dT%H:%M:%S', l.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', l.ts / 1000000 % 1000)                 AS time, -- of the query; ISO 8601, UTC
    l.ts,                                                          -- the same in ns since 1970
    p.pid,                                                         -- who asked
    p.comm,                                                        -- its short name
    p.exe,                                                         -- path of its executable
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    v.ip                                                           AS server_ip, -- whom it asked, before any NAT
    i.server_port,                                                 -- on which port
    i.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- name asked for
    i.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    i.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    l.latency_us,                                                  -- from query to answer
    i.status,                                                      -- 'answered', 'unanswered', 'unsolicited', 'malformed'
    l.times,                                                       -- messages alike that the row stands for
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime says
    k.image                                                        AS container_image, -- likewise
    i.process_id,                                                  -- this and what follows: as in egress, of who asked
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- when the process was started
    p.start_ts,                                                    -- the same in ns since 1970
    k.pod,                                                         -- Kubernetes' name of the pod
    k.pod_namespace                                                -- its namespace
FROM lookup l
JOIN inquiry i        ON i.id = l.inquiry_id
LEFT JOIN process p   ON p.id = i.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = i.server_id
LEFT JOIN host q      ON q.id = i.qname_id;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('process', 'process_user', '500 100'),
    ('process', 'process_unit', '300 15');
ANALYZE sqlite_schema;
