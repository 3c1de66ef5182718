-- How well the bodies lie on the datasets' own 2D keypoints: pixels, and share of the person box's diagonal.
SELECT dataset, split, count(evidence_reprojection_px) AS num_instances,
       median(evidence_reprojection_px) AS median_px,
       median(evidence_reprojection_share) AS median_share,
       quantile_cont(evidence_reprojection_share, 0.95) AS p95_share
FROM samples GROUP BY ALL ORDER BY dataset, split;
