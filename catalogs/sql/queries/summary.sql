-- One line a dataset and split: samples, people left out and why, and how far bodies and labels are apart on average.
WITH reasons AS (
    SELECT dataset, split, reason, count(*) AS n FROM rejects GROUP BY ALL
), left_out AS (
    SELECT dataset, split, sum(n)::BIGINT AS num_rejects,
           string_agg(reason || ' ' || n, ', ' ORDER BY n DESC, reason) AS rejects_by_reason
    FROM reasons GROUP BY ALL
), measured AS (
    SELECT dataset, split, avg(evidence_reprojection_px) AS mean_reprojection_px,
           avg(source_body_fit_error_mm) FILTER (source_body_conversion = 'fit' AND source_body_is_present)
               AS mean_fit_error_mm
    FROM samples GROUP BY ALL
)
SELECT dataset, split, num_samples, coalesce(left_out.num_rejects, 0) AS num_rejects,
       coalesce(rejects_by_reason, '') AS rejects_by_reason, mean_reprojection_px, mean_fit_error_mm
FROM datasets LEFT JOIN left_out USING (dataset, split) LEFT JOIN measured USING (dataset, split)
ORDER BY dataset, split;
