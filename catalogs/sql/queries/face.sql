-- How much faces move: expression and jaw, and the share of people that have them, per dataset.
SELECT dataset, count(*) AS num_instances, avg((body_has_jaw AND body_has_expression)::INTEGER) AS share_with_face,
       avg(pose_expression_norm) AS mean_expression_norm, stddev_pop(pose_expression_norm) AS std_expression_norm,
       avg(pose_jaw_deg) AS mean_jaw_deg, max(pose_jaw_deg) AS max_jaw_deg
FROM samples GROUP BY dataset ORDER BY dataset;
