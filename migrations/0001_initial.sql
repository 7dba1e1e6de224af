-- The tables of an egrets history. They are private and may change with a later
-- migration; the public interface is the views in views.sql.
--
-- Times (ts, *_ts) are nanoseconds since 1970-01-01T00:00:00Z on the wall clock.
-- NULL means "not known" or "none"; no value is ever made up.

-- Policies that recordings had, confirmations of those on trial, and what was refused.
CREATE TABLE policy (
    id                 INTEGER PRIMARY KEY,
    recording_id       INTEGER NOT NULL REFERENCES recording ON DELETE CASCADE,
    ts                 INTEGER NOT NULL,        -- from when it decided
    generation         INTEGER,                 -- ascends with the policies of a recording, from 1; NULL: none came into force
    reason             TEXT    NOT NULL,        -- 'started', 'reloaded', 'expired', 'applied', 'confirmed', 'reverted', 'refused'
    digest             TEXT,                    -- NULL: refused
    file               TEXT    NOT NULL,
    rules              INTEGER,                 -- how many
    enforced           INTEGER,                 -- 1: enforced; 0: observed
    error              TEXT,                    -- why it was refused
    unknown_containers INTEGER NOT NULL DEFAULT 0, -- that no runtime has described, of now
    revert_ts          INTEGER                  -- when the one before returns, unless this one is confirmed
) STRICT;
CREATE INDEX policy_recording ON policy (recording_id, generation);

-- The rules of a policy, and behind them what decides in place of one, with their hits.
CREATE TABLE policy_rule (
    policy_id INTEGER NOT NULL REFERENCES policy ON DELETE CASCADE,
    n         INTEGER NOT NULL,                 -- a rule's index; 65531 to 65535: a setting
    name      TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    observed  INTEGER NOT NULL,                 -- 1: never enforced
    hits      INTEGER NOT NULL DEFAULT 0,       -- attempts and flows that it decided on
    last_ts   INTEGER,                          -- of the newest, as precise as the counters are read
    PRIMARY KEY (policy_id, n)
) STRICT, WITHOUT ROWID;

-- One row per run of `egrets record`.
CREATE TABLE recording (
    id              INTEGER PRIMARY KEY,
    start_ts        INTEGER NOT NULL,
    seen_ts         INTEGER NOT NULL,           -- of the newest batch: where a killed recording ends
    end_ts          INTEGER,                    -- NULL: running, or killed
    hostname        TEXT    NOT NULL,
    kernel          TEXT    NOT NULL,           -- uname -r
    boot_id         TEXT,                       -- /proc/sys/kernel/random/boot_id
    boot_ts         INTEGER,                    -- boot time by the wall clock of the boot's first recording: process starts count from it
    version         TEXT    NOT NULL,           -- of egrets
    pid             INTEGER NOT NULL,
    hook_set        TEXT    NOT NULL,           -- as 'egrets check' names it
    hooks           TEXT    NOT NULL,           -- attached hooks, separated by spaces
    clean           INTEGER NOT NULL DEFAULT 0, -- 1: stopped in an orderly way; 0: running or killed
    last_connection INTEGER NOT NULL DEFAULT 0, -- ids up to these
    last_lookup     INTEGER NOT NULL DEFAULT 0, -- are never reused
    ended           TEXT,                       -- 'stopped', 'killed', 'locked', ...; NULL: running, or not known yet
    counted_ts      INTEGER                     -- when the bytes of what is open were last read
) STRICT;

-- The retention that `egrets record` was last given; later runs keep to it.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY NOT NULL,            -- 'keep', 'keep_summary': ns; 'max_size': bytes
    value INTEGER                               -- NULL: no limit
) STRICT, WITHOUT ROWID;

-- What the rows of each user take, estimated: retention by size begins with who has more than a share.
CREATE TABLE account (
    uid   INTEGER PRIMARY KEY,                  -- a subordinate id's is its owner's
    bytes INTEGER NOT NULL
) STRICT;

-- Days of the recorder's time zone. They never overlap, even when the zone changes.
CREATE TABLE day (
    id       INTEGER PRIMARY KEY,
    start_ts INTEGER NOT NULL UNIQUE,
    end_ts   INTEGER NOT NULL
) STRICT;

