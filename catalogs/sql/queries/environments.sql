-- What the pictures show by their nearest class of scene, where image features say so with some confidence, per dataset.
WITH counts AS (
    SELECT dataset, scene_environment AS environment, count(*) AS num_instances,
           avg(scene_environment_confidence) AS mean_confidence
    FROM samples WHERE scene_environment IS NOT NULL GROUP BY ALL
)
SELECT dataset, environment, num_instances, num_instances / sum(num_instances) OVER (PARTITION BY dataset) AS share,
       mean_confidence
FROM counts ORDER BY dataset, num_instances DESC, environment;
