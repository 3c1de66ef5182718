-- Table macros over the index alone: they need no attributes, and read poses from the shards, which takes a while. The
-- named queries of the same subjects read attributes and are fast. Samples without a body are left out; `share` adds up
-- to 1 in each dataset.

-- Cells of equal solid angle (see cells.sql); only cells with samples are listed.
CREATE MACRO orientation_histogram(num_azimuth := 24, num_elevation := 9) AS TABLE
    WITH cells AS (
        SELECT dataset,
               orientation_cell(view_azimuth_deg(body_global_orient_aa), view_elevation_sin(body_global_orient_aa),
                                num_azimuth := num_azimuth, num_elevation := num_elevation) AS cell,
               count(*) AS num_instances
        FROM instances WHERE body_has_body GROUP BY ALL
    )
    SELECT dataset, cell % num_azimuth AS azimuth_bin, cell // num_azimuth AS elevation_bin,
           cell_azimuth_deg(cell, num_azimuth := num_azimuth) AS azimuth_deg,
           cell_elevation_from_deg(cell, num_azimuth := num_azimuth, num_elevation := num_elevation)
               AS elevation_from_deg,
           cell_elevation_to_deg(cell, num_azimuth := num_azimuth, num_elevation := num_elevation) AS elevation_to_deg,
           num_instances, num_instances / sum(num_instances) OVER (PARTITION BY dataset) AS share
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
        FROM records WHERE body_has_body
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
        FROM records, joints WHERE body_has_body
    )
    SELECT dataset, joint_index, joint, count(*) AS num_instances, avg(angle_deg) AS mean_deg,
           stddev_pop(angle_deg) AS std_deg, quantile_cont(angle_deg, 0.95) AS p95_deg
    FROM angles GROUP BY dataset, joint_index, joint ORDER BY dataset, joint_index;
