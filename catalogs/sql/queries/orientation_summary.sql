-- How evenly a dataset is seen: share of views from the front, the sides and the back, entropy over cells, camera tilt.
WITH cells AS (
    SELECT dataset, orientation_cell AS cell, count(*) AS num
    FROM samples WHERE orientation_cell IS NOT NULL GROUP BY ALL
), shares AS (
    SELECT dataset, num / sum(num) OVER (PARTITION BY dataset) AS share FROM cells
), evenness AS (
    SELECT dataset, sum(-share * log2(share)) / log2(24 * 9) AS evenness FROM shares GROUP BY ALL
), views AS (
    SELECT dataset, count(*) AS num_instances,
           avg((abs(orientation_azimuth_deg) <= 45)::INTEGER) AS front,
           avg((abs(orientation_azimuth_deg) BETWEEN 45 AND 135)::INTEGER) AS sides,
           avg((abs(orientation_azimuth_deg) > 135)::INTEGER) AS back,
           avg(orientation_elevation_deg) AS mean_elevation_deg,
           avg(abs(orientation_roll_deg)) AS mean_abs_roll_deg
    FROM samples WHERE orientation_cell IS NOT NULL GROUP BY ALL
)
SELECT views.*, evenness FROM views JOIN evenness USING (dataset) ORDER BY dataset;
