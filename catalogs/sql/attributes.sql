-- How far each attribute family goes: shards whose values are current, made from something else than today, or missing.
CREATE VIEW attributes AS
    WITH families AS (
        SELECT DISTINCT family FROM shard_attributes
    ), counts AS (
        SELECT dataset, split, family,
               count(*) FILTER (state = 'current') AS num_current, count(*) FILTER (state = 'stale') AS num_stale
        FROM shard_attributes JOIN shards USING (shard) GROUP BY ALL
    )
    SELECT dataset, split, family, num_shards, coalesce(num_current, 0) AS num_current,
           coalesce(num_stale, 0) AS num_stale,
           num_shards - coalesce(num_current, 0) - coalesce(num_stale, 0) AS num_missing
    FROM datasets CROSS JOIN families LEFT JOIN counts USING (dataset, split, family);
