-- egrets history: what connections share is one row, kept with its sums for
-- each day and for all time. A question that asks for sums reads as many rows as its
-- answer is made of, however many connections there were.

-- The views first: none may name a table that goes.
DROP VIEW egress;
DROP VIEW dns;
DROP VIEW lookups;
DROP VIEW rivals;
DROP VIEW ancestors;
DROP VIEW gaps;
DROP VIEW recordings;

ALTER TABLE recording ADD COLUMN last_connection INTEGER NOT NULL DEFAULT 0; -- ids up to these
ALTER TABLE recording ADD COLUMN last_lookup INTEGER NOT NULL DEFAULT 0;     -- are never used again
UPDATE recording SET last_connection = (SELECT coalesce(max(id), 0) FROM connection),
                     last_lookup = (SELECT coalesce(max(id), 0) FROM lookup);

-- Days of the recorder's time zone. They never overlap, whatever the zone becomes.
CREATE TABLE day (
    id       INTEGER PRIMARY KEY,
    start_ts INTEGER NOT NULL UNIQUE,
    end_ts   INTEGER NOT NULL
) STRICT;

-- Who talked to what, and how it went: all that many connections have in common, and
-- the sums over those. Kept by whoever writes connections, in the same transaction.
CREATE TABLE edge (
    id          INTEGER PRIMARY KEY,
    process_id  INTEGER NOT NULL REFERENCES process,
    protocol    TEXT    NOT NULL,
    src_id      INTEGER REFERENCES address,
    dst_id      INTEGER NOT NULL REFERENCES address,
    dst_port    INTEGER NOT NULL,
    host_id     INTEGER REFERENCES host,
    host_source TEXT,
    outcome     TEXT    NOT NULL,
    errno       TEXT,
    connections INTEGER NOT NULL DEFAULT 0,
    tx_known    INTEGER NOT NULL DEFAULT 0, -- connections whose tx_bytes are known
    tx_bytes    INTEGER NOT NULL DEFAULT 0, -- their sum
    rx_known    INTEGER NOT NULL DEFAULT 0,
    rx_bytes    INTEGER NOT NULL DEFAULT 0,
    first_ts    INTEGER NOT NULL,
    last_ts     INTEGER NOT NULL
) STRICT;

-- An edge on one day.
CREATE TABLE edge_day (
    id          INTEGER PRIMARY KEY,
    edge_id     INTEGER NOT NULL REFERENCES edge,
    day_id      INTEGER NOT NULL REFERENCES day,
    connections INTEGER NOT NULL DEFAULT 0,
    removed     INTEGER NOT NULL DEFAULT 0, -- of these, by retention: only counted here now
    tx_known    INTEGER NOT NULL DEFAULT 0,
    tx_bytes    INTEGER NOT NULL DEFAULT 0,
    rx_known    INTEGER NOT NULL DEFAULT 0,
    rx_bytes    INTEGER NOT NULL DEFAULT 0,
    first_ts    INTEGER NOT NULL,
    last_ts     INTEGER NOT NULL
) STRICT;

-- A TCP connection attempt or a UDP flow: what it has to itself.
CREATE TABLE connection_new (
    id           INTEGER PRIMARY KEY,
    ts           INTEGER NOT NULL,          -- of the attempt; of a flow's first packet
    edge_day_id  INTEGER NOT NULL REFERENCES edge_day,
    tid          INTEGER NOT NULL,
    src_port     INTEGER,
    host_age_ms  INTEGER,
    host_rivals  INTEGER,
    lookup_id    INTEGER,                   -- the evidence for the name; may be gone, and its id is not used again
    latency_us   INTEGER,
    tx_bytes     INTEGER,
    rx_bytes     INTEGER,
    duration_us  INTEGER,
    already_open INTEGER NOT NULL DEFAULT 0,
    tx_packets   INTEGER,
    rx_packets   INTEGER
) STRICT;

