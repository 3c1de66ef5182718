-- Samples, rejects and shards of each dataset and split.
SELECT * FROM datasets ORDER BY dataset, split;
