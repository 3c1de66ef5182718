-- What the pictures look like: brightness, contrast, sharpness, colourfulness and JPEG quality, per dataset.
SELECT dataset, count(image_statistics_brightness) AS num_instances,
       avg(image_statistics_brightness) AS brightness, stddev_pop(image_statistics_brightness) AS std_brightness,
       avg(image_statistics_contrast) AS contrast, avg(image_statistics_sharpness) AS sharpness,
       avg(image_statistics_colourfulness) AS colourfulness, avg(image_statistics_jpeg_quality) AS jpeg_quality
FROM samples GROUP BY dataset ORDER BY dataset;
