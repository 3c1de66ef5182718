"""The report of a store says what became of everyone, shows samples, and compares annotation forms."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.errors import UsageError
from harmonize.shards.plan import IngestJob, IngestOptions
from harmonize.shards.verify import verify
from pipelines.commands.report import report
from pipelines.form_differences import _aligned, form_differences
from pipelines.ingest import ingest
from pipelines.report import write_reports


def test_a_report_accounts_for_everyone_and_shows_samples(store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    paths = write_reports(copy, None, None, None)
    assert [path.name for path in paths] == ["mscoco.html", "pw3d.html"]
    text = paths[0].read_text()
    assert "<td>crowd</td>" in text
    assert "stand-in" in text
    assert text.count("data:image/png") >= 2  # histograms
    keys = re.findall(r"<figcaption>(mscoco-[^<]+)</figcaption>", text)
    assert len(keys) == len(set(keys)) == text.count("data:image/jpeg") > 4
    assert "Fit error" in paths[1].read_text()
    assert verify(copy).findings == ()


def test_a_dataset_that_is_not_there_is_said(store: Path) -> None:
    with pytest.raises(UsageError, match="holds nothing of agora"):
        report(store, "agora")


@pytest.fixture(scope="module")
def stores(miniature: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """3DPW from its pickles and from its json, annotations only."""
    raw, made = miniature("pw3d")[0], []
    for form in ("pickle", "json"):
        store = tmp_path_factory.mktemp(form)
        options = IngestOptions(images="none", max_reject_share=1.0)
        ingest(
            [
                IngestJob(
                    reader="pw3d",
                    root=raw,
                    split="train",
                    store=store,
                    form=form,
                    body_models="standin",
                    options=options,
                )
            ],
            runner="inline",
            num_workers=1,
        )
        made.append(store)
    return made[0], made[1]


def test_two_forms_of_the_same_people_are_compared(stores: tuple[Path, Path]) -> None:
    (same,) = form_differences(stores[0], stores[0], "pw3d")
    assert same.num_people > 3
    assert max(same.joints_mm, same.aligned_joints_mm, same.global_orient_deg) < 0.05
    assert same.box_iou == pytest.approx(1)
    (other,) = form_differences(*stores, "pw3d")
    assert 0 < other.num_people <= same.num_people
    (path,) = write_reports(stores[0], ["pw3d"], stores[1], None)
    assert "aligned joints mm" in path.read_text()


def test_alignment_takes_out_turn_size_and_place() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(3, 22, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    np.testing.assert_allclose(_aligned(1.7 * target @ turn + [1, 2, 3], target), target, atol=1e-12)
    mirrored = target * [-1, 1, 1]
    assert np.abs(_aligned(mirrored, target) - target).max() > 0.1
