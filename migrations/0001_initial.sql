-- egrets history, version 1.
--
-- The tables are egrets' own and may change with a later migration. The views
-- `egress`, `dns`, `gaps` and `recordings` at the end are the public interface:
-- they change only by adding columns.
--
-- Times are nanoseconds since 1970-01-01T00:00:00Z, of the wall clock.
-- NULL means "not known"; nothing is ever invented to fill a column.

-- One row per run of `egrets record`.
CREATE TABLE recording (
    id          INTEGER PRIMARY KEY,
    start_ts    INTEGER NOT NULL,
    seen_ts     INTEGER NOT NULL,           -- of the newest batch: where a killed recording ends
    end_ts      INTEGER,                    -- NULL while running, and after a kill
    hostname    TEXT    NOT NULL,
    kernel      TEXT    NOT NULL,           -- uname -r
    boot_id     TEXT,                       -- /proc/sys/kernel/random/boot_id
    version     TEXT    NOT NULL,           -- egrets' own
    pid         INTEGER NOT NULL,
    hook_set    TEXT    NOT NULL,           -- 'portable' or 'kprobe'
    hooks       TEXT    NOT NULL,           -- the hooks attached, separated by blanks
    clean       INTEGER NOT NULL DEFAULT 0  -- 1: ended by itself, 0: running or killed
) STRICT;

CREATE TABLE container (
    id           INTEGER PRIMARY KEY,
    container_id TEXT    NOT NULL UNIQUE,   -- 64 hexadecimal digits for the usual runtimes
    runtime      TEXT,                      -- 'docker', 'podman', 'crio', 'containerd'
    name         TEXT,
    image        TEXT,
    hostname     TEXT,
    ip           TEXT,
    pod          TEXT
) STRICT;

-- A process as it was between two changes of its identity: an exec, a new
-- name, user or cgroup each begin a new row.
CREATE TABLE process (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording,
    pid          INTEGER NOT NULL,          -- tgid, in the initial pid namespace
    start_ns     INTEGER NOT NULL,          -- since boot: tells two users of one pid apart
    ppid         INTEGER,
    parent_comm  TEXT,
    comm         TEXT    NOT NULL,          -- of the thread group leader
    exe          TEXT,
    cmdline      TEXT,                      -- arguments separated by blanks
    uid          INTEGER NOT NULL,          -- as the initial user namespace sees it
    user         TEXT,
    cgroup       TEXT,
    unit         TEXT,
    container_id INTEGER REFERENCES container,
    netns        INTEGER                    -- inode number, as lsns shows it
) STRICT;
CREATE INDEX process_comm ON process (comm);
CREATE INDEX process_container ON process (container_id) WHERE container_id IS NOT NULL;

