-- Under which licences people are, and where their labels come from: counts per licence, dataset and origin.
SELECT licence, dataset, label_origin, count(*) AS num_instances
FROM samples GROUP BY ALL ORDER BY licence, num_instances DESC, dataset, label_origin;
