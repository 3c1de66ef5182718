"""Every annotation file among the real records opens, and what is stated of it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.raw.jsons import iter_json_items, load_json
from harmonize.raw.npz import load_npy, load_npz, npz_header
from harmonize.raw.pickles import load_pickle


def files(samples: Path, suffix: str) -> list[Path]:
    found = sorted(samples.rglob(f"*{suffix}"))
    assert found, f"no {suffix} files under {samples}"
    return found


def arrays_in(value: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        return [value] if value.dtype != object else [array for item in value.reshape(-1) for array in arrays_in(item)]
    members = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [array for member in members for array in arrays_in(member)]


def test_all_pickles(samples: Path) -> None:
    for path in files(samples, ".pkl"):
        assert arrays_in(load_pickle(path)), path


def test_all_npz(samples: Path) -> None:
    for path in files(samples, ".npz"):
        arrays = load_npz(path)
        assert {key: (value.shape, value.dtype) for key, value in arrays.items()} == npz_header(path)
        assert arrays_in(arrays), path


def test_all_npy(samples: Path) -> None:
    for path in files(samples, ".npy"):
        assert load_npy(path).size


def test_all_json(samples: Path) -> None:
    for path in files(samples, ".json"):
        value = load_json(path)
        assert value, path
        if isinstance(value, dict) and isinstance(value.get("annotations"), list):
            assert list(iter_json_items(path, "annotations.item")) == value["annotations"]


def test_a_pickle_with_torch_tensors(samples: Path) -> None:
    clip = load_pickle(samples / "talkshow/show_all.pkl")
    assert (clip["width"], clip["height"]) == (1280, 720)
    assert clip["expression"].shape == (300, 100)
    assert clip["global_orient"].shape == (300, 1, 3)
    assert "losses_to_log" in clip


def test_cameras_of_python_3_pickles(samples: Path) -> None:
    cameras = load_pickle(samples / "h36m/annotations/cameras.pkl")
    assert len(cameras) == 44
    for camera in cameras.values():
        assert np.allclose(camera["R"] @ camera["R"].T, np.eye(3), atol=1e-5)


def test_the_first_form_of_human_data(samples: Path) -> None:
    arrays = load_npz(samples / "humandata_prerelease/sample_3dpw_test.npz")
    smpl = arrays["smpl"].item()
    assert smpl["body_pose"].shape == (1, 23, 3)
    assert smpl["betas"].shape == (1, 10)


def test_a_sequence_of_human_mesh_recovery(samples: Path) -> None:
    results = load_npz(samples / "romp/romp_output.npz", ["results"])["results"].item()
    assert arrays_in(results)


@pytest.mark.parametrize("name", ["smplx_param_rm_personId_0.pkl", "smplx_verts_personId_0.pkl"])
def test_a_prediction_in_the_agora_form(samples: Path, name: str) -> None:
    value = load_pickle(samples / "agora/predictions" / name)
    assert value["joints"].shape[-2:] == (144, 2)
