-- egrets history: containers by the name that they had, and whose session a process was in.

ALTER TABLE process ADD COLUMN session INTEGER;                           -- pid of its session's leader, setsid(2)

-- A container between two changes of what its runtime says of it: one that was renamed, or
-- has another address since it was restarted, has a row for each. So its id is not unique,
-- which SQLite can't change in place. The references to it are kept, and checked at the end.
PRAGMA defer_foreign_keys = ON;
CREATE INDEX container_outer ON container (outer_id) WHERE outer_id IS NOT NULL;
CREATE TEMP TABLE was AS SELECT * FROM container;
DROP TABLE container;
CREATE TABLE container (
    id            INTEGER PRIMARY KEY,
    container_id  TEXT    NOT NULL,                     -- 64 hexadecimal digits for the usual runtimes
    runtime       TEXT,                                 -- 'docker', 'podman', 'crio', 'containerd'
    name          TEXT,
    image         TEXT,
    hostname      TEXT,
    ip            TEXT,
    pod           TEXT,
    pod_namespace TEXT,
    outer_id      INTEGER REFERENCES container          -- the one that it runs in
) STRICT;
INSERT INTO container SELECT * FROM temp.was;
DROP TABLE temp.was;
CREATE INDEX container_container_id ON container (container_id);
CREATE INDEX container_outer ON container (outer_id) WHERE outer_id IS NOT NULL;

-- The public interface, with the new column at the end -----------------------

DROP VIEW ancestors;

-- What a process descends from: a row per process_id of egress and dns and program above
-- it, the parent at depth 1. Each as it was when it started the next.
CREATE VIEW ancestors AS
SELECT
    p.id                                                           AS process_id,
    g.depth + 1                                                    AS depth,
    a.pid, a.start_ts, a.comm, a.exe, a.cmdline,
    p.recording_id,
    a.pid = p.session                                              AS session_leader
FROM process p
JOIN lineage g  ON g.ancestor_id = p.parent_id
JOIN ancestor a ON a.id = g.above_id;
