"""What counts as most alike, beside sorting in loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dense_cl.mining.ranking import nearest_images, top_indices, top_pairs

# Few values, so that many are equal.
values = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


@given(values, st.integers(1, 35))
def test_the_largest_first_and_of_equal_ones_the_first(numbers, count):
    expected = sorted(range(len(numbers)), key=lambda place: (-numbers[place], place))[:count]
    assert top_indices(np.array(numbers, dtype=np.float32), count).tolist() == expected


def test_a_duplicate_is_a_neighbour_and_the_image_itself_is_not():
    vectors = np.array([[1, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    assert nearest_images(vectors, 2).tolist() == [[2, 3], [3, 0], [0, 3], [0, 1]]


@given(st.integers(0, 10_000))
def test_neighbours_do_not_depend_on_length(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(300, 5))  # more than a block
    longer = vectors * rng.uniform(0.1, 10, size=(300, 1))
    found = nearest_images(longer, 4)
    assert np.array_equal(found, nearest_images(vectors, 4))
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in (0, 255, 256, 299):
        cosines = directions @ directions[row]
        cosines[row] = -2
        assert cosines[found[row]].tolist() == sorted(cosines, reverse=True)[:4]


shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(shapes, st.floats(0.05, 1.0), st.integers(0, 1000))
def test_pairs_are_the_best_of_all(shape, keep, seed):
    rng = np.random.default_rng(seed)
    own, other = (rng.normal(size=(count, 4)) for count in shape)
    pairs = top_pairs(own, other, keep)
    assert len(pairs) == min(max(1, int(keep * shape[0])), shape[0] * shape[1])
    cosine = [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in other] for a in own]
    kept = [cosine[a][b] for a, b in pairs]
    best = sorted((c for row in cosine for c in row), reverse=True)
    np.testing.assert_allclose(kept, best[: len(pairs)], atol=1e-12)
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)


@given(arrays(np.float32, (5, 3), elements=st.floats(-1, 1, width=32)))
def test_regions_of_an_image_are_most_alike_to_themselves(vectors):
    vectors[:, 0] += 2  # none is zero
    pairs = top_pairs(vectors, vectors, 1.0)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (directions[pairs[:, 0]] * directions[pairs[:, 1]]).sum(axis=1)
    np.testing.assert_allclose(cosines, 1.0, atol=1e-6)
