-- Where labels come from and how well they fit: reprojection, fit error, calibrated cameras, per dataset and origin.
SELECT dataset, label_origin AS origin, count(*) AS num_instances, avg(label_reprojection_px) AS reprojection_px,
       avg(label_reprojection_share) AS reprojection_share, avg(label_fit_error_mm) AS fit_error_mm,
       avg((label_camera = 'calibrated')::INTEGER) AS share_calibrated, avg(label_is_metric::INTEGER) AS share_metric
FROM samples GROUP BY ALL ORDER BY dataset, num_instances DESC, origin;
