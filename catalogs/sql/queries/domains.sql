-- Real and synthetic people: how many, in how many datasets, and how many with hands and faces.
SELECT scene_domain AS domain, count(*) AS num_instances, count(DISTINCT dataset) AS num_datasets,
       count(*) FILTER (body_has_left_hand OR body_has_right_hand) AS num_with_hands,
       count(*) FILTER (body_has_jaw AND body_has_expression) AS num_with_face,
       count(*) FILTER (body_is_transl_metric) AS num_with_metric_position
FROM samples GROUP BY ALL ORDER BY num_instances DESC;
