-- How far attributes were computed: shards with current, stale and missing values of each family, per dataset and split.
SELECT dataset, split, family, num_shards, num_current, num_stale, num_missing,
       num_current / num_shards AS share_current
FROM attributes ORDER BY family, dataset, split;
