import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from plaudit.errors import BundleError
from plaudit.models.packed import (
    CLIPPING,
    MAX_SHARE_OF_NONZERO,
    NO_CLIPPING,
    int8_scale,
    pack,
    rounded,
    unpack,
)

STORAGES = ("fp32", "bf16", "int8")
LARGEST = 2.0**127  # a bf16 holds it, and 127 steps of its row do
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)

values = st.one_of(
    st.just(0.0),
    st.just(-0.0),
    st.sampled_from([1.0, -1.0, LARGEST, -LARGEST, SMALLEST_NORMAL, 1e-45, -1e-45]),
    st.floats(-LARGEST, LARGEST, width=32),
    st.floats(-1, 1, width=32),
)
shapes = arrays.array_shapes(min_dims=2, max_dims=3, max_side=9)
tensors = st.one_of(
    arrays.arrays(np.float32, shapes, elements=values),
    arrays.arrays(np.float32, shapes, elements=values, fill=st.just(0.0)),  # mostly zeros
)


def edge_cases(test):
    """Run a property on tensors that chance seldom draws too."""
    mixed_rows = np.array([[0, 0, 0], [1, -1, 1], [1e-44, 0, 0], [LARGEST, 1, SMALLEST_NORMAL]], np.float32)
    for tensor in (
        np.zeros((3, 4), np.float32),
        np.full((3, 4), -0.0, np.float32),
        np.full((1, 1), 0.3, np.float32),
        np.full((4, 2), 0.3, np.float32),
        np.eye(9, dtype=np.float32).reshape(3, 3, 9),
        mixed_rows,
    ):
        test = example(tensor=tensor)(test)
    return settings(max_examples=50)(test)


def through(tensor, storage):
    return unpack(pack({"weight": tensor}, storage))["weight"]


def bits(tensor):
    return np.ascontiguousarray(tensor).view(np.uint32)


def random_matrix(*shape, share_of_zeros=0.0, seed=0):
    generator = np.random.default_rng(seed)
    matrix = generator.normal(0, 0.1, shape)
    return np.where(generator.random(shape) < share_of_zeros, 0, matrix).astype(np.float32)


def size_bytes(packed):
    return sum(part.nbytes for part in packed.values())


@edge_cases
@given(tensor=tensors)
def test_fp32_comes_back_bit_for_bit(tensor):
    unpacked = through(tensor, "fp32")
    assert unpacked.dtype == np.float32
    assert unpacked.shape == tensor.shape
    is_dense = (tensor != 0).mean() >= MAX_SHARE_OF_NONZERO
    # Where zeros are left out, what comes back in their place is positive.
    np.testing.assert_array_equal(bits(unpacked), bits(tensor if is_dense else tensor + np.float32(0)))


@edge_cases
@given(tensor=tensors)
def test_bf16_is_within_two_to_the_minus_eight(tensor):
    unpacked = through(tensor, "bf16")
    error = np.abs(unpacked.astype(np.float64) - tensor)
    is_normal = np.abs(tensor) >= SMALLEST_NORMAL
    assert (error[is_normal] <= 2.0**-8 * np.abs(tensor[is_normal])).all()
    assert (error[~is_normal] <= SMALLEST_NORMAL).all()


@edge_cases
@given(tensor=tensors)
def test_int8_is_within_half_a_step_where_it_does_not_clip(tensor):
    scale = int8_scale(tensor, CLIPPING).astype(np.float64).reshape(-1, *[1] * (tensor.ndim - 1))
    is_unclipped = np.abs(tensor) <= 127 * scale
    unpacked = through(tensor, "int8")
    error = np.abs(unpacked.astype(np.float64) - tensor) / scale
    assert (error[is_unclipped] <= 0.5 + 1e-4).all()
    np.testing.assert_allclose(np.abs(unpacked / scale)[~is_unclipped], 127, rtol=1e-5)


