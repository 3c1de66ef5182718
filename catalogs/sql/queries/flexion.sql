-- How far knees and elbows are bent, in bins of 10 degrees, per dataset.
FROM flexion_histogram();
