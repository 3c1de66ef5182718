-- One line a dataset: samples, people left out and why, and how far bodies and labels are apart on average.
WITH reasons AS (
    SELECT dataset, reason, count(*) AS n FROM rejects GROUP BY ALL
), left_out AS (
    SELECT dataset, string_agg(reason || ' ' || n, ', ' ORDER BY n DESC, reason) AS rejects_by_reason
    FROM reasons GROUP BY ALL
), held AS (
    SELECT dataset, sum(num_samples)::BIGINT AS num_samples, sum(num_rejects)::BIGINT AS num_rejects
    FROM datasets GROUP BY ALL
), measured AS (
    SELECT dataset, avg(evidence_reprojection_px) AS mean_reprojection_px,
           avg(source_body_fit_error_mm) FILTER (source_body_conversion = 'fit' AND source_body_is_present)
               AS mean_fit_error_mm
    FROM samples GROUP BY ALL
)
SELECT dataset, num_samples AS samples, num_rejects AS rejects, coalesce(rejects_by_reason, '') AS rejects_by_reason,
       round(mean_reprojection_px, 2) AS reprojection_px, round(mean_fit_error_mm, 2) AS fit_error_mm
FROM held LEFT JOIN left_out USING (dataset) LEFT JOIN measured USING (dataset)
ORDER BY dataset;
