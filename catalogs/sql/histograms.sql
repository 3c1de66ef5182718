-- Table macros over the view `instances`. Samples without a body are left out; `share` adds up to 1 in each dataset.

-- Cells of equal solid angle: azimuth in equal steps of degrees, elevation in equal steps of its sine, so that views
-- spread evenly over the sphere give a flat histogram. The front (azimuth 0) lies in the middle of a cell, as does the
-- level view when num_elevation is odd: the commonest views must not be split by rounding. Cell 0 of the azimuth is
-- centred at the back, -180 = 180. Only cells with samples are listed.
CREATE MACRO orientation_histogram(num_azimuth := 24, num_elevation := 9) AS TABLE
    WITH views AS (
        SELECT dataset,
               view_azimuth_deg(body_global_orient_aa) AS azimuth_deg,
               view_elevation_sin(body_global_orient_aa) AS elevation_sin
        FROM instances WHERE body_has_body
    ), cells AS (
        SELECT dataset,
               floor((azimuth_deg + 180) / 360 * num_azimuth + 0.5)::INTEGER % num_azimuth AS azimuth_bin,
               least(floor((elevation_sin + 1) / 2 * num_elevation), num_elevation - 1)::INTEGER AS elevation_bin,
               count(*) AS num_instances
        FROM views GROUP BY ALL
    )
    SELECT dataset, azimuth_bin, elevation_bin,
           azimuth_bin * 360.0 / num_azimuth - 180 AS azimuth_deg,
           degrees(asin(elevation_bin * 2.0 / num_elevation - 1)) AS elevation_from_deg,
           degrees(asin(least(1.0, (elevation_bin + 1) * 2.0 / num_elevation - 1))) AS elevation_to_deg,
           num_instances,
           num_instances / sum(num_instances) OVER (PARTITION BY dataset) AS share
    FROM cells ORDER BY dataset, azimuth_bin, elevation_bin;

-- Knees and elbows, both sides together: how far they are bent, in bins of `bin_deg` degrees.
CREATE MACRO flexion_histogram(bin_deg := 10) AS TABLE
    WITH bends AS (
        SELECT dataset,
               unnest(['knee', 'knee', 'elbow', 'elbow']) AS joint,
               unnest([knee_flexion_deg(joint_aa(body_body_pose_aa, 3)),
                       knee_flexion_deg(joint_aa(body_body_pose_aa, 4)),
                       elbow_flexion_deg(joint_aa(body_body_pose_aa, 17)),
                       elbow_flexion_deg(joint_aa(body_body_pose_aa, 18))]) AS flexion_deg
        FROM instances WHERE body_has_body
    ), bins AS (
        SELECT dataset, joint, least(floor(flexion_deg / bin_deg), ceil(180.0 / bin_deg) - 1)::INTEGER AS bin,
               count(*) AS num_joints
        FROM bends GROUP BY ALL
    )
    SELECT dataset, joint, bin, bin * bin_deg AS from_deg, (bin + 1) * bin_deg AS to_deg, num_joints,
           num_joints / sum(num_joints) OVER (PARTITION BY dataset, joint) AS share
    FROM bins ORDER BY dataset, joint, bin;

-- Rotation angle of each of the 21 body joints against the rest pose.
CREATE MACRO joint_angles() AS TABLE
    WITH joints AS (
        SELECT * FROM (VALUES
            (0, 'left_hip'), (1, 'right_hip'), (2, 'spine1'), (3, 'left_knee'), (4, 'right_knee'), (5, 'spine2'),
            (6, 'left_ankle'), (7, 'right_ankle'), (8, 'spine3'), (9, 'left_foot'), (10, 'right_foot'), (11, 'neck'),
            (12, 'left_collar'), (13, 'right_collar'), (14, 'head'), (15, 'left_shoulder'), (16, 'right_shoulder'),
            (17, 'left_elbow'), (18, 'right_elbow'), (19, 'left_wrist'), (20, 'right_wrist')
        ) AS names (joint_index, joint)
    ), angles AS (
        SELECT dataset, joint_index, joint, aa_angle_deg(joint_aa(body_body_pose_aa, joint_index)) AS angle_deg
        FROM instances, joints WHERE body_has_body
    )
    SELECT dataset, joint_index, joint, count(*) AS num_instances, avg(angle_deg) AS mean_deg,
           stddev_pop(angle_deg) AS std_deg, quantile_cont(angle_deg, 0.95) AS p95_deg
    FROM angles GROUP BY dataset, joint_index, joint ORDER BY dataset, joint_index;