-- Names that were asked for or answered: lower case, no trailing dot.
CREATE TABLE host (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE address (
    id    INTEGER PRIMARY KEY,
    addr  BLOB NOT NULL UNIQUE,             -- 16 bytes, network order; IPv4 as ::ffff:a.b.c.d: sorts, so a CIDR is a range
    ip    TEXT NOT NULL,                    -- as inet_ntop writes it; IPv4 in dotted form
    scope TEXT NOT NULL                     -- 'loopback', 'link', 'private', 'multicast', 'public'
) STRICT;

-- A question and what became of it.
CREATE TABLE lookup (
    id         INTEGER PRIMARY KEY,
    ts         INTEGER NOT NULL,            -- of the query; of the answer where no query was seen
    process_id INTEGER REFERENCES process,
    server_id  INTEGER REFERENCES address,
    server_port INTEGER,
    transport  TEXT    NOT NULL,            -- 'udp'
    qname_id   INTEGER REFERENCES host,
    qtype      TEXT,
    rcode      TEXT,
    latency_us INTEGER,
    status     TEXT    NOT NULL             -- 'answered', 'unanswered', 'unsolicited', 'malformed'
) STRICT;
CREATE INDEX lookup_qname ON lookup (qname_id);
CREATE INDEX lookup_ts ON lookup (ts);

CREATE TABLE answer (
    id        INTEGER PRIMARY KEY,
    lookup_id INTEGER NOT NULL REFERENCES lookup,
    name_id   INTEGER NOT NULL REFERENCES host,
    type      TEXT    NOT NULL,
    data      TEXT    NOT NULL,             -- presentation form of RFC 1035, RFC 9460; RFC 3597 for unknown types
    ttl       INTEGER NOT NULL              -- seconds
) STRICT;
CREATE INDEX answer_lookup ON answer (lookup_id);

-- A TCP connection attempt or a UDP flow.
CREATE TABLE connection (
    id           INTEGER PRIMARY KEY,
    ts           INTEGER NOT NULL,          -- of the attempt; of a flow's first packet
    process_id   INTEGER NOT NULL REFERENCES process,
    tid          INTEGER NOT NULL,
    protocol     TEXT    NOT NULL,          -- 'tcp', 'udp'
    src_id       INTEGER REFERENCES address,
    src_port     INTEGER,
    dst_id       INTEGER NOT NULL REFERENCES address,
    dst_port     INTEGER NOT NULL,
    host_id      INTEGER REFERENCES host,
    host_source  TEXT,                      -- 'process', 'ancestor', 'container', 'netns', 'host'
    host_age_ms  INTEGER,
    host_rivals  INTEGER,
    lookup_id    INTEGER REFERENCES lookup, -- the evidence for host_id
    outcome      TEXT    NOT NULL,
    errno        TEXT,
    latency_us   INTEGER,
    tx_bytes     INTEGER,
    rx_bytes     INTEGER,
    duration_us  INTEGER
) STRICT;
CREATE INDEX connection_ts ON connection (ts);
CREATE INDEX connection_host ON connection (host_id, ts);
CREATE INDEX connection_process ON connection (process_id);
CREATE INDEX connection_dst ON connection (dst_id);

-- The other names that host_source could have given; at most 16 a connection.
CREATE TABLE rival (
    connection_id INTEGER NOT NULL REFERENCES connection,
    host_id       INTEGER NOT NULL REFERENCES host,
    PRIMARY KEY (connection_id, host_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE gap (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording,
    from_ts      INTEGER NOT NULL,
    to_ts        INTEGER NOT NULL,
    kind         TEXT    NOT NULL,          -- an event kind, or 'parse'
    lost         INTEGER NOT NULL,
    why          TEXT    NOT NULL
) STRICT;

-- The public interface ------------------------------------------------------

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
    d.addr                                                         AS dst_addr
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
    l.latency_us, l.status
FROM lookup l
LEFT JOIN process p   ON p.id = l.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = l.server_id
LEFT JOIN host q      ON q.id = l.qname_id
LEFT JOIN answer a    ON a.lookup_id = l.id
LEFT JOIN host n      ON n.id = a.name_id;

-- When egrets was not seeing everything: what it lost, and the time between
-- recordings. A recording that was killed ended with its newest batch.
CREATE VIEW gaps AS
SELECT from_ts, to_ts, kind, lost, why FROM gap
UNION ALL
SELECT ended, next_start, 'recording', NULL,
       CASE WHEN clean THEN 'not recording' ELSE 'not recording: the recorder before did not end cleanly' END
FROM (SELECT COALESCE(end_ts, seen_ts) AS ended, clean,
             LEAD(start_ts) OVER (ORDER BY id) AS next_start
      FROM recording)
WHERE next_start > ended;

-- One row per run of `egrets record`.
CREATE VIEW recordings AS
SELECT
    id,
    strftime('%Y-%m-%dT%H:%M:%S', start_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', start_ts / 1000000 % 1000)             AS start,
    strftime('%Y-%m-%dT%H:%M:%S', end_ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', end_ts / 1000000 % 1000)               AS end,
    start_ts, end_ts, seen_ts,
    hostname, kernel, boot_id, version, pid, hook_set, hooks, clean
FROM recording;
