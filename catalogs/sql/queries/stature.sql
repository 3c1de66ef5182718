-- How tall the people are (metres, in the T-pose) and how far their shapes are from the mean, per dataset.
SELECT dataset, count(shape_stature_m) AS num_instances, avg(shape_stature_m) AS mean_m,
       stddev_pop(shape_stature_m) AS std_m, min(shape_stature_m) AS min_m, max(shape_stature_m) AS max_m,
       avg((shape_stature_m < 1.5)::INTEGER) AS share_below_150_cm, avg(shape_betas_norm) AS mean_betas_norm
FROM samples GROUP BY dataset ORDER BY dataset;
