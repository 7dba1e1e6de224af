-- egrets history: old lookups can be removed without reading every connection for
-- what rests on them.

CREATE INDEX connection_lookup ON connection (lookup_id) WHERE lookup_id IS NOT NULL;
CREATE INDEX rival_lookup ON rival (lookup_id) WHERE lookup_id IS NOT NULL;
