-- How differently every two datasets are seen: Jensen-Shannon divergence of viewing directions in bits (0 same, 1 apart).
WITH cells AS (
    SELECT dataset AS name, orientation_cell AS bin, count(*) AS num
    FROM samples WHERE orientation_cell IS NOT NULL GROUP BY ALL
)
SELECT name_a AS dataset_a, name_b AS dataset_b, divergence_bits FROM divergences_bits('cells');
