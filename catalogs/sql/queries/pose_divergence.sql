-- How differently the people of every two datasets are posed: Jensen-Shannon divergence over pose clusters in bits.
WITH clusters AS (
    SELECT dataset AS name, pose_space_cluster AS bin, count(*) AS num
    FROM samples WHERE pose_space_cluster IS NOT NULL GROUP BY ALL
)
SELECT name_a AS dataset_a, name_b AS dataset_b, divergence_bits FROM divergences_bits('clusters');
