-- Rotations given as axis-angle lists [x, y, z] in radians. Rodrigues' formula with a = sin(t)/t and b = (1 - cos(t))/t^2:
--   R(r) v = cos(t) v + a (r x v) + b (r . v) r,   t = |r|
-- Below t = 1e-4 the second-order series is exact in double precision.

CREATE MACRO aa_norm_rad(r) AS
    sqrt(r[1]::DOUBLE * r[1] + r[2]::DOUBLE * r[2] + r[3]::DOUBLE * r[3]);

CREATE MACRO rodrigues_a(t) AS
    CASE WHEN t < 1e-4 THEN 1 - t * t / 6 ELSE sin(t) / t END;

CREATE MACRO rodrigues_b(t) AS
    CASE WHEN t < 1e-4 THEN 0.5 - t * t / 24 ELSE 2 * pow(sin(t / 2) / t, 2) END;

-- Rotation angle in degrees, in [0, 180] whatever the number of turns in r.
CREATE MACRO aa_angle_deg(r) AS
    degrees(2 * asin(least(1.0, abs(sin(aa_norm_rad(r) / 2)))));

-- Third row of R(r): the camera's z axis in body axes, when r is a body's global_orient.
CREATE MACRO aa_row3_x(r) AS
    rodrigues_b(aa_norm_rad(r)) * r[1]::DOUBLE * r[3] - rodrigues_a(aa_norm_rad(r)) * r[2];
CREATE MACRO aa_row3_y(r) AS
    rodrigues_b(aa_norm_rad(r)) * r[2]::DOUBLE * r[3] + rodrigues_a(aa_norm_rad(r)) * r[1];
CREATE MACRO aa_row3_z(r) AS
    cos(aa_norm_rad(r)) + rodrigues_b(aa_norm_rad(r)) * r[3]::DOUBLE * r[3];

-- From where the camera sees the body. global_orient maps body axes (x left, y up, z front) to camera axes (x right,
-- y down, z forward); the direction towards the camera is -z of the camera, that is v = -(third row of R) in body axes.
-- It is the optical axis that counts, not the ray through the person.
--   azimuth   in (-180, 180]: 0 the camera sees the front, 90 the body's left side, 180 the back, -90 its right side
--   elevation in [-90, 90]:   90 the camera looks down on the head, 0 level, -90 up from the feet
CREATE MACRO view_azimuth_deg(global_orient_aa) AS
    degrees(atan2(-aa_row3_x(global_orient_aa), -aa_row3_z(global_orient_aa)));
CREATE MACRO view_elevation_sin(global_orient_aa) AS
    greatest(-1.0, least(1.0, -aa_row3_y(global_orient_aa)));
CREATE MACRO view_elevation_deg(global_orient_aa) AS
    degrees(asin(view_elevation_sin(global_orient_aa)));

-- Angle in degrees between a rest axis and the same axis after the rotation: what a hinge bends, without the twist about
-- the bone. With k the axis' position, cos = R[k,k] = 1 - b (|r|^2 - r[k]^2), hence the half-angle form below.
CREATE MACRO aa_bend_deg(r, k) AS
    degrees(2 * asin(least(1.0, sqrt(greatest(0.0,
        rodrigues_b(aa_norm_rad(r)) * (pow(aa_norm_rad(r), 2) - r[k]::DOUBLE * r[k]) / 2)))));

-- One joint of a flattened pose (21 joints for body_pose, joint 0 = left_hip): list of 3 in radians.
CREATE MACRO joint_aa(pose_aa, joint) AS pose_aa[3 * joint + 1 : 3 * joint + 3];

-- Shins hang along -y and forearms lie along x in the rest pose of SMPL-X.
CREATE MACRO knee_flexion_deg(joint_aa) AS aa_bend_deg(joint_aa, 2);
CREATE MACRO elbow_flexion_deg(joint_aa) AS aa_bend_deg(joint_aa, 1);
