-- Share of samples with each part known, per dataset and split.
SELECT dataset, split, count(*) AS num_instances,
       avg(body_has_body::INTEGER) AS body, avg(body_has_betas::INTEGER) AS betas,
       avg((body_has_left_hand OR body_has_right_hand)::INTEGER) AS hands,
       avg((body_has_jaw AND body_has_expression)::INTEGER) AS face,
       avg(body_has_transl::INTEGER) AS transl, avg(body_is_transl_metric::INTEGER) AS metric_transl,
       avg(camera_is_calibrated::INTEGER) AS calibrated_camera
FROM samples GROUP BY ALL ORDER BY dataset, split;
