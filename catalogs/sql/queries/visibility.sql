-- How much of the people is seen: cut off by the picture, hidden, crowded, and which parts have keypoints, per dataset.
SELECT dataset, count(visibility_truncation) AS num_instances, avg(visibility_truncation) AS truncation,
       avg((visibility_truncation > 0.1)::INTEGER) AS share_truncated, avg(visibility_occlusion) AS occlusion,
       avg((visibility_num_visible_left_hand > 0 OR visibility_num_visible_right_hand > 0)::INTEGER) AS hands_seen,
       avg((visibility_num_visible_face > 0)::INTEGER) AS face_seen,
       avg(visibility_people_in_picture) AS people_in_picture, max(visibility_people_in_picture) AS most_people,
       avg((visibility_crowding_iou > 0.1)::INTEGER) AS share_crowded
FROM samples GROUP BY dataset ORDER BY dataset;