INSERT INTO day (start_ts, end_ts)
SELECT DISTINCT ts / 86400000000000 * 86400000000000,
       ts / 86400000000000 * 86400000000000 + 86400000000000 FROM connection ORDER BY 1;

INSERT INTO edge (process_id, protocol, src_id, dst_id, dst_port, host_id, host_source, outcome, errno,
                  connections, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts)
SELECT process_id, protocol, src_id, dst_id, dst_port, host_id, host_source, outcome, errno,
       count(*), count(tx_bytes), coalesce(sum(tx_bytes), 0), count(rx_bytes), coalesce(sum(rx_bytes), 0),
       min(ts), max(ts)
FROM connection GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;
CREATE INDEX edge_process ON edge (process_id, dst_id, dst_port);

CREATE TEMP TABLE on_edge AS
SELECT c.id AS connection_id, e.id AS edge_id, d.id AS day_id
FROM connection c
JOIN edge e ON e.process_id = c.process_id AND e.dst_id = c.dst_id AND e.dst_port = c.dst_port
           AND e.protocol = c.protocol AND e.outcome = c.outcome AND e.src_id IS c.src_id
           AND e.host_id IS c.host_id AND e.host_source IS c.host_source AND e.errno IS c.errno
JOIN day d ON d.start_ts = c.ts / 86400000000000 * 86400000000000
ORDER BY 1;

INSERT INTO edge_day (edge_id, day_id, connections, tx_known, tx_bytes, rx_known, rx_bytes, first_ts, last_ts)
SELECT o.edge_id, o.day_id, count(*), count(tx_bytes), coalesce(sum(tx_bytes), 0),
       count(rx_bytes), coalesce(sum(rx_bytes), 0), min(ts), max(ts)
FROM on_edge o JOIN connection c ON c.id = o.connection_id GROUP BY o.day_id, o.edge_id;
CREATE UNIQUE INDEX edge_day_edge ON edge_day (edge_id, day_id);

INSERT INTO connection_new
SELECT c.id, c.ts, b.id, c.tid, c.src_port, c.host_age_ms, c.host_rivals, c.lookup_id, c.latency_us,
       c.tx_bytes, c.rx_bytes, c.duration_us, c.already_open, c.tx_packets, c.rx_packets
FROM on_edge o
JOIN connection c ON c.id = o.connection_id
JOIN edge_day b   ON b.edge_id = o.edge_id AND b.day_id = o.day_id
ORDER BY c.id;
DROP TABLE on_edge;

DROP TABLE connection;
ALTER TABLE connection_new RENAME TO connection;
CREATE INDEX connection_ts ON connection (ts);
CREATE INDEX connection_edge_day ON connection (edge_day_id);
CREATE INDEX edge_host ON edge (host_id) WHERE host_id IS NOT NULL;
CREATE INDEX edge_dst ON edge (dst_id);
CREATE INDEX edge_src ON edge (src_id) WHERE src_id IS NOT NULL;
CREATE INDEX edge_day_day ON edge_day (day_id);
CREATE INDEX edge_day_removed ON edge_day (day_id) WHERE removed > 0;

-- The same for lookups: who asked whom for what, with what result.
CREATE TABLE inquiry (
    id          INTEGER PRIMARY KEY,
    process_id  INTEGER REFERENCES process,
    server_id   INTEGER REFERENCES address,
    server_port INTEGER,
    transport   TEXT    NOT NULL,
    qname_id    INTEGER REFERENCES host,
    qtype       TEXT,
    rcode       TEXT,
    status      TEXT    NOT NULL
) STRICT;
INSERT INTO inquiry (process_id, server_id, server_port, transport, qname_id, qtype, rcode, status)
SELECT DISTINCT process_id, server_id, server_port, transport, qname_id, qtype, rcode, status FROM lookup;
CREATE INDEX inquiry_process ON inquiry (process_id, qname_id);
CREATE INDEX inquiry_qname ON inquiry (qname_id) WHERE qname_id IS NOT NULL;
CREATE INDEX inquiry_server ON inquiry (server_id) WHERE server_id IS NOT NULL;

