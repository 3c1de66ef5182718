-- Source pictures and recordings that two datasets, or two splits, have in common.
FROM "overlaps" ORDER BY num DESC, kind, dataset_a, dataset_b;
