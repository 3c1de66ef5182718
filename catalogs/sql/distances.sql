-- Distances between vectors, and between histograms.

-- 1 - cosine of the angle between two lists of numbers of one length: 0 same direction, 1 at right angles, 2 opposite.
CREATE MACRO cosine_distance(a, b) AS
    1 - list_cosine_similarity(a::DOUBLE[], b::DOUBLE[]);

-- Jensen-Shannon divergence in bits of two lists of counts (or shares) over the same bins: 0 the same distribution, 1
-- nothing in common (Lin, "Divergence Measures Based on the Shannon Entropy", 1991). Each list is scaled to a sum of 1.
--   JS(P, Q) = sum over bins of p/2 log2(2p / (p + q)) + q/2 log2(2q / (p + q))
CREATE MACRO divergence_term_bits(p, q) AS
    CASE WHEN p > 0 THEN p / 2 * log2(2 * p / (p + q)) ELSE 0 END;
CREATE MACRO list_shares(counts) AS
    list_transform(counts, lambda x: x::DOUBLE / list_sum(counts));
CREATE MACRO histogram_divergence_bits(counts_a, counts_b) AS
    list_sum(list_transform(list_zip(list_shares(counts_a), list_shares(counts_b)),
        lambda pair: divergence_term_bits(pair[1], pair[2]) + divergence_term_bits(pair[2], pair[1])));

-- The same between every two groups of a table of histograms with the columns `name`, `bin` and `num`, given by its name
-- as text. Bins of only one of the two add p/2 or q/2, hence 1 and what the shared bins take from it.
CREATE MACRO divergences_bits(histograms) AS TABLE
    WITH shares AS (
        SELECT name, bin, num::DOUBLE / sum(num) OVER (PARTITION BY name) AS share FROM query_table(histograms)
    ), names AS (
        SELECT DISTINCT name FROM shares
    ), shared AS (
        SELECT p.name AS name_a, q.name AS name_b,
               sum(p.share * log2(p.share / (p.share + q.share)) + q.share * log2(q.share / (p.share + q.share))) AS bits
        FROM shares p JOIN shares q USING (bin) GROUP BY ALL
    )
    SELECT a.name AS name_a, b.name AS name_b, greatest(0, 1 + coalesce(bits, 0) / 2) AS divergence_bits
    FROM names a CROSS JOIN names b LEFT JOIN shared ON name_a = a.name AND name_b = b.name
    ORDER BY ALL;
