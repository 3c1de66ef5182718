-- How far knees and elbows are bent, both sides together, in bins of 10 degrees, per dataset.
WITH bins AS (
    SELECT dataset, 'knee' AS joint, floor(pose_left_knee_flexion_deg / 10) AS bin, count(*) AS num
    FROM samples GROUP BY ALL
    UNION ALL
    SELECT dataset, 'knee', floor(pose_right_knee_flexion_deg / 10), count(*) FROM samples GROUP BY ALL
    UNION ALL
    SELECT dataset, 'elbow', floor(pose_left_elbow_flexion_deg / 10), count(*) FROM samples GROUP BY ALL
    UNION ALL
    SELECT dataset, 'elbow', floor(pose_right_elbow_flexion_deg / 10), count(*) FROM samples GROUP BY ALL
), added AS (
    SELECT dataset, joint, least(bin, 17)::INTEGER AS bin, sum(num)::BIGINT AS num_joints
    FROM bins WHERE bin IS NOT NULL GROUP BY ALL
)
SELECT dataset, joint, bin, bin * 10 AS from_deg, (bin + 1) * 10 AS to_deg, num_joints,
       num_joints / sum(num_joints) OVER (PARTITION BY dataset, joint) AS share
FROM added ORDER BY dataset, joint, bin;
