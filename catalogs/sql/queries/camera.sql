-- How the cameras are set: field of view, distance, height above the person, and size of the person, per dataset.
SELECT dataset, count(camera_vertical_fov_deg) AS num_instances, avg(camera_vertical_fov_deg) AS vertical_fov_deg,
       stddev_pop(camera_vertical_fov_deg) AS std_vertical_fov_deg, avg(camera_distance_m) AS distance_m,
       stddev_pop(camera_distance_m) AS std_distance_m, avg(camera_elevation_deg) AS elevation_deg,
       stddev_pop(camera_elevation_deg) AS std_elevation_deg, avg(camera_person_size_px) AS person_size_px,
       avg(camera_perspective_strength) AS perspective_strength,
       avg(camera_is_calibrated::INTEGER) AS share_calibrated
FROM samples GROUP BY dataset ORDER BY dataset;
