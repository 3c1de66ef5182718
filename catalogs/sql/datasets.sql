-- What the manifests say of each dataset and split, added up.
CREATE VIEW datasets AS
    SELECT dataset, split, count(*) AS num_shards,
           sum(num_samples)::BIGINT AS num_samples, sum(num_rejects)::BIGINT AS num_rejects,
           sum(num_skipped)::BIGINT AS num_skipped, sum(num_bytes)::BIGINT AS num_bytes,
           bool_or(is_standin) AS is_standin
    FROM shards GROUP BY dataset, split;
