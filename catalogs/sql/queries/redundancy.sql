-- Near-duplicates found inside datasets and between them: pairs and their likeness, by kind.
SELECT kind, dataset_a, dataset_b, count(*) AS num_pairs, avg(similarity) AS mean_similarity,
       max(similarity) AS max_similarity
FROM duplicates GROUP BY ALL ORDER BY num_pairs DESC, kind, dataset_a, dataset_b;
