-- How believable poses are: plausibility, joints beyond their limits, self-contact, distance from rest, per dataset.
SELECT dataset, count(pose_plausibility) AS num_instances, avg(pose_plausibility) AS mean_plausibility,
       min(pose_plausibility) AS min_plausibility, avg(pose_num_joints_beyond_limits) AS joints_beyond_limits,
       avg((pose_num_joints_beyond_limits > 0)::INTEGER) AS share_beyond_limits,
       avg(pose_self_contact::INTEGER) AS share_self_contact, avg(pose_rest_distance_deg) AS rest_distance_deg
FROM samples GROUP BY dataset ORDER BY dataset;