@pytest.mark.parametrize("storage", STORAGES)
@edge_cases
@given(tensor=tensors)
def test_packing_what_was_unpacked_gives_the_same_values(storage, tensor):
    once = through(tensor, storage)
    np.testing.assert_allclose(through(once, storage), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("clipping", [NO_CLIPPING, CLIPPING])
@pytest.mark.parametrize("storage", STORAGES)
@edge_cases
@given(tensor=tensors)
def test_rounded_values_are_what_the_storage_holds(storage, clipping, tensor):
    held = rounded(tensor, storage, clipping)
    np.testing.assert_allclose(through(held, storage), held, rtol=1e-6, atol=0)


@edge_cases
@given(tensor=tensors)
def test_rounding_is_what_packing_does(tensor):
    np.testing.assert_allclose(through(tensor, "int8"), rounded(tensor, "int8", CLIPPING), rtol=1e-6, atol=0)
    np.testing.assert_array_equal(through(tensor, "bf16"), rounded(tensor, "bf16", NO_CLIPPING))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("vector", [[1 / 3, -2.7, 0], [0, 0, 0, 0], [-0.0], []])
def test_a_vector_stays_fp32(storage, vector):
    vector = np.array(vector, np.float32)
    packed = pack({"bias": vector}, storage)
    assert list(packed) == ["bias"]
    np.testing.assert_array_equal(bits(packed["bias"]), bits(vector))
    np.testing.assert_array_equal(bits(unpack(packed)["bias"]), bits(vector))
    assert rounded(vector, storage, CLIPPING) is vector


def test_names_and_their_order_come_back():
    names = ["embedding.weight", "scale.weight", "a", "layers.0.weight_ih_l0", "bias"]
    given_tensors = {name: random_matrix(4, 4, share_of_zeros=0.5, seed=i) for i, name in enumerate(names)}
    for storage in STORAGES:
        assert list(unpack(pack(given_tensors, storage))) == names


@pytest.mark.parametrize(("storage", "size"), [("fp32", 4), ("bf16", 2), ("int8", 1)])
def test_each_storage_takes_its_bytes(storage, size):
    packed = pack({"weight": random_matrix(100, 30)}, storage)
    assert size_bytes(packed) == 3_000 * size + (400 if storage == "int8" else 0)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("share_of_zeros", [0.0, 0.02, 0.1, 0.14, 0.16, 0.3, 0.9, 1.0])
def test_zeros_are_left_out_only_where_that_is_smaller(storage, share_of_zeros):
    matrix = random_matrix(200, 50, share_of_zeros=share_of_zeros)
    packed = pack({"weight": matrix}, storage)
    dense = size_bytes(pack({"weight": np.where(matrix == 0, np.float32(0.1), matrix)}, storage))
    if (matrix != 0).mean() < MAX_SHARE_OF_NONZERO:
        assert "weight.nonzero" in packed
        assert size_bytes(packed) < dense
    else:
        assert "weight.nonzero" not in packed
        assert size_bytes(packed) == dense


def test_clipping_an_outlier_makes_the_squared_error_of_its_row_less():
    matrix = random_matrix(2, 20_000)
    matrix[0, 0] = matrix[0].max() * 1.7
    full, best = int8_scale(matrix, NO_CLIPPING), int8_scale(matrix, CLIPPING)
    np.testing.assert_allclose(full, np.abs(matrix).max(axis=1) / 127, rtol=1e-6)
    errors = [np.square(rounded(matrix, "int8", clipping) - matrix).sum(axis=1) for clipping in (NO_CLIPPING, CLIPPING)]
    assert best[0] < full[0]
    assert errors[1][0] < errors[0][0]
    assert (errors[1] <= errors[0]).all()


def test_a_row_of_a_large_scale_leaves_the_others_alone():
    matrix = random_matrix(3, 50)
    alone = through(matrix, "int8")
    matrix[1] *= 1e6
    np.testing.assert_array_equal(through(matrix, "int8")[[0, 2]], alone[[0, 2]])


@pytest.mark.parametrize("storage", STORAGES)
def test_bf16_and_int8_round_to_the_nearest_and_not_towards_zero(storage):
    matrix = random_matrix(50, 400)
    assert abs(np.mean(np.abs(through(matrix, storage)) - np.abs(matrix))) < 1e-5


def test_bf16_ties_go_to_the_even_neighbour():
    ties = np.array([0x3F808000, 0x3F818000, 0xBF808000], np.uint32).view(np.float32)[:, None]
    assert pack({"weight": ties}, "bf16")["weight.bf16"].ravel().tolist() == [0x3F80, 0x3F82, 0xBF80]


SPARSE = random_matrix(6, 7, share_of_zeros=0.5)


@pytest.mark.parametrize(
    ("storage", "damage"),
    [
        *((storage, part) for storage in STORAGES for part in ("shape", storage)),
        ("int8", "scale"),
    ],
)
def test_a_missing_part_is_named(storage, damage):
    packed = pack({"weight": SPARSE}, storage)
    del packed[f"weight.{damage}"]
    # Without its bf16 or int8 part, a tensor is taken for one of fp32.
    named = damage if damage in ("shape", "scale") else "fp32"
    assert_refused(packed, rf"weight\.{named}")


def test_the_scale_of_a_dense_tensor_may_not_be_missing():
    packed = pack({"weight": random_matrix(6, 7)}, "int8")
    del packed["weight.scale"]
    assert_refused(packed, r"weight\.scale")


@pytest.mark.parametrize("num_rows", [0, 1, 5, 7, 12])
@pytest.mark.parametrize("matrix", [SPARSE, random_matrix(6, 7)], ids=["sparse", "dense"])
def test_a_scale_of_another_length_is_refused(matrix, num_rows):
    packed = pack({"weight": matrix}, "int8")
    assert_refused(packed | {"weight.scale": np.ones(num_rows, np.float32)}, "")


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("num_values", [0, 1, 3, 41])
def test_another_number_of_values_is_refused(storage, num_values):
    packed = pack({"weight": SPARSE}, storage)
    name = f"weight.{storage}"
    assert_refused(packed | {name: np.resize(packed[name], num_values)}, rf"{num_values} values for \d+ places")


@pytest.mark.parametrize("shape", [[6], [8, 8], [7, 6, 2], [10**9, 10**9], [-6, 7], [-6, -7], [[6, 7]], 42, [6.0, 7.0]])
def test_another_shape_is_refused(shape):
    packed = pack({"weight": SPARSE}, "fp32")
    assert_refused(packed | {"weight.shape": np.array(shape)}, "")


@pytest.mark.parametrize("num_bytes", [0, 1, 5, 7, 100])
def test_another_number_of_bits_is_refused(num_bytes):
    packed = pack({"weight": SPARSE}, "fp32")
    assert_refused(packed | {"weight.nonzero": np.resize(packed["weight.nonzero"], num_bytes)}, "bytes of bits for")


def test_a_lost_bit_is_refused():
    packed = pack({"weight": SPARSE}, "fp32")
    packed["weight.nonzero"] = packed["weight.nonzero"] & 0xF0
    assert_refused(packed, "places")


def assert_refused(packed, message):
    with pytest.raises(
        BundleError, match=rf"^weights: packed tensors that do not fit together \(.*{message}"
    ) as caught:
        unpack(packed)
    assert len(str(caught.value).splitlines()) == 1
