-- Rotation of each body joint against the rest pose (mean, spread, 95th percentile in degrees), per dataset.
FROM joint_angles();
