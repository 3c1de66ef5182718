"""DNA-Rendering, the 5-megapixel cameras (0 to 47): one actor in a studio of 60 cameras.

Citation: Cheng et al., DNA-Rendering: A Diverse Neural Actor Repository for High-Fidelity Human-centric Rendering, ICCV
    2023 (arXiv 2307.10173). SMPLer-X calls its pre-release RenBody.
Licence: research (terms of the project's site, text unverified).
Access: terms accepted on the project's site, then parts 1 to 6 from cloud storage.
Counts: over 1 500 actors and 5 000 sequences in all (README); 3 991 949 people of RenBody before sub-sampling
    (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is unverified), 399 train and 78 test sequences.
Frame: world (y down), moved by the inverse of each camera's `RT`, which is camera to world.
Units: metres, radians, pixels of the distorted pictures.
Hands: relative (offsets to the mean hand), full axis-angle.
Gender: female or male SMPL-X, one an actor; the SMC release says which beside the pictures alone. Betas: 10.
Labels: multi-view (fits to joints triangulated from detections), with hands, jaw and expression.
Forms: `smc` (public release, default, one split `all`), `renbody` (pre-release, splits train and test).
Known defects:
    - `betas` may have one row for all frames (0163_10), `expression` fewer than the poses (0018_05: 40 of 225; issue
      25 of DNA-Rendering/DNA-Rendering): the one shape serves all, the expression is unknown where it is missing.
    - `scale` must not be applied: with it the mesh leaves the pictures (isarandi/posepile).
    - Camera numbers have two digits in the annotations and none in front beside the pictures; the last is 59.
    - Points that no camera detected coincide in `Keypoints_3D`, and spine and collars are never detected: unlabelled.
    - The order of `Keypoints_2D` is not documented; 133 points are taken as COCO-WholeBody's, others are left out.
    - RenBody's list of pictures is longer than its labels in places (SMPLer-X: 432 000): cut to the labels.
    - RenBody's `annots.npy` may lack `D`: the lens is then taken as ideal.
    - mmhuman3d's converter names camera 09 as invalid, without a reason and without using the name: it is kept.
    - Fits are noisy in places (issue 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.readers import dna_renbody, dna_smc
from harmonize.readers.base import Reader, Unit
from harmonize.readers.dna_studio import LICENCE


class DnaRendering(Reader):
    """A unit is one sequence in all cameras of 5 megapixels."""

    name = "dna_rendering"
    version = 1
    splits = ("all",)
    forms = ("smc", "renbody")
    form_splits: ClassVar[dict[str, tuple[str, ...]]] = {"renbody": ("train", "test")}
    licence: ClassVar[str] = LICENCE

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return dna_smc.units(self) if self.form == "smc" else dna_renbody.units(self, split)

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        people = dna_smc.people if self.form == "smc" else dna_renbody.people
        yield from people(self, split, unit, hires=False)
