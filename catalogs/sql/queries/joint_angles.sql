-- Rotation of each body joint against the rest pose (mean, spread and largest in degrees), per dataset.
WITH angles AS (
    SELECT dataset, count(pose_left_hip_deg) AS num_instances,
           [
           avg(pose_left_hip_deg), avg(pose_right_hip_deg), avg(pose_spine1_deg), avg(pose_left_knee_deg),
           avg(pose_right_knee_deg), avg(pose_spine2_deg), avg(pose_left_ankle_deg), avg(pose_right_ankle_deg),
           avg(pose_spine3_deg), avg(pose_left_foot_deg), avg(pose_right_foot_deg), avg(pose_neck_deg),
           avg(pose_left_collar_deg), avg(pose_right_collar_deg), avg(pose_head_deg), avg(pose_left_shoulder_deg),
           avg(pose_right_shoulder_deg), avg(pose_left_elbow_deg), avg(pose_right_elbow_deg),
           avg(pose_left_wrist_deg), avg(pose_right_wrist_deg)
           ] AS mean,
           [
           avg(pose_left_hip_deg::DOUBLE * pose_left_hip_deg), avg(pose_right_hip_deg::DOUBLE * pose_right_hip_deg),
           avg(pose_spine1_deg::DOUBLE * pose_spine1_deg), avg(pose_left_knee_deg::DOUBLE * pose_left_knee_deg),
           avg(pose_right_knee_deg::DOUBLE * pose_right_knee_deg), avg(pose_spine2_deg::DOUBLE * pose_spine2_deg),
           avg(pose_left_ankle_deg::DOUBLE * pose_left_ankle_deg),
           avg(pose_right_ankle_deg::DOUBLE * pose_right_ankle_deg), avg(pose_spine3_deg::DOUBLE * pose_spine3_deg),
           avg(pose_left_foot_deg::DOUBLE * pose_left_foot_deg),
           avg(pose_right_foot_deg::DOUBLE * pose_right_foot_deg), avg(pose_neck_deg::DOUBLE * pose_neck_deg),
           avg(pose_left_collar_deg::DOUBLE * pose_left_collar_deg),
           avg(pose_right_collar_deg::DOUBLE * pose_right_collar_deg), avg(pose_head_deg::DOUBLE * pose_head_deg),
           avg(pose_left_shoulder_deg::DOUBLE * pose_left_shoulder_deg),
           avg(pose_right_shoulder_deg::DOUBLE * pose_right_shoulder_deg),
           avg(pose_left_elbow_deg::DOUBLE * pose_left_elbow_deg),
           avg(pose_right_elbow_deg::DOUBLE * pose_right_elbow_deg),
           avg(pose_left_wrist_deg::DOUBLE * pose_left_wrist_deg),
           avg(pose_right_wrist_deg::DOUBLE * pose_right_wrist_deg)
           ] AS mean_square,
           [
           max(pose_left_hip_deg), max(pose_right_hip_deg), max(pose_spine1_deg), max(pose_left_knee_deg),
           max(pose_right_knee_deg), max(pose_spine2_deg), max(pose_left_ankle_deg), max(pose_right_ankle_deg),
           max(pose_spine3_deg), max(pose_left_foot_deg), max(pose_right_foot_deg), max(pose_neck_deg),
           max(pose_left_collar_deg), max(pose_right_collar_deg), max(pose_head_deg), max(pose_left_shoulder_deg),
           max(pose_right_shoulder_deg), max(pose_left_elbow_deg), max(pose_right_elbow_deg),
           max(pose_left_wrist_deg), max(pose_right_wrist_deg)
           ] AS largest
    FROM samples GROUP BY dataset
), joints AS (
    SELECT dataset, num_instances, unnest(range(21)) AS joint_index,
           unnest([
           'left_hip', 'right_hip', 'spine1', 'left_knee', 'right_knee', 'spine2', 'left_ankle', 'right_ankle',
           'spine3', 'left_foot', 'right_foot', 'neck', 'left_collar', 'right_collar', 'head', 'left_shoulder',
           'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist'
           ]) AS joint,
           unnest(mean) AS mean, unnest(mean_square) AS mean_square, unnest(largest) AS largest
    FROM angles WHERE num_instances > 0
)
SELECT dataset, joint_index, joint, num_instances, mean AS mean_deg,
       sqrt(greatest(0, mean_square - mean * mean)) AS std_deg, largest AS max_deg
FROM joints ORDER BY dataset, joint_index;