CREATE TABLE lookup_new (
    id         INTEGER PRIMARY KEY,
    ts         INTEGER NOT NULL,            -- of the query; of the answer where no query was seen
    inquiry_id INTEGER NOT NULL REFERENCES inquiry,
    latency_us INTEGER,
    times      INTEGER NOT NULL DEFAULT 1   -- messages alike that this row stands for
) STRICT;
INSERT INTO lookup_new
SELECT l.id, l.ts, i.id, l.latency_us, l.times
FROM lookup l
JOIN inquiry i ON i.process_id IS l.process_id AND i.qname_id IS l.qname_id AND i.qtype IS l.qtype
              AND i.server_id IS l.server_id AND i.server_port IS l.server_port
              AND i.transport = l.transport AND i.rcode IS l.rcode AND i.status = l.status
ORDER BY l.id;

CREATE TABLE answer_new (
    lookup_id INTEGER NOT NULL REFERENCES lookup,
    n         INTEGER NOT NULL,             -- in the order of the message
    name_id   INTEGER REFERENCES host,      -- NULL: the name that was asked for
    type      TEXT    NOT NULL,
    data      TEXT    NOT NULL,             -- presentation form of RFC 1035, RFC 9460; RFC 3597 for unknown types
    ttl       INTEGER NOT NULL,             -- seconds
    PRIMARY KEY (lookup_id, n)
) STRICT, WITHOUT ROWID;
INSERT INTO answer_new
SELECT a.lookup_id, row_number() OVER (PARTITION BY a.lookup_id ORDER BY a.id),
       nullif(a.name_id, l.qname_id), a.type, a.data, a.ttl
FROM answer a JOIN lookup l ON l.id = a.lookup_id ORDER BY a.lookup_id, a.id;

CREATE TABLE rival_new (
    connection_id INTEGER NOT NULL REFERENCES connection,
    host_id       INTEGER NOT NULL REFERENCES host,
    lookup_id     INTEGER,                  -- as in connection
    PRIMARY KEY (connection_id, host_id)
) STRICT, WITHOUT ROWID;
INSERT INTO rival_new SELECT connection_id, host_id, lookup_id FROM rival;

DROP TABLE answer;
DROP TABLE rival;
DROP TABLE lookup;
ALTER TABLE lookup_new RENAME TO lookup;
ALTER TABLE answer_new RENAME TO answer;
ALTER TABLE rival_new RENAME TO rival;
CREATE INDEX lookup_ts ON lookup (ts);
CREATE INDEX lookup_inquiry ON lookup (inquiry_id);
CREATE INDEX answer_name ON answer (name_id) WHERE name_id IS NOT NULL;
CREATE INDEX rival_host ON rival (host_id);

-- The public interface, with the new columns at the end. A comment says of each column
-- what it is; docs/schema.md says more. -------------------------------------