-- Host names that were queried or answered: lower case, no trailing dot.
CREATE TABLE host (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- An unknown destination is '::', which no socket can connect to.
CREATE TABLE address (
    id    INTEGER PRIMARY KEY,
    addr  BLOB NOT NULL UNIQUE,                 -- 16 bytes, network order; IPv4 as ::ffff:a.b.c.d: it sorts, so a CIDR is a range
    ip    TEXT NOT NULL,                        -- as inet_ntop(3) writes it; IPv4 in dotted form
    scope TEXT NOT NULL,                        -- 'loopback', 'link', 'private', 'multicast', 'public'
    ipv4  TEXT,                                 -- that it stands for by NAT64
    country TEXT,                               -- of --geo, as it was when the address was last connected to
    asn   INTEGER,
    as_org TEXT
) STRICT;
CREATE INDEX address_country ON address (country) WHERE country IS NOT NULL;
CREATE INDEX address_asn ON address (asn) WHERE asn IS NOT NULL;

-- A container between two changes of its details: after a rename or a new address
-- the same container_id gets another row.
CREATE TABLE container (
    id            INTEGER PRIMARY KEY,
    container_id  TEXT    NOT NULL,             -- 64 hexadecimal digits for the usual runtimes
    uid           INTEGER NOT NULL DEFAULT 0,   -- user who may create its cgroup
    runtime       TEXT,                         -- 'docker', 'podman', 'crio', 'containerd', ...
    name          TEXT,
    image         TEXT,
    hostname      TEXT,
    ip            TEXT,
    pod           TEXT,                         -- Kubernetes
    pod_namespace TEXT,
    outer_id      INTEGER REFERENCES container  -- the container that it runs in
) STRICT;
CREATE INDEX container_container_id ON container (container_id);
CREATE INDEX container_outer ON container (outer_id) WHERE outer_id IS NOT NULL;

-- A program that started others: a process between two execs. The same program has a
-- row of its own in each recording.
CREATE TABLE ancestor (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording,
    pid          INTEGER NOT NULL,
    start_ts     INTEGER NOT NULL,              -- recording.boot_ts + start since boot
    comm         TEXT    NOT NULL,
    exe          TEXT,
    cmdline      TEXT
) STRICT;
CREATE INDEX ancestor_pid ON ancestor (pid);
CREATE INDEX ancestor_comm ON ancestor (comm);

-- Transitive closure: all ancestors of an ancestor, itself at depth 0, so that no
-- query needs recursion.
CREATE TABLE lineage (
    ancestor_id INTEGER NOT NULL REFERENCES ancestor,
    depth       INTEGER NOT NULL,
    above_id    INTEGER NOT NULL REFERENCES ancestor,
    PRIMARY KEY (ancestor_id, depth)
) STRICT, WITHOUT ROWID;
CREATE INDEX lineage_above ON lineage (above_id);

-- What was found out about an executable as a process began to run it. Execs of a file that
-- only root can change share a row for a second; any other exec has its own.
CREATE TABLE executable (
    id                 INTEGER PRIMARY KEY,
    recording_id       INTEGER NOT NULL REFERENCES recording,
    serial             INTEGER NOT NULL,        -- in that recording; of several rows where its id was no longer remembered
    hash_status        TEXT,                    -- 'hashed', 'too_large', 'unreadable', 'gone', ...; NULL: not known yet
    sha256             TEXT,                    -- hexadecimal digits
    setuid             INTEGER,                 -- 1: set-user-ID
    world_writable_dir INTEGER,                 -- 1: any user can write to a directory on its path
    packaged           INTEGER,                 -- 1: a package owns it; 0: none does; NULL: not known
    package            TEXT,
    package_version    TEXT,
    modified           INTEGER                  -- 1: differs from the package's checksum
) STRICT;
CREATE INDEX executable_sha256 ON executable (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX executable_pending ON executable (recording_id, serial) WHERE hash_status IS NULL;

-- A process between two changes of its identity: an exec, a new name, user, cgroup or
-- network namespace begins a new row.
CREATE TABLE process (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording,
    pid          INTEGER NOT NULL,              -- tgid, in the initial pid namespace
    start_ns     INTEGER NOT NULL,              -- since boot: distinguishes processes that had the same pid
    start_ts     INTEGER NOT NULL,              -- recording.boot_ts + start_ns
    ppid         INTEGER,
    parent_comm  TEXT,
    comm         TEXT    NOT NULL,              -- of the thread group leader
    exe          TEXT,
    cmdline      TEXT,                          -- arguments separated by spaces
    uid          INTEGER NOT NULL,              -- in the initial user namespace
    user         TEXT,
    login_uid    INTEGER,                       -- audit's loginuid; NULL: no login
    login_user   TEXT,
    cgroup       TEXT,
    unit         TEXT,                          -- systemd
    container_id INTEGER REFERENCES container,
    netns        INTEGER,                       -- inode number, as lsns(8) shows it
    parent_id    INTEGER REFERENCES ancestor,
    session      INTEGER,                       -- pid of the session leader, setsid(2)
    exe_view     TEXT,                          -- mount namespace that exe is a path in: 'host', 'namespace', ...
    exe_deleted  INTEGER,                       -- 1: deleted or replaced
    exe_device   TEXT,                          -- MAJOR:MINOR
    exe_inode    INTEGER,
    executable_id INTEGER REFERENCES executable,
    euid         INTEGER NOT NULL,              -- effective: whose rights it had
    euser        TEXT,
    account      INTEGER NOT NULL DEFAULT 0     -- who is accountable for its rows
) STRICT;
CREATE INDEX process_comm ON process (comm);
CREATE INDEX process_user ON process (user) WHERE user IS NOT NULL;
CREATE INDEX process_unit ON process (unit) WHERE unit IS NOT NULL;
CREATE INDEX process_container ON process (container_id) WHERE container_id IS NOT NULL;
CREATE INDEX process_executable ON process (executable_id) WHERE executable_id IS NOT NULL;
CREATE INDEX process_parent ON process (parent_id) WHERE parent_id IS NOT NULL;

-- The names that connections sent themselves.
CREATE TABLE wire (
    id           INTEGER PRIMARY KEY,
    sni          TEXT,                          -- of a TLS ClientHello
    sni_ech      INTEGER,                       -- 1: with ECH, or GREASE of it; NULL: no TLS
    alpn         TEXT,                          -- offered protocols, separated by commas
    http_host    TEXT,                          -- of an HTTP/1 request
    proxied_host TEXT,                          -- what a proxy was asked for
    proxied_port INTEGER
) STRICT;
CREATE INDEX wire_names ON wire (sni, http_host, proxied_host);

-- What many connections have in common, with their totals. Totals change in the same
-- transaction as the connections.
CREATE TABLE connection_group (
    id          INTEGER PRIMARY KEY,
    process_id  INTEGER NOT NULL REFERENCES process,
    protocol    TEXT    NOT NULL,               -- 'tcp', 'udp', 'icmp', ...
    src_id      INTEGER REFERENCES address,
    dst_id      INTEGER NOT NULL REFERENCES address,
    dst_port    INTEGER NOT NULL,               -- 0: none
    host_id     INTEGER REFERENCES host,
    host_source TEXT,                           -- 'process', 'ancestor', 'container', 'netns', 'host', 'hosts', 'sni'
    outcome     TEXT    NOT NULL,
    errno       TEXT,
    direction   TEXT    NOT NULL DEFAULT 'out', -- 'in': the peer sent first
    connections INTEGER NOT NULL DEFAULT 0,
    tx_known    INTEGER NOT NULL DEFAULT 0,     -- connections whose tx_bytes are known
    tx_bytes    INTEGER NOT NULL DEFAULT 0,     -- their sum
    rx_known    INTEGER NOT NULL DEFAULT 0,
    rx_bytes    INTEGER NOT NULL DEFAULT 0,
    first_ts    INTEGER NOT NULL,
    last_ts     INTEGER NOT NULL,
    wire_id     INTEGER REFERENCES wire
) STRICT;
CREATE INDEX connection_group_process ON connection_group (process_id, dst_id, dst_port);
CREATE INDEX connection_group_host ON connection_group (host_id) WHERE host_id IS NOT NULL;
CREATE INDEX connection_group_dst ON connection_group (dst_id);
CREATE INDEX connection_group_src ON connection_group (src_id) WHERE src_id IS NOT NULL;
CREATE INDEX connection_group_wire ON connection_group (wire_id) WHERE wire_id IS NOT NULL;
CREATE INDEX connection_group_in ON connection_group (last_ts) WHERE direction = 'in';

-- The share of one day in a connection group.
CREATE TABLE connection_daily (
    id          INTEGER PRIMARY KEY,
    group_id    INTEGER NOT NULL REFERENCES connection_group,
    day_id      INTEGER NOT NULL REFERENCES day,
    connections INTEGER NOT NULL DEFAULT 0,
    removed     INTEGER NOT NULL DEFAULT 0,     -- of these: rows that retention removed and only this total still counts
    tx_known    INTEGER NOT NULL DEFAULT 0,
    tx_bytes    INTEGER NOT NULL DEFAULT 0,
    rx_known    INTEGER NOT NULL DEFAULT 0,
    rx_bytes    INTEGER NOT NULL DEFAULT 0,
    first_ts    INTEGER NOT NULL,
    last_ts     INTEGER NOT NULL,
    account     INTEGER NOT NULL DEFAULT 0      -- the process'
) STRICT;
CREATE UNIQUE INDEX connection_daily_group ON connection_daily (group_id, day_id);
CREATE INDEX connection_daily_day ON connection_daily (day_id);
CREATE INDEX connection_daily_removed ON connection_daily (day_id) WHERE removed > 0;
CREATE INDEX connection_daily_account ON connection_daily (account, first_ts) WHERE connections > removed;
CREATE INDEX connection_daily_empty ON connection_daily (account) WHERE connections = 0;

-- A TCP attempt or a flow of another protocol: what it does not share with its group.
CREATE TABLE connection (
    id           INTEGER PRIMARY KEY,
    ts           INTEGER NOT NULL,              -- of the attempt; of a flow's first packet
    daily_id     INTEGER NOT NULL REFERENCES connection_daily,
    tid          INTEGER NOT NULL,
    src_port     INTEGER,
    host_age_ms  INTEGER,
    host_rivals  INTEGER,
    lookup_id    INTEGER,                       -- evidence for the name; that lookup may have been removed
    latency_us   INTEGER,
    tx_bytes     INTEGER,
    rx_bytes     INTEGER,
    duration_us  INTEGER,
    already_open INTEGER NOT NULL DEFAULT 0,    -- 1: open before the recording began
    tx_packets   INTEGER,
    rx_packets   INTEGER,
    raw          INTEGER NOT NULL DEFAULT 0,    -- 1: from a raw socket
    shared_pid   INTEGER,                       -- another process that used the socket
    first_hop    TEXT,                          -- of a source route
    total_tx_bytes INTEGER,                     -- already_open TCP: since the connection
    total_rx_bytes INTEGER,                     -- was made
    verdict      TEXT,                          -- of the policy; NULL: none
    rule         TEXT,                          -- what decided
    policy       TEXT,                          -- digest
    enforced     INTEGER,                       -- 1: the verdict was enforced; 0: observed
    action_outcome TEXT                         -- 'done', 'gone', 'exempt', 'rate_limit', 'failed'
) STRICT;
CREATE INDEX connection_ts ON connection (ts);
CREATE INDEX connection_daily_id ON connection (daily_id);

-- The other candidates for a connection's name, 16 at most.
CREATE TABLE rival (
    connection_id INTEGER NOT NULL REFERENCES connection,
    host_id       INTEGER NOT NULL REFERENCES host,
    lookup_id     INTEGER,                      -- as in connection
    PRIMARY KEY (connection_id, host_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rival_host ON rival (host_id);

-- What many lookups have in common, with their totals, like connection_group.
CREATE TABLE lookup_group (
    id          INTEGER PRIMARY KEY,
    process_id  INTEGER REFERENCES process,
    server_id   INTEGER REFERENCES address,
    server_port INTEGER,
    transport   TEXT    NOT NULL,               -- 'udp', 'tcp'
    qname_id    INTEGER REFERENCES host,
    qtype       TEXT,
    rcode       TEXT,
    status      TEXT    NOT NULL,               -- 'answered', 'unanswered', 'unsent', 'unsolicited', 'malformed'
    lookups     INTEGER NOT NULL DEFAULT 0,
    first_ts    INTEGER NOT NULL DEFAULT 0,
    last_ts     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX lookup_group_process ON lookup_group (process_id, qname_id);
CREATE INDEX lookup_group_qname ON lookup_group (qname_id) WHERE qname_id IS NOT NULL;
CREATE INDEX lookup_group_server ON lookup_group (server_id) WHERE server_id IS NOT NULL;

-- The share of one day in a lookup group.
CREATE TABLE lookup_daily (
    day_id   INTEGER NOT NULL REFERENCES day,
    group_id INTEGER NOT NULL REFERENCES lookup_group,
    lookups  INTEGER NOT NULL,
    first_ts INTEGER NOT NULL,
    last_ts  INTEGER NOT NULL,
    account  INTEGER NOT NULL DEFAULT 0,        -- the process'
    PRIMARY KEY (day_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX lookup_daily_group ON lookup_daily (group_id);
CREATE INDEX lookup_daily_account ON lookup_daily (account, first_ts);

-- A DNS query and its result.
CREATE TABLE lookup (
    id         INTEGER PRIMARY KEY,
    ts         INTEGER NOT NULL,                -- of the query; of the answer where no query was seen
    group_id   INTEGER NOT NULL REFERENCES lookup_group,
    latency_us INTEGER,
    times      INTEGER NOT NULL DEFAULT 1       -- how many similar messages this row represents
) STRICT;
CREATE INDEX lookup_ts ON lookup (ts);
CREATE INDEX lookup_group_id ON lookup (group_id);

-- A resource record of an answer.
CREATE TABLE answer (
    lookup_id INTEGER NOT NULL REFERENCES lookup,
    n         INTEGER NOT NULL,                 -- position in the message
    name_id   INTEGER REFERENCES host,          -- NULL: the queried name
    type      TEXT    NOT NULL,
    data      TEXT    NOT NULL,                 -- presentation form of RFC 1035, RFC 9460; RFC 3597 for unknown types
    ttl       INTEGER NOT NULL,                 -- seconds
    PRIMARY KEY (lookup_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_name ON answer (name_id) WHERE name_id IS NOT NULL;

-- Loss within a recording; the time between recordings follows from `recording`.
CREATE TABLE gap (
    id           INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recording,
    from_ts      INTEGER NOT NULL,
    to_ts        INTEGER NOT NULL,
    kind         TEXT    NOT NULL,              -- an event kind, 'parse', 'retention', ...: docs/schema.md
    lost         INTEGER NOT NULL,
    why          TEXT    NOT NULL
) STRICT;

-- Table sizes for the query planner. Nothing runs ANALYZE on a history, and with
-- SQLite's default estimates it would rather scan all connections than go from a name
-- to its groups and their connections. Only the proportions matter.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('connection', 'connection_ts', '10000000 1'),
    ('connection', 'connection_daily_id', '10000000 50'),
    ('connection_daily', 'connection_daily_group', '200000 10 1'),
    ('connection_daily', 'connection_daily_day', '200000 7000'),
    ('connection_daily', 'connection_daily_removed', '100 100'),
    ('connection_daily', 'connection_daily_account', '200000 40000 1'),
    ('connection_daily', 'connection_daily_empty', '2000 400'),
    ('connection_group', 'connection_group_process', '20000 40 3 2'),
    ('connection_group', 'connection_group_host', '20000 10'),
    ('connection_group', 'connection_group_dst', '20000 8'),
    ('connection_group', 'connection_group_src', '20000 4000'),
    ('connection_group', 'connection_group_wire', '10000 10'),
    ('wire', 'wire_names', '2000 2 1 1'),
    ('day', 'sqlite_autoindex_day_1', '30 1'),
    ('process', 'process_comm', '500 10'),
    ('process', 'process_container', '200 10'),
    ('process', 'process_executable', '500 2'),
    ('process', 'process_parent', '500 10'),
    ('executable', 'executable_sha256', '250 2'),
    ('executable', 'executable_pending', '10 1'),
    ('process', 'process_user', '500 100'),
    ('process', 'process_unit', '300 15'),
    ('host', 'sqlite_autoindex_host_1', '2000 1'),
    ('address', 'sqlite_autoindex_address_1', '2500 1'),
    ('address', 'address_country', '2000 100'),
    ('address', 'address_asn', '2000 20'),
    ('container', 'container_container_id', '20 1'),
    ('container', 'container_outer', '2 1'),
    ('lookup_group', 'lookup_group_process', '40000 80 4'),
    ('lookup_group', 'lookup_group_qname', '40000 20'),
    ('lookup_group', 'lookup_group_server', '40000 20000'),
    ('lookup_daily', 'lookup_daily', '280000 9000 1'),
    ('lookup_daily', 'lookup_daily_group', '280000 7 1'),
    ('lookup_daily', 'lookup_daily_account', '280000 56000 1 1 1'),
    ('account', NULL, '5'),
    ('lookup', 'lookup_ts', '10000000 1'),
    ('lookup', 'lookup_group_id', '10000000 250'),
    ('answer', 'answer', '20000000 2 1'),
    ('answer', 'answer_name', '5000000 2000'),
    ('rival', 'rival', '1000000 2 1'),
    ('rival', 'rival_host', '1000000 500'),
    ('ancestor', 'ancestor_pid', '500 1'),
    ('ancestor', 'ancestor_comm', '500 10'),
    ('lineage', 'lineage', '2500 5 1'),
    ('lineage', 'lineage_above', '2500 10'),
    ('recording', NULL, '10'),
    ('gap', NULL, '100'),
    ('policy', 'policy_recording', '20 2 1'),
    ('policy_rule', 'policy_rule', '400 20 1');
ANALYZE sqlite_schema;
