-- Why people were left out: number of rejects per dataset, split and reason.
SELECT dataset, split, reason, count(*) AS num_rejects FROM rejects GROUP BY ALL ORDER BY dataset, split, num_rejects DESC, reason;
