-- Where people are: real or synthetic, and the kind of scene that the dataset's card states, per dataset.
SELECT dataset, scene_domain AS domain, scene_card_scene AS scene, count(*) AS num_instances
FROM samples WHERE scene_domain IS NOT NULL GROUP BY ALL ORDER BY dataset, num_instances DESC;
