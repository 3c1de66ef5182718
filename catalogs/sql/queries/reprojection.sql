-- How well the bodies lie on the datasets' own 2D keypoints: share of the person box's diagonal and pixels.
SELECT dataset, split, count(*) FILTER (NOT isnan(evidence_reprojection_share)) AS num_instances,
       median(evidence_reprojection_px) FILTER (NOT isnan(evidence_reprojection_px)) AS median_px,
       median(evidence_reprojection_share) FILTER (NOT isnan(evidence_reprojection_share)) AS median_share,
       quantile_cont(evidence_reprojection_share, 0.95) FILTER (NOT isnan(evidence_reprojection_share)) AS p95_share
FROM instances GROUP BY ALL ORDER BY dataset, split;
