-- egrets history, version 3: who started a process, since when it runs, who had logged
-- in; what a container is in.

-- A program that started others: a process between two execs. Rows that name the same
-- program in different recordings are different rows.
CREATE TABLE ancestor (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording,
    pid          INTEGER NOT NULL,
    start_ts     INTEGER NOT NULL,          -- wall clock, by one offset for a recording
    comm         TEXT    NOT NULL,
    exe          TEXT,
    cmdline      TEXT
) STRICT;
CREATE INDEX ancestor_pid ON ancestor (pid);
CREATE INDEX ancestor_comm ON ancestor (comm);

-- Every program above a program, and itself at depth 0: no question needs recursion.
CREATE TABLE lineage (
    ancestor_id INTEGER NOT NULL REFERENCES ancestor,
    depth       INTEGER NOT NULL,
    above_id    INTEGER NOT NULL REFERENCES ancestor,
    PRIMARY KEY (ancestor_id, depth)
) STRICT, WITHOUT ROWID;
CREATE INDEX lineage_above ON lineage (above_id);

ALTER TABLE process ADD COLUMN start_ts INTEGER;                          -- wall clock, by one offset for a recording
ALTER TABLE process ADD COLUMN login_uid INTEGER;                         -- audit's, NULL where nobody logged in
ALTER TABLE process ADD COLUMN login_user TEXT;
ALTER TABLE process ADD COLUMN parent_id INTEGER REFERENCES ancestor;     -- what started it
CREATE INDEX process_parent ON process (parent_id) WHERE parent_id IS NOT NULL;
ALTER TABLE container ADD COLUMN pod_namespace TEXT;
ALTER TABLE container ADD COLUMN outer_id INTEGER REFERENCES container;   -- the one that it runs in

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
    c.lookup_id, c.already_open, c.tx_packets, c.rx_packets,
    p.id                                                           AS process_id,
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start,
    p.start_ts, p.login_uid, p.login_user,
    k.pod_namespace,
    o.container_id                                                 AS outer_container_id,
    o.name                                                         AS outer_container_name
FROM connection c
JOIN process p        ON p.id = c.process_id
JOIN address d        ON d.id = c.dst_id
LEFT JOIN address s   ON s.id = c.src_id
LEFT JOIN host h      ON h.id = c.host_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN container o ON o.id = k.outer_id;

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
    l.times,
    p.id                                                           AS process_id,
    p.start_ts, p.uid, p.user, p.unit,
    k.container_id, k.pod, k.pod_namespace
FROM lookup l
LEFT JOIN process p   ON p.id = l.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = l.server_id
LEFT JOIN host q      ON q.id = l.qname_id
LEFT JOIN answer a    ON a.lookup_id = l.id
LEFT JOIN host n      ON n.id = a.name_id;

-- What a process descends from: a row per process_id of egress and dns and program above
-- it, the parent at depth 1. Each as it was when it started the next.
CREATE VIEW ancestors AS
SELECT
    p.id                                                           AS process_id,
    g.depth + 1                                                    AS depth,
    a.pid, a.start_ts, a.comm, a.exe, a.cmdline,
    p.recording_id
FROM process p
JOIN lineage g  ON g.ancestor_id = p.parent_id
JOIN ancestor a ON a.id = g.above_id;
