-- egrets history: a lookup as one row, with who asked, so that questions about
-- lookups have the same conditions as those about connections.

CREATE INDEX lookup_process ON lookup (process_id) WHERE process_id IS NOT NULL;

-- A row per lookup. docs/schema.md explains each column.
CREATE VIEW lookups AS
SELECT
    l.id,
    strftime('%Y-%m-%dT%H:%M:%S', l.ts / 1000000000, 'unixepoch')
        || printf('.%03dZ', l.ts / 1000000 % 1000)                 AS time,
    l.ts,
    p.pid, p.comm, p.exe, p.uid, p.user,
    v.ip                                                           AS server_ip,
    l.server_port, l.transport,
    q.name                                                         AS qname,
    l.qtype, l.rcode, l.latency_us, l.status, l.times,
    p.unit,
    k.container_id,
    k.name                                                         AS container_name,
    k.image                                                        AS container_image,
    l.process_id
FROM lookup l
LEFT JOIN process p   ON p.id = l.process_id
LEFT JOIN container k ON k.id = p.container_id
LEFT JOIN address v   ON v.id = l.server_id
LEFT JOIN host q      ON q.id = l.qname_id;