CREATE VIEW egress AS -- a row per TCP attempt or UDP flow
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
    e.protocol,                                                    -- 'tcp', 'udp'
    CASE WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- of the destination: 4 or 6
    s.ip                                                           AS src_ip, -- own address, before any NAT
    c.src_port,                                                    -- own port
    d.ip                                                           AS dst_ip, -- destination as the process named it
    e.dst_port,                                                    -- its port
    d.scope                                                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
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
    c.tx_packets,                                                  -- UDP: datagrams sent
    c.rx_packets,                                                  -- and received
    p.id                                                           AS process_id, -- process between two changes of its identity
    strftime('%Y-%m-%dT%H:%M:%S', p.start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', p.start_ts / 1000000 % 1000)           AS start, -- when the process was started
    p.start_ts,                                                    -- the same in ns since 1970
    p.login_uid,                                                   -- who had logged in
    p.login_user,                                                  -- its name
    k.pod_namespace,                                               -- Kubernetes' namespace of the pod
    o.container_id                                                 AS outer_container_id, -- the container that this one runs in
    o.name                                                         AS outer_container_name -- its name
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
    e.protocol,                                                    -- 'tcp', 'udp'
    CASE WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- 4 or 6
    d.ip                                                           AS dst_ip, -- destination
    e.dst_port,                                                    -- its port
    d.scope                                                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
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
    e.protocol,                                                    -- 'tcp', 'udp'
    CASE WHEN instr(d.ip, ':') THEN 6 ELSE 4 END                   AS family, -- 4 or 6
    d.ip                                                           AS dst_ip, -- destination
    e.dst_port,                                                    -- its port
    d.scope                                                        AS dst_scope, -- 'loopback', 'link', 'private', 'multicast', 'public'
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

CREATE VIEW days AS -- the days of egress_daily; they do not overlap
SELECT
    start_ts,                                                      -- when it began, ns since 1970
    end_ts                                                         -- when it ended: the next may begin then
FROM day;

CREATE VIEW dns AS -- a row per record of an answer, and one for a lookup without records
SELECT
    l.id,                                                          -- of the lookup
    strftime('%Y-%m-%dT%H:%M:%S', l.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', l.ts / 1000000 % 1000)                 AS time, -- of the query; ISO 8601, UTC
    l.ts,                                                          -- the same in ns since 1970
    p.pid,                                                         -- who asked
    p.comm,                                                        -- its short name
    p.exe,                                                         -- path of its executable
    k.name                                                         AS container_name, -- its container's
    v.ip                                                           AS server_ip, -- whom it asked, before any NAT
    i.server_port,                                                 -- on which port
    i.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- name asked for
    i.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    i.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    CASE WHEN a.lookup_id IS NOT NULL THEN coalesce(n.name, q.name) END AS name, -- the record: its name
    a.type,                                                        -- its type
    a.data,                                                        -- its data, in presentation form
    a.ttl,                                                         -- its time to live, seconds
    l.latency_us,                                                  -- from query to answer
    i.status,                                                      -- 'answered', 'unanswered', 'unsolicited', 'malformed'
    l.times,                                                       -- messages alike that the row stands for
    p.id                                                           AS process_id, -- this and what follows: as in egress, of who asked
    p.start_ts,                                                    -- when the process was started
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.pod,                                                         -- Kubernetes' name of the pod
    k.pod_namespace                                                -- its namespace
FROM lookup l
JOIN inquiry i        ON i.id = l.inquiry_id
LEFT JOIN process p   ON p.id = i.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = i.server_id
LEFT JOIN host q      ON q.id = i.qname_id
LEFT JOIN answer a    ON a.lookup_id = l.id
LEFT JOIN host n      ON n.id = a.name_id;

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
    i.process_id                                                   -- as in egress, of who asked
FROM lookup l
JOIN inquiry i        ON i.id = l.inquiry_id
LEFT JOIN process p   ON p.id = i.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = i.server_id
LEFT JOIN host q      ON q.id = i.qname_id;

CREATE VIEW rivals AS -- the other names that a connection could have had; 16 of each at most, the latest first
SELECT
    r.connection_id,                                               -- id in egress
    h.name                                                         AS host, -- a name that it could have had
    (SELECT id FROM lookup WHERE id = r.lookup_id)                 AS lookup_id -- that gave it: id in dns
FROM rival r
JOIN host h ON h.id = r.host_id
ORDER BY r.connection_id, r.lookup_id DESC;

CREATE VIEW ancestors AS -- what a process descends from: a row per process and program above it
SELECT
    p.id                                                           AS process_id, -- the descendant: as in egress and dns
    g.depth + 1                                                    AS depth, -- 1: its parent, 2: that one's, ...
    a.pid,                                                         -- the ancestor
    a.start_ts,                                                    -- when it was started, ns since 1970
    a.comm,                                                        -- its short name when it started the next
    a.exe,                                                         -- its executable then
    a.cmdline,                                                     -- its arguments then
    p.recording_id,                                                -- id in recordings
    a.pid = p.session                                              AS session_leader -- 1: whose session the process was in
FROM process p
JOIN lineage g  ON g.ancestor_id = p.parent_id
JOIN ancestor a ON a.id = g.above_id;

CREATE VIEW gaps AS -- when egrets was not seeing everything
SELECT
    from_ts,                                                       -- from this time, ns since 1970
    to_ts,                                                         -- to this one
    kind,                                                          -- kind of event that was lost, 'retention', 'parse', ...; 'recording': no recorder ran
    lost,                                                          -- how many
    why                                                            -- in words
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
    id,                                                            -- counts up
    strftime('%Y-%m-%dT%H:%M:%S', start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', start_ts / 1000000 % 1000)             AS start, -- when it began; ISO 8601, UTC
    strftime('%Y-%m-%dT%H:%M:%S', end_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', end_ts / 1000000 % 1000)               AS end, -- when it ended; NULL: running, or killed
    start_ts,                                                      -- the same in ns since 1970
    end_ts,                                                        -- likewise
    seen_ts,                                                       -- until when it has seen everything
    hostname,                                                      -- of the host
    kernel,                                                        -- uname -r
    boot_id,                                                       -- tells boots apart
    version,                                                       -- of egrets
    pid,                                                           -- of the recorder
    hook_set,                                                      -- 'kprobe', 'portable'
    hooks,                                                         -- what it attached
    clean                                                          -- 1: ended by itself; 0: running or killed
FROM recording;

-- What SQLite's planner takes the tables' sizes for: those of a history of a month. Without
-- numbers it would rather read every connection than go from a name to its edges to its
-- connections. Only the proportions matter.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('connection', 'connection_ts', '10000000 1'),
    ('connection', 'connection_edge_day', '10000000 50'),
    ('edge_day', 'edge_day_edge', '200000 10 1'),
    ('edge_day', 'edge_day_day', '200000 7000'),
    ('edge_day', 'edge_day_removed', '100 100'),
    ('edge', 'edge_process', '20000 40 3 2'),
    ('edge', 'edge_host', '20000 10'),
    ('edge', 'edge_dst', '20000 8'),
    ('edge', 'edge_src', '20000 4000'),
    ('day', 'sqlite_autoindex_day_1', '30 1'),
    ('process', 'process_comm', '500 10'),
    ('process', 'process_container', '200 10'),
    ('process', 'process_parent', '500 10'),
    ('host', 'sqlite_autoindex_host_1', '2000 1'),
    ('address', 'sqlite_autoindex_address_1', '2500 1'),
    ('container', 'container_container_id', '20 1'),
    ('container', 'container_outer', '2 1'),
    ('inquiry', 'inquiry_process', '40000 80 4'),
    ('inquiry', 'inquiry_qname', '40000 20'),
    ('inquiry', 'inquiry_server', '40000 20000'),
    ('lookup', 'lookup_ts', '10000000 1'),
    ('lookup', 'lookup_inquiry', '10000000 250'),
    ('answer', 'answer', '20000000 2 1'),
    ('answer', 'answer_name', '5000000 2000'),
    ('rival', 'rival', '1000000 2 1'),
    ('rival', 'rival_host', '1000000 500'),
    ('ancestor', 'ancestor_pid', '500 1'),
    ('ancestor', 'ancestor_comm', '500 10'),
    ('lineage', 'lineage', '2500 5 1'),
    ('lineage', 'lineage_above', '2500 10'),
    ('recording', NULL, '10'),
    ('gap', NULL, '100');
ANALYZE sqlite_schema;
