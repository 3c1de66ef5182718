"""Twenty questions that researchers ask of a store, each with the SQL that answers it: what docs/queries.md shows.

Answers are rounded in SQL, and ties broken by key, so that they are the same on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`text` ends in a question mark; `note` says how to read the answer, or what else can be asked this way."""

    text: str
    sql: str
    note: str


QUESTIONS: tuple[Question, ...] = (
    Question(
        text="What is in the store?",
        sql="""
SELECT dataset, split, num_samples, num_rejects, num_shards
FROM datasets ORDER BY dataset, split
""",
        note="From the manifests alone. `@datasets` shows every column.",
    ),
    Question(
        text="Why were people left out?",
        sql="""
SELECT dataset, stage, reason, count(*) AS num
FROM rejects GROUP BY ALL ORDER BY num DESC, dataset, reason LIMIT 10
""",
        note="Every person of the raw files is either a sample or a row of `rejects`, with the numbers that decided.",
    ),
    Question(
        text="From where are people seen?",
        sql="""
SELECT dataset,
       round(avg((abs(azimuth_deg) < 45)::INT), 2) AS front,
       round(avg((abs(azimuth_deg) BETWEEN 45 AND 135)::INT), 2) AS side,
       round(avg((abs(azimuth_deg) > 135)::INT), 2) AS back,
       round(avg((elevation_deg > 20)::INT), 2) AS from_above
FROM orientation GROUP BY dataset ORDER BY dataset
""",
        note="Shares of people. `@orientation` counts them in equal-area cells of the sphere.",
    ),
    Question(
        text="How far apart are two datasets?",
        sql="""
WITH cells AS (SELECT dataset, cell, count(*) AS num FROM orientation WHERE cell IS NOT NULL GROUP BY ALL),
histograms AS (
    SELECT dataset, list(coalesce(num, 0) ORDER BY cell) AS counts
    FROM (SELECT DISTINCT dataset FROM cells) CROSS JOIN range(216) every (cell) LEFT JOIN cells USING (dataset, cell)
    GROUP BY dataset
)
SELECT a.dataset AS dataset_a, b.dataset AS dataset_b,
       round(histogram_divergence_bits(a.counts, b.counts), 2) AS divergence_bits
FROM histograms a JOIN histograms b ON a.dataset < b.dataset
ORDER BY divergence_bits DESC, dataset_a, dataset_b LIMIT 5
""",
        note="Jensen-Shannon divergence in bits over the orientation cells: 0 the same distribution, 1 nothing shared. "
        "`@orientation_divergence` and `@pose_divergence` compare all datasets.",
    ),
    Question(
        text="Which poses are the most unusual?",
        sql="""
SELECT key, round(mahalanobis, 1) AS mahalanobis, round(rest_distance_deg) AS rest_distance_deg
FROM pose_space JOIN pose USING (key)
ORDER BY mahalanobis DESC, key LIMIT 5
""",
        note="Distance from the store's mean pose in units of its spread. `ehps compare KEY...` shows the pictures.",
    ),
    Question(
        text="Which bodies are bent further than joints go?",
        sql="""
SELECT dataset, count(*) AS num_people, count_if(num_joints_beyond_limits > 0) AS num_beyond,
       round(avg(plausibility), 2) AS plausibility
FROM pose WHERE plausibility IS NOT NULL GROUP BY dataset ORDER BY plausibility, dataset
""",
        note="A high share speaks of label noise, or of gymnasts: look at them before leaving them out.",
    ),
    Question(
        text="Whose hands reach far from relaxed?",
        sql="""
SELECT dataset, count(left_hand_articulation_deg) AS num_hands,
       round(median(left_hand_articulation_deg), 1) AS median_deg,
       round(quantile_cont(left_hand_articulation_deg, 0.95), 1) AS p95_deg
FROM pose GROUP BY dataset HAVING num_hands > 0 ORDER BY median_deg DESC
""",
        note="Mean angle of the 15 finger joints from the model's relaxed hand, where hands are labelled.",
    ),
    Question(
        text="How many people are cut off by the border of the picture?",
        sql="""
SELECT dataset, count(truncation) AS num_people, count_if(truncation > 0) AS num_truncated,
       count_if(truncation > 0.5) AS num_more_than_half, round(avg(truncation), 2) AS mean_truncation
FROM visibility GROUP BY dataset HAVING num_people > 0 ORDER BY mean_truncation DESC, dataset
""",
        note="`occlusion` is known only where the source marks hidden points, and null elsewhere.",
    ),
    Question(
        text="How crowded are the pictures?",
        sql="""
SELECT dataset, max(people_in_picture) AS most_people, round(avg(people_in_picture), 1) AS mean_people,
       count_if(crowding_iou > 0.3) AS num_covered
FROM visibility GROUP BY dataset ORDER BY mean_people DESC, dataset
""",
        note="`crowding_iou` is the largest overlap of a person's box with another's in the same source picture.",
    ),
    Question(
        text="What cameras took the pictures?",
        sql="""
SELECT camera.dataset, label.camera, count(*) AS num_people, round(median(vertical_fov_deg)) AS vertical_fov_deg,
       round(median(distance_m), 1) AS distance_m, round(median(person_height_px)) AS person_height_px
FROM camera JOIN label USING (key) GROUP BY ALL ORDER BY ALL
""",
        note="Distances are known only where depth is metric: virtual cameras of single-person fits have none.",
    ),
    Question(
        text="How tall are the bodies, and how much do shapes vary?",
        sql="""
SELECT dataset, count(stature_m) AS num_people, round(min(stature_m), 2) AS min_m,
       round(median(stature_m), 2) AS median_m, round(max(stature_m), 2) AS max_m,
       round(avg(betas_norm), 1) AS betas_norm
FROM shape GROUP BY dataset ORDER BY dataset
""",
        note="Height of the mesh in the T-pose. Here it is that of the stand-in body.",
    ),
    Question(
        text="How good are the labels?",
        sql="""
SELECT dataset, origin, count(*) AS num_people, round(median(reprojection_px), 1) AS reprojection_px,
       round(100 * median(reprojection_share), 1) AS percent_of_box, round(median(fit_error_mm), 1) AS fit_error_mm
FROM label GROUP BY ALL ORDER BY dataset, origin
""",
        note="Reprojection is against the dataset's own annotated or detected points; empty where there are none.",
    ),
    Question(
        text="Which samples have the worst reprojection?",
        sql="""
SELECT key, round(reprojection_px, 1) AS reprojection_px, round(100 * reprojection_share, 1) AS percent_of_box
FROM label WHERE reprojection_px IS NOT NULL ORDER BY reprojection_share DESC, key LIMIT 5
""",
        note="`ehps view STORE --worst label_reprojection_share -o sheet.png` puts them on one sheet.",
    ),
    Question(
        text="Are there near-duplicates?",
        sql="""
SELECT kind, dataset_a, count(DISTINCT key_a) AS num_to_leave_out
FROM duplicates WHERE dataset_a = dataset_b GROUP BY ALL ORDER BY ALL
""",
        note="Side a of each pair is the one to leave out: the later frame, or the later sample.",
    ),
    Question(
        text="Which datasets share pictures, people or recordings?",
        sql="""
SELECT kind, dataset_a, split_a, dataset_b, split_b, num
FROM "overlaps" ORDER BY kind, dataset_a, split_a, dataset_b, split_b LIMIT 10
""",
        note="Compared by the source picture's hash, and by the datasets' own names where cards say that they overlap. "
        "The six of the demo share nothing. OVERLAPS is a word of SQL, hence the quotation marks.",
    ),
    Question(
        text="What may be used for what?",
        sql="""
SELECT licence, count(DISTINCT dataset) AS num_datasets, count(*) AS num_people
FROM instances GROUP BY licence ORDER BY num_people DESC, licence
""",
        note="The licence class of the dataset; `ehps datasets NAME` has the terms and where they were read.",
    ),
    Question(
        text="How do synthetic and real people differ?",
        sql="""
SELECT scene_domain AS domain, count(*) AS num_people, round(avg(pose_rest_distance_deg), 1) AS rest_distance_deg,
       round(stddev_pop(orientation_elevation_deg), 1) AS elevation_spread_deg,
       round(median(camera_vertical_fov_deg)) AS vertical_fov_deg
FROM samples GROUP BY ALL ORDER BY domain
""",
        note="`samples` is the index and every narrow family in one row a sample, columns under the family's name.",
    ),
    Question(
        text="Which pictures look like this one?",
        sql="""
WITH this AS (FROM features_tf_efficientnet_lite0_57934424 WHERE dataset = 'mscoco' ORDER BY key LIMIT 1)
SELECT f.key, round(cosine_distance(f.vector, this.vector), 2) AS distance
FROM features_tf_efficientnet_lite0_57934424 f, this WHERE f.key <> this.key
ORDER BY cosine_distance(f.vector, this.vector), f.key LIMIT 3
""",
        note="One view a backbone: features of two networks never mix. Give your own with `ehps describe --backbone`.",
    ),
    Question(
        text="What did others get from these datasets?",
        sql="""
SELECT dataset, instances_fig AS num_instances, rank_smplerx_s, rank_smplerx_b, rank_hand4whole
FROM published_single_dataset_benchmark ORDER BY rank_smplerx_s LIMIT 5
""",
        note="Ranks of single-dataset trainings (SMPLer-X, arXiv 2309.17448). What could not be read in a source is "
        "left out here and shown by `published_single_dataset_benchmark_unverified`.",
    ),
    Question(
        text="Which samples would I train hands on?",
        sql="""
SELECT dataset, count(*) AS num_people
FROM samples
WHERE split = 'train' AND body_has_left_hand AND body_has_right_hand
  AND visibility_truncation < 0.2 AND coalesce(label_reprojection_share < 0.03, true)
  AND key NOT IN (SELECT key_a FROM duplicates WHERE key_a IS NOT NULL)
GROUP BY dataset ORDER BY num_people DESC, dataset
""",
        note="Ask for `key` instead of counting, and the keys are the `sample_keys` of a `Selection`.",
    ),
)

PYTHON = """
import catalogs

with catalogs.open("STORE") as con:
    bodies = con.sql("SELECT key, stature_m FROM shape WHERE stature_m IS NOT NULL ORDER BY key")
    table = bodies.to_arrow_table()          # pyarrow
    polars_frame = bodies.pl()               # polars
    pandas_frame = bodies.df()               # pandas
"""
"""How the same goes from Python; `tests/pipelines/test_docs_queries.py` runs it."""
