-- How far hands are from the relaxed hand, in bins of 10 degrees, both hands together, per dataset.
WITH bins AS (
    SELECT dataset, floor(pose_left_hand_articulation_deg / 10) AS bin, count(*) AS num FROM samples GROUP BY ALL
    UNION ALL
    SELECT dataset, floor(pose_right_hand_articulation_deg / 10), count(*) FROM samples GROUP BY ALL
), added AS (
    SELECT dataset, bin::INTEGER AS bin, sum(num)::BIGINT AS num_hands FROM bins WHERE bin IS NOT NULL GROUP BY ALL
)
SELECT dataset, bin * 10 AS from_deg, (bin + 1) * 10 AS to_deg, num_hands,
       num_hands / sum(num_hands) OVER (PARTITION BY dataset) AS share
FROM added ORDER BY dataset, from_deg;
