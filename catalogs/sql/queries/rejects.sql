-- Why people were left out: number of rejects per dataset, split, stage and reason.
SELECT dataset, split, stage, reason, count(*) AS num_rejects
FROM rejects GROUP BY ALL ORDER BY dataset, split, num_rejects DESC, stage, reason;
