-- egrets history, version 2: what a name rests on can be followed, messages that
-- come in floods are one row, flows count their packets.

ALTER TABLE connection ADD COLUMN already_open INTEGER NOT NULL DEFAULT 0; -- 1: older than the recording, which found it
ALTER TABLE connection ADD COLUMN tx_packets INTEGER;                      -- UDP: datagrams
ALTER TABLE connection ADD COLUMN rx_packets INTEGER;
ALTER TABLE lookup ADD COLUMN times INTEGER NOT NULL DEFAULT 1;            -- messages alike that this row stands for
ALTER TABLE rival ADD COLUMN lookup_id INTEGER REFERENCES lookup;          -- the evidence for host_id

-- The public interface, with the new columns at the end ---------------------

DROP VIEW egress;
DROP VIEW dns;

-- A row per connection attempt or UDP flow. docs/schema.md explains each column.
CREATE VIEW egress AS
SELECT
    c.id,
    strftime('%Y-%m-%dT%H:%M:%S', c.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', c.ts / 1000000 % 1000)                 AS time,
    c.ts,
    p.pid, c.tid, p.comm, p.exe, p.cmdline, p.uid, p.user,
    p.ppid, p.parent_comm,
    c.protocol,
    CASE WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family,
    s.ip                                                           AS src_ip,
    c.src_port,
    d.ip                                                           AS dst_ip,
    c.dst_port,
    d.scope                                                        AS dst_scope,
    h.name                                                         AS host,
    c.host_source, c.host_age_ms, c.host_rivals,
    c.outcome, c.errno, c.latency_us,
    c.tx_bytes, c.rx_bytes, c.duration_us,
    p.unit,
    k.container_id,
    k.name                                                         AS container_name,
    k.image                                                        AS container_image,
    k.runtime                                                      AS container_runtime,
    k.hostname                                                     AS container_hostname,
    k.ip                                                           AS container_ip,
    k.pod,
    p.netns, p.cgroup,
    d.addr                                                         AS dst_addr,
    c.lookup_id, c.already_open, c.tx_packets, c.rx_packets
FROM connection c
JOIN process p        ON p.id = c.process_id
JOIN address d        ON d.id = c.dst_id
LEFT JOIN address s   ON s.id = c.src_id
LEFT JOIN host h      ON h.id = c.host_id
LEFT JOIN container k ON k.id = p.container_id;

-- A row per record of an answer, and one for a lookup without records.
CREATE VIEW dns AS
SELECT
    l.id,
    strftime('%Y-%m-%dT%H:%M:%S', l.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', l.ts / 1000000 % 1000)                 AS time,
    l.ts,
    p.pid, p.comm, p.exe,
    k.name                                                         AS container_name,
    v.ip                                                           AS server_ip,
    l.server_port, l.transport,
    q.name                                                         AS qname,
    l.qtype, l.rcode,
    n.name                                                         AS name,
    a.type, a.data, a.ttl,
    l.latency_us, l.status,
    l.times
FROM lookup l
LEFT JOIN process p   ON p.id = l.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = l.server_id
LEFT JOIN host q      ON q.id = l.qname_id
LEFT JOIN answer a    ON a.lookup_id = l.id
LEFT JOIN host n      ON n.id = a.name_id;

-- The other names that a connection could have had, from the scope that named it;
-- at most 16 of them, the latest first.
CREATE VIEW rivals AS
SELECT r.connection_id, h.name AS host, r.lookup_id
FROM rival r
JOIN host h ON h.id = r.host_id
ORDER BY r.connection_id, r.lookup_id DESC;
