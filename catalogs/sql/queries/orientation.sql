-- From where the cameras see the bodies: azimuth and elevation in cells of equal solid angle, per dataset.
FROM orientation_histogram();
