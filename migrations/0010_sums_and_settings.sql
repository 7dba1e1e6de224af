-- egrets history, version 10: sums of lookups, as there are of connections, which go with
-- the lookups; and how much is kept.

-- What a run was told holds for later ones that are told nothing. NULL: without bound.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY NOT NULL, -- 'keep', 'keep_summary': ns; 'max_size': bytes
    value INTEGER
) STRICT, WITHOUT ROWID;

ALTER TABLE inquiry ADD COLUMN lookups  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inquiry ADD COLUMN first_ts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inquiry ADD COLUMN last_ts  INTEGER NOT NULL DEFAULT 0;

-- An inquiry on one day.
CREATE TABLE inquiry_day (
    day_id     INTEGER NOT NULL REFERENCES day,
    inquiry_id INTEGER NOT NULL REFERENCES inquiry,
    lookups    INTEGER NOT NULL,
    first_ts   INTEGER NOT NULL,
    last_ts    INTEGER NOT NULL,
    PRIMARY KEY (day_id, inquiry_id)
) STRICT, WITHOUT ROWID;

-- Days on which there was no connection: of UTC, as far as no other day reaches into them.
INSERT INTO day (start_ts, end_ts)
SELECT DISTINCT
    max(ts / 86400000000000 * 86400000000000,
        coalesce((SELECT end_ts FROM day WHERE start_ts <= ts ORDER BY start_ts DESC LIMIT 1), 0)),
    min(ts / 86400000000000 * 86400000000000 + 86400000000000,
        coalesce((SELECT start_ts FROM day WHERE start_ts > ts ORDER BY start_ts LIMIT 1), 9223372036854775807))
FROM lookup
WHERE coalesce((SELECT end_ts FROM day WHERE start_ts <= ts ORDER BY start_ts DESC LIMIT 1) <= ts, 1)
ORDER BY 1;

INSERT INTO inquiry_day (day_id, inquiry_id, lookups, first_ts, last_ts)
SELECT (SELECT id FROM day WHERE start_ts <= ts ORDER BY start_ts DESC LIMIT 1) AS on_day,
       inquiry_id, count(*), min(ts), max(ts)
FROM lookup GROUP BY on_day, inquiry_id ORDER BY on_day, inquiry_id;
CREATE INDEX inquiry_day_inquiry ON inquiry_day (inquiry_id);

UPDATE inquiry SET lookups = s.lookups, first_ts = s.first_ts, last_ts = s.last_ts
FROM (SELECT inquiry_id, sum(lookups) AS lookups, min(first_ts) AS first_ts, max(last_ts) AS last_ts
      FROM inquiry_day GROUP BY inquiry_id) AS s
WHERE s.inquiry_id = inquiry.id;

-- The public interface. ------------------------------------------------------

CREATE VIEW lookups_total AS -- lookups summed up over all time: a row per process, question, server and result
SELECT
    p.pid,                                                         -- this and what follows: as in lookups
    p.comm,                                                        -- short name of who asked
    p.exe,                                                         -- path of its executable
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime says
    k.image                                                        AS container_image, -- likewise
    k.pod,                                                         -- Kubernetes' name of the pod
    k.pod_namespace,                                               -- its namespace
    p.start_ts,                                                    -- when the process was started
    i.process_id,                                                  -- process between two changes of its identity
    v.ip                                                           AS server_ip, -- whom it asked, before any NAT
    i.server_port,                                                 -- on which port
    i.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- name asked for
    i.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    i.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    i.status,                                                      -- 'answered', 'unanswered', 'unsolicited', 'malformed'
    i.lookups,                                                     -- how many there were
    CASE WHEN i.rcode IS 'NOERROR' THEN 0 ELSE i.lookups END       AS failed, -- how many of them failed: all or none
    i.first_ts,                                                    -- ts of the first
    i.last_ts                                                      -- ts of the last
FROM inquiry i
LEFT JOIN process p   ON p.id = i.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = i.server_id
LEFT JOIN host q      ON q.id = i.qname_id
WHERE i.lookups > 0;

CREATE VIEW lookups_daily AS -- the same, a row for each day
SELECT
    p.pid,                                                         -- this and what follows: as in lookups
    p.comm,                                                        -- short name of who asked
    p.exe,                                                         -- path of its executable
    p.uid,                                                         -- user id
    p.user,                                                        -- its name
    p.unit,                                                        -- systemd unit
    k.container_id,                                                -- NULL: not in a container
    k.name                                                         AS container_name, -- as its runtime says
    k.image                                                        AS container_image, -- likewise
    k.pod,                                                         -- Kubernetes' name of the pod
    k.pod_namespace,                                               -- its namespace
    p.start_ts,                                                    -- when the process was started
    i.process_id,                                                  -- process between two changes of its identity
    v.ip                                                           AS server_ip, -- whom it asked, before any NAT
    i.server_port,                                                 -- on which port
    i.transport,                                                   -- 'udp', 'tcp'
    q.name                                                         AS qname, -- name asked for
    i.qtype,                                                       -- 'A', 'AAAA', 'HTTPS', ...
    i.rcode,                                                       -- 'NOERROR', 'NXDOMAIN', ...
    i.status,                                                      -- 'answered', 'unanswered', 'unsolicited', 'malformed'
    b.lookups,                                                     -- how many there were that day
    CASE WHEN i.rcode IS 'NOERROR' THEN 0 ELSE b.lookups END       AS failed, -- how many of them failed: all or none
    b.first_ts,                                                    -- ts of the first
    b.last_ts,                                                     -- ts of the last
    y.start_ts                                                     AS day_ts, -- when the day began, where the recorder is
    y.end_ts                                                       AS day_end_ts -- when it ended
FROM day y
JOIN inquiry_day b    ON b.day_id = y.id
JOIN inquiry i        ON i.id = b.inquiry_id
LEFT JOIN process p   ON p.id = i.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = i.server_id
LEFT JOIN host q      ON q.id = i.qname_id;

-- As in version 7: what SQLite's planner takes the tables' sizes for.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('inquiry_day', 'inquiry_day', '280000 9000 1'),
    ('inquiry_day', 'inquiry_day_inquiry', '280000 7 1');
ANALYZE sqlite_schema;
