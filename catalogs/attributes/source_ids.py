"""What a dataset itself calls a picture or a recording, in words that can be compared.

A file called 000001.jpg is in every second dataset, so names are compared only where they mean the same: between the
splits of one dataset, and between two datasets that record the same sessions under the same names. CrowdPose, OCHuman,
UP-3D and MuCo-3DHP numbered their pictures anew, and that of PoseTrack's clips and MPII's pictures is not documented:
they are compared by the pictures' hashes alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("sequence", "frame", "image_path", "image_sha256")
"""Index columns that identify a source picture."""

_IMAR = re.compile(r"(s\d+)/\d+/(.+)")
_DNA = re.compile(r"(\d+_\d+)/\d+")
_RECORDINGS: dict[str, tuple[str, re.Pattern[str]]] = {
    "arctic": ("arctic", re.compile(r"(s\d+/[^/]+)/\d+")),
    "bedlam": ("bedlam", re.compile(r"([^/]+/seq_\d+)")),
    "behave": ("behave", re.compile(r"([^/]+)/k\d+")),
    "chi3d": ("chi3d", _IMAR),
    "dna_rendering": ("dna_rendering", _DNA),
    "dna_rendering_hires": ("dna_rendering", _DNA),
    "egobody_egoset": ("egobody", re.compile(r"(recording_[^/]+)")),
    "egobody_mvset": ("egobody", re.compile(r"(recording_[^/]+)/[^/]+")),
    "fit3d": ("fit3d", _IMAR),
    "gta_human2": ("gta_human2", re.compile(r"(seq_\d+)")),
    "h36m": ("h36m", re.compile(r"(s_\d+_act_\d+_subact_\d+)_ca_\d+")),
    "humansc3d": ("humansc3d", _IMAR),
    "mpi_inf_3dhp": ("mpi_inf_3dhp", re.compile(r"(S\d+/Seq\d+)/video_\d+")),
    "posetrack": ("posetrack", re.compile(r"(\d+_[^/]+)")),
    "prox": ("prox", re.compile(r"([^/]+_\d+_\d+)")),
    "pw3d": ("pw3d", re.compile(r"([A-Za-z]\w*_\d\d)")),
    "rich": ("rich", re.compile(r"([^/]+)/cam_\d+")),
    "synbody": ("synbody", re.compile(r"(.+)_CAM\d+")),
    "talkshow": ("talkshow", re.compile(r"([^/]+/.+)/[^/]+")),
    "ubody": ("ubody", re.compile(r"([^/]+/[^/]+)/[^/]+")),
}
"""Dataset -> whose names they are, and the part of `sequence` that is the recording, without camera or clip."""

_COCO_NUMBER = re.compile(r"(?:COCO_(?:train|val|test)201\d_)?0*(\d{1,12})")
_FRAME_OF_VIDEO = r"(?P<frame>(?:@[-+.\de]+s/[-+.\de]+fps)?#\d+)$"


def recordings(dataset: str, sequences: Any) -> Any:
    """The recording of each `sequence` (Arrow strings); null where the dataset has none, or another form names it."""
    if dataset not in _RECORDINGS:
        return pa.nulls(len(sequences), pa.string())
    owner, pattern = _RECORDINGS[dataset]
    return _mapped(sequences, lambda text: _joined(owner, pattern.fullmatch(text)))


def picture_numbers(dataset: str, frames: Any, paths: Any, hashes: Any) -> Any:
    """What the dataset calls each picture (Arrow strings).

    COCO: the number, which is the same in all its releases (COCO_train2014_000000000009.jpg is 000000000009.jpg of
    2017). Others: the path under the raw root, where the picture was not opened and so has no hash; else null.
    """
    if dataset == "mscoco":
        return _mapped(frames, lambda text: _joined("coco", _COCO_NUMBER.fullmatch(text)))
    named = pc.binary_join_element_wise(dataset, paths, ":")
    is_known = pc.and_(pc.equal(hashes, ""), pc.not_equal(paths, ""))
    return pc.if_else(is_known, named, pa.scalar(None, pa.string()))


def picture_hashes(paths: Any, hashes: Any) -> Any:
    """What tells pictures apart by content (Arrow strings): the hash of the file, and of a video which frame of it."""
    frames = pc.extract_regex(paths, _FRAME_OF_VIDEO)
    suffix = pc.fill_null(pc.struct_field(frames, 0), "")
    joined = pc.binary_join_element_wise(hashes, suffix, "")
    return pc.if_else(pc.equal(hashes, ""), pa.scalar(None, pa.string()), joined)


def time_order(frames: Any) -> npt.NDArray[np.intp]:
    """Place of each frame name (Arrow strings) in time: numbers inside names count as numbers, so 2 is before 10."""
    coded = frames.dictionary_encode() if not pa.types.is_dictionary(frames.type) else frames
    names = coded.dictionary.to_pylist()
    padded = [re.sub(r"\d+", lambda digits: digits[0].zfill(20), name) for name in names]
    place = np.empty(len(names), np.intp)
    place[sorted(range(len(names)), key=lambda i: (padded[i], names[i]))] = np.arange(len(names))
    order: npt.NDArray[np.intp] = place[coded.indices.to_numpy()]
    return order


def _mapped(texts: Any, function: Callable[[str], str | None]) -> Any:
    coded = texts.dictionary_encode()
    values = pa.array([function(text) for text in coded.dictionary.to_pylist()], pa.string())
    return values.take(coded.indices)


def _joined(owner: str, match: re.Match[str] | None) -> str | None:
    return None if match is None else f"{owner}:{'/'.join(match.groups())}"
