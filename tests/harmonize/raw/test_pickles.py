"""Restricted pickles: what datasets hold is read, whichever version of which library wrote it."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from pickle_opcodes import array, build, call, dct, dtype, lit, lst, name, new, raw, stream, tup
from scipy import sparse

from harmonize.errors import RawFileError
from harmonize.raw.pickles import load_pickle

PROTOCOLS = range(6)


def through(tmp_path: Path, value: Any, protocol: int = 4) -> Any:
    return load(tmp_path, pickle.dumps(value, protocol))


def load(tmp_path: Path, data: bytes, **options: Any) -> Any:
    (tmp_path / "file.pkl").write_bytes(data)
    return load_pickle(tmp_path / "file.pkl", **options)


PLAIN = {
    "numbers": [
        0,
        1,
        255,
        256,
        65535,
        65536,
        -1,
        2**31,
        -(2**31),
        2**40,
        -(2**62),
        0.5,
        -1e300,
        True,
        False,
        None,
        2 + 3j,
    ],
    "text": ["", "ascii", "ü", "日本", "\U0001f600", "x" * 300, "y" * 70000, "quote' \" \\ \n"],
    "bytes": [b"", b"abc", bytes(range(256)), b"z" * 70000, bytearray(b"q")],
    "containers": ([], {}, (), set(), frozenset(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {1, 2}, frozenset({"a"})),
    "nested": {"a": [{"b": ({"c"}, [])}], (1, "k"): OrderedDict(x=1, y=[2])},
    "slices": [slice(1, 2), slice(None, 5, 2)],
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_builtins_come_back_equal(tmp_path: Path, protocol: int) -> None:
    shared = [1, 2]
    value = {**PLAIN, "shared": [shared, shared]}
    result = through(tmp_path, value, protocol)
    assert result == value
    assert repr(result) == repr(value), "types must be equal too"
    assert result["shared"][0] is result["shared"][1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_bytes_that_are_shared(tmp_path: Path, protocol: int) -> None:
    """The reader does not keep them, but goes back to them in the file."""
    first, second = bytes(range(256)) * 1000, b"y" * 300_000
    value = [first, [first, second], {"again": second}, first, 7]
    assert through(tmp_path, value, protocol) == value


def test_arrays_are_in_memory_about_once(tmp_path: Path) -> None:
    (tmp_path / "file.pkl").write_bytes(pickle.dumps([np.zeros(250_000) for _ in range(20)], 4))
    tracemalloc.start()
    load_pickle(tmp_path / "file.pkl")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * 40e6


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_defaultdict_comes_as_a_dict(tmp_path: Path, protocol: int) -> None:
    result = through(tmp_path, defaultdict(list, {"a": [1]}), protocol)
    assert type(result) is dict
    assert result == {"a": [1]}


ARRAYS = {
    **{code: np.arange(6).reshape(2, 3).astype(code) for code in "?bBhHiIlLqQefdgFD"},
    "big endian": np.arange(5, dtype=">i4"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(20.0).reshape(4, 5)[::2, 1::2],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    "0-d": np.array(3.5),
    "empty": np.zeros((0, 3), np.float32),
    "text": np.array(["a", "日本", ""]),
    "big endian text": np.array(["ab", "ü"], ">U2"),
    "byte text": np.array([b"a", b"bcd"]),
    "records": np.array([(1, [2.0, 3.0], "x")], [("a", "<i4"), ("b", "<f8", (2,)), ("c", "<U3")]),
    "aligned records": np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_come_back_equal_and_writable(tmp_path: Path, case: str, protocol: int) -> None:
    expected = ARRAYS[case]
    result = through(tmp_path, expected, protocol)
    assert type(result) is np.ndarray
    assert result.dtype == expected.dtype
    assert_array_equal(result, expected)
    assert result.flags.writeable


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_object_arrays_and_scalars(tmp_path: Path, protocol: int) -> None:
    items = np.empty((2, 2), object)
    items[:] = [[None, {"a": np.arange(2)}], [[1, [2]], "text"]]
    holder = np.array({"body_pose": np.zeros((2, 21, 3)), "names": ["a"]}, object)
    result = through(
        tmp_path,
        {"items": items, "holder": holder, "scalar": np.float32(1.5), "text": np.str_("é"), "b": np.bool_(True)},
        protocol,
    )
    assert result["items"].shape == (2, 2)
    assert result["items"][1, 0] == [1, [2]]
    assert_array_equal(result["items"][0, 1]["a"], [0, 1])
    assert result["holder"].shape == ()
    assert result["holder"].item()["body_pose"].shape == (2, 21, 3)
    assert type(result["scalar"]) is np.float32
    assert result["scalar"] == 1.5
    assert result["text"] == "é"
    assert result["b"] == np.True_


@pytest.mark.parametrize("python2", [False, True])
def test_arrays_as_numpy_1_wrote_them(tmp_path: Path, python2: bool) -> None:
    pose = np.random.default_rng(0).normal(size=(3, 72))
    objects = np.empty(2, object)
    fragment = dct(
        pose=array(pose, python2=python2),
        fortran=array(np.asfortranarray(pose), python2=python2),
        objects=array(objects, items=lst(lit({"gender": "f"}), array(np.arange(3)))),
        scalar=call(name("numpy.core.multiarray", "scalar"), dtype("<f8"), raw(np.float64(2.5).tobytes())),
    )
    result = load(tmp_path, stream(fragment))
    assert_array_equal(result["pose"], pose)
    assert_array_equal(result["fortran"], pose)
    assert result["objects"][0] == {"gender": "f"}
    assert_array_equal(result["objects"][1], [0, 1, 2])
    assert result["scalar"] == 2.5


def test_python_2_text_follows_the_encoding(tmp_path: Path) -> None:
    data = stream(lst(b"U\x02\xe9a", b"S'q\\xe9\\n'\n", b"T\x01\x00\x00\x00k"))
    assert load(tmp_path, data) == ["éa", "qé\n", "k"]
    assert load(tmp_path, data, encoding="bytes") == [b"\xe9a", b"q\xe9\n", b"k"]
    with pytest.raises(RawFileError, match="UnicodeDecodeError"):
        load(tmp_path, data, encoding="ascii")


# --- pandas -----------------------------------------------------------------------------------------------------------


def agora_like() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "imgPath": ["a.png", "b.png"],
            "X": [[1.0, 2.0], [3.0]],
            "camX": [1.5, 2.5],
            "camYaw": [0.0, -1.0],
            "count": [2, 1],
            "gt_joints_2d": [[np.zeros((4, 2)), np.ones((4, 2))], [np.full((4, 2), 7.0)]],
        }
    )


def check_agora_like(frame: Any) -> None:
    expected = agora_like()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(expected.columns)
    assert list(frame.index) == [0, 1]
    for column in ("imgPath", "X", "camX", "camYaw", "count"):
        assert frame[column].tolist() == expected[column].tolist()
    assert frame["camX"].dtype == np.float64
    assert frame["imgPath"].dtype == object
    assert_array_equal(frame.iloc[0]["gt_joints_2d"][1], np.ones((4, 2)))


@pytest.mark.parametrize("storage", ["python", "pyarrow"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_frames_of_the_installed_pandas(tmp_path: Path, protocol: int, storage: str) -> None:
    with pd.option_context("mode.string_storage", storage):
        frame = agora_like()
    check_agora_like(through(tmp_path, frame, protocol))


@pytest.mark.parametrize("storage", ["python", "pyarrow"])
def test_text_columns_keep_missing_entries_slices_and_labels(tmp_path: Path, storage: str) -> None:
    with pd.option_context("mode.string_storage", storage):
        frame = pd.DataFrame({"t": ["a", None, "", "日本", "e"], "n": range(5)}, index=list("vwxyz"))
        result = through(tmp_path, {"whole": frame, "part": frame.iloc[1:4], "none": frame.iloc[:0]})
    assert result["whole"]["t"].isna().tolist() == [False, True, False, False, False]
    assert result["whole"]["t"].dropna().tolist() == ["a", "", "日本", "e"]
    assert result["whole"].loc["y", "n"] == 3
    assert result["part"].index.tolist() == ["w", "x", "y"]
    assert result["part"]["t"].tolist()[1:] == ["", "日本"]
    assert len(result["none"]) == 0


def old_index(values: list[str]) -> bytes:
    labels = array(np.empty(len(values), object), items=lst(*map(lit, values)))
    return call(
        name("pandas.core.indexes.base", "_new_Index"),
        name("pandas.core.indexes.base", "Index"),
        dct(data=labels, name=lit(None)),
    )


def old_rows(kind: str, count: int) -> bytes:
    new_index = name("pandas.core.indexes.base", "_new_Index")
    if kind == "range":
        fields = dct(name=lit(None), start=lit(0), stop=lit(count), step=lit(1))
        return call(new_index, name("pandas.core.indexes.range", "RangeIndex"), fields)
    return call(
        new_index,
        name("pandas.core.indexes.numeric", "Int64Index"),
        dct(data=array(np.arange(count, dtype=np.int64)), name=lit(None)),
    )


def old_blocks(python2: bool = False) -> list[tuple[bytes, bytes]]:
    """(values, places) of each block of `agora_like`, places as slice and as array."""
    frame = agora_like()
    joints = [lst(*(array(joints, python2=python2) for joints in people)) for people in frame["gt_joints_2d"]]
    objects = lst(*map(lit, frame["imgPath"]), *map(lit, frame["X"]), *joints)
    return [
        (array(np.empty((3, 2), object), items=objects), array(np.array([0, 1, 5]), python2=python2)),
        (
            array(frame[["camX", "camYaw"]].to_numpy().T.copy(), python2=python2),
            call(name("__builtin__", "slice"), lit(2), lit(4), lit(1)),
        ),
        (array(frame[["count"]].to_numpy().T.copy()), call(name("__builtin__", "slice"), lit(4), lit(5), lit(1))),
    ]


COLUMNS = ["imgPath", "X", "camX", "camYaw", "count", "gt_joints_2d"]


@pytest.mark.parametrize("rows", ["range", "Int64Index"])
def test_a_frame_as_pandas_1_3_to_1_5_wrote_it(tmp_path: Path, rows: str) -> None:
    unpickle = name("pandas._libs.internals", "_unpickle_block")
    blocks = tup(*(call(unpickle, values, places, lit(2)) for values, places in old_blocks()))
    axes = lst(old_index(COLUMNS), old_rows(rows, 2))
    manager = call(name("pandas.core.internals.managers", "BlockManager"), blocks, axes)
    state = dct(_mgr=manager, _typ=lit("dataframe"), _metadata=lit([]), attrs=lit({}), _flags=lit({}))
    check_agora_like(load(tmp_path, stream(build(new(name("pandas.core.frame", "DataFrame")), state))))


@pytest.mark.parametrize("attribute", ["_data", "_mgr"])
@pytest.mark.parametrize("python2", [False, True])
def test_a_frame_as_pandas_before_1_3_wrote_it(tmp_path: Path, python2: bool, attribute: str) -> None:
    axes = lst(old_index(COLUMNS), old_rows("range", 2))
    blocks = lst(*(dct(values=values, mgr_locs=places) for values, places in old_blocks(python2)))
    extra = b"}" + lit("0.14.1") + dct(axes=axes, blocks=blocks) + b"s"
    manager = build(new(name("pandas.core.internals.managers", "BlockManager")), tup(axes, lst(), lst(), extra))
    state = b"}(" + lit(attribute) + manager + lit("_typ") + lit("dataframe") + lit("_metadata") + lit([]) + b"u"
    check_agora_like(load(tmp_path, stream(build(new(name("pandas.core.frame", "DataFrame")), state))))


def test_columns_that_are_not_numbers_text_or_objects_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="Categorical"):
        through(tmp_path, pd.DataFrame({"a": pd.Categorical(["u", "v"])}))
    with pytest.raises(RawFileError, match="DatetimeArray"):
        through(tmp_path, pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}))
    with pytest.raises(RawFileError, match="MultiIndex"):
        through(tmp_path, pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])))


# --- torch, scipy, chumpy ---------------------------------------------------------------------------------------------

TENSORS = {
    **{
        str(kind): torch.arange(6).reshape(2, 3).to(kind)
        for kind in (torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8)
    },
    "uint8": torch.arange(6, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "complex": torch.tensor([1 + 2j]),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "part": torch.arange(24.0).reshape(4, 6)[1:3, ::2],
    "0-d": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", TENSORS)
def test_tensors_come_as_arrays(tmp_path: Path, case: str, protocol: int) -> None:
    result = through(tmp_path, TENSORS[case], protocol)
    assert type(result) is np.ndarray
    assert result.dtype == TENSORS[case].numpy().dtype
    assert_array_equal(result, TENSORS[case].numpy())


def test_parameters_bfloat16_and_shared_storage(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    value = {
        "p": torch.nn.Parameter(torch.ones(2)),
        "b": torch.tensor([1.5, -2.0]).bfloat16(),
        "x": base[:3],
        "y": base[3:],
    }
    result = through(tmp_path, value, 2)
    assert_array_equal(result["p"], [1, 1])
    assert_array_equal(result["b"], np.float32([1.5, -2.0]))
    assert_array_equal(result["x"], [0, 1, 2])
    assert_array_equal(result["y"], [3, 4, 5])


def test_a_cuda_tensor_of_an_old_torch_needs_no_gpu(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    fragment = call(
        name("torch._utils", "_rebuild_tensor_v2"),
        call(name("torch.storage", "_load_from_bytes"), raw(storage(values, module="torch.cuda", location="cuda:0"))),
        lit(0),
        lit((1, 6)),
        lit((6, 1)),
        lit(False),
        call(name("collections", "OrderedDict")),
    )
    assert_array_equal(load(tmp_path, stream(fragment)), values[None])


def storage(
    values: np.ndarray[Any, Any], *, module: str = "torch", location: str = "cpu", count: int | None = None
) -> bytes:
    count = len(values) if count is None else count
    reference = tup(lit("storage"), name(module, "FloatStorage"), lit("0"), lit(location), lit(count), lit(None))
    return b"".join(
        (
            stream(lit(0x1950A86A20F9469CFC6C)),
            stream(lit(1001)),
            stream(lit({"little_endian": True})),
            stream(reference + b"Q"),
            stream(lit(["0"])),
            count.to_bytes(8, "little"),
            values.tobytes(),
        )
    )


@pytest.mark.parametrize("form", ["csc", "csr", "coo"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse_matrices_of_the_installed_scipy(tmp_path: Path, form: str, kind: str) -> None:
    dense = np.array([[0, 1.5, 0], [2.5, 0, 0]])
    expected = getattr(sparse, f"{form}_{kind}")(dense)
    result = through(tmp_path, expected, 2)
    assert result.format == form
    assert_array_equal(result.toarray(), dense)


def test_a_body_model_as_python_2_wrote_it(tmp_path: Path) -> None:
    """scipy under its old module names, chumpy arrays, and both made through `copy_reg._reconstructor`."""
    shapedirs = np.random.default_rng(1).normal(size=(4, 3, 2))
    regressor = sparse.csc_matrix(np.array([[0.5, 0.5, 0, 0], [0, 0, 0, 1.0]]))
    old = lambda cls: call(name("copy_reg", "_reconstructor"), cls, name("__builtin__", "object"), lit(None))  # noqa: E731
    chumpy = dct(x=array(shapedirs, python2=True), _dirty_vars=call(name("__builtin__", "set"), lst()), _itr=lit(None))
    selection = dct(
        a=build(new(name("chumpy.ch", "Ch")), chumpy),
        idxs=array(np.array([0, 5, 23])),
        preferred_shape=lit((3, 1)),
    )
    fragment = dct(
        shapedirs=build(old(name("chumpy.ch", "Ch")), chumpy),
        some=build(new(name("chumpy.reordering", "Select")), selection),
        J_regressor=build(
            old(name("scipy.sparse.csc", "csc_matrix")),
            dct(
                _shape=lit((2, 4)),
                maxprint=lit(50),
                data=array(regressor.data, python2=True),
                indices=array(regressor.indices, python2=True),
                indptr=array(regressor.indptr, python2=True),
            ),
        ),
    )
    result = load(tmp_path, stream(fragment))
    assert_array_equal(result["shapedirs"], shapedirs)
    assert_array_equal(result["some"], shapedirs.reshape(-1)[[0, 5, 23]][:, None])
    assert_array_equal(result["J_regressor"].toarray(), regressor.toarray())
