-- Which poses a dataset has: people in each pose cluster, and how much commoner the cluster is than in all datasets.
WITH counts AS (
    SELECT dataset, pose_space_cluster AS cluster, count(*) AS num_instances
    FROM samples WHERE pose_space_cluster IS NOT NULL GROUP BY ALL
), shares AS (
    SELECT *, num_instances / sum(num_instances) OVER (PARTITION BY dataset) AS share,
           sum(num_instances) OVER (PARTITION BY cluster) / sum(num_instances) OVER () AS share_of_all
    FROM counts
)
SELECT dataset, cluster, num_instances, share, share / share_of_all AS times_as_common
FROM shares ORDER BY dataset, num_instances DESC, cluster;
