-- Cells of equal solid angle on the sphere of viewing directions: azimuth in equal steps of degrees, elevation in equal
-- steps of its sine, so that views spread evenly over the sphere give a flat histogram. The front (azimuth 0) lies in the
-- middle of a cell, as does the level view when num_elevation is odd: the commonest views must not be split by rounding.
-- Cell 0 of the azimuth is centred at the back, -180 = 180. cell = elevation_bin * num_azimuth + azimuth_bin.
CREATE MACRO azimuth_bin(azimuth_deg, num_azimuth := 24) AS
    floor((azimuth_deg + 180) / 360 * num_azimuth + 0.5)::INTEGER % num_azimuth;
CREATE MACRO elevation_bin(elevation_sin, num_elevation := 9) AS
    least(floor((elevation_sin + 1) / 2 * num_elevation), num_elevation - 1)::INTEGER;
CREATE MACRO orientation_cell(azimuth_deg, elevation_sin, num_azimuth := 24, num_elevation := 9) AS
    elevation_bin(elevation_sin, num_elevation := num_elevation) * num_azimuth
    + azimuth_bin(azimuth_deg, num_azimuth := num_azimuth);

-- Where a cell lies: the middle of its azimuth, and the elevations that bound it, in degrees.
CREATE MACRO cell_azimuth_deg(cell, num_azimuth := 24) AS
    (cell % num_azimuth) * 360.0 / num_azimuth - 180;
CREATE MACRO cell_elevation_from_deg(cell, num_azimuth := 24, num_elevation := 9) AS
    degrees(asin((cell // num_azimuth) * 2.0 / num_elevation - 1));
CREATE MACRO cell_elevation_to_deg(cell, num_azimuth := 24, num_elevation := 9) AS
    degrees(asin(least(1.0, (cell // num_azimuth + 1) * 2.0 / num_elevation - 1)));
