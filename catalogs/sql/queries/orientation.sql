-- From where the cameras see the bodies: azimuth and elevation in 24 x 9 cells of equal solid angle, per dataset.
WITH cells AS (
    SELECT dataset, orientation_cell AS cell, count(*) AS num_instances
    FROM samples WHERE orientation_cell IS NOT NULL GROUP BY ALL
)
SELECT dataset, cell % 24 AS azimuth_bin, cell // 24 AS elevation_bin, cell_azimuth_deg(cell) AS azimuth_deg,
       cell_elevation_from_deg(cell) AS elevation_from_deg, cell_elevation_to_deg(cell) AS elevation_to_deg,
       num_instances, num_instances / sum(num_instances) OVER (PARTITION BY dataset) AS share
FROM cells ORDER BY dataset, azimuth_bin, elevation_bin;
