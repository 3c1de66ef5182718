"""One file per dataset. `READERS` is the registry: explicit, sorted, and the only place that lists readers.

Every dataset has one more form, the HumanData npz of mmhuman3d and SMPLer-X, which one reader reads for all of them.

    forms_of("rich")                              ("pkl", "humandata")
    open_reader("rich", root, "humandata")        the reader on its raw root
"""

from __future__ import annotations

from pathlib import Path

from harmonize.errors import UnknownDatasetError, UsageError
from harmonize.readers.agora import Agora
from harmonize.readers.arctic import Arctic
from harmonize.readers.base import Reader
from harmonize.readers.bedlam import Bedlam
from harmonize.readers.behave import Behave
from harmonize.readers.chi3d import Chi3d
from harmonize.readers.crowdpose import Crowdpose
from harmonize.readers.dna_rendering import DnaRendering
from harmonize.readers.dna_rendering_hires import DnaRenderingHires
from harmonize.readers.egobody_egoset import EgobodyEgoset
from harmonize.readers.egobody_mvset import EgobodyMvset
from harmonize.readers.ehf import Ehf
from harmonize.readers.fit3d import Fit3d
from harmonize.readers.gta_human2 import GtaHuman2
from harmonize.readers.h36m import H36m
from harmonize.readers.humandata import HUMANDATA, HumanData
from harmonize.readers.humandata_sets import SETS
from harmonize.readers.humansc3d import Humansc3d
from harmonize.readers.instavariety import Instavariety
from harmonize.readers.lspet import Lspet
from harmonize.readers.mpi_inf_3dhp import MpiInf3dhp
from harmonize.readers.mpii import Mpii
from harmonize.readers.mscoco import Mscoco
from harmonize.readers.mtp import Mtp
from harmonize.readers.muco_3dhp import Muco3dhp
from harmonize.readers.ochuman import Ochuman
from harmonize.readers.posetrack import Posetrack
from harmonize.readers.prox import Prox
from harmonize.readers.pw3d import Pw3d
from harmonize.readers.rich import Rich
from harmonize.readers.spec import Spec
from harmonize.readers.ssp3d import Ssp3d
from harmonize.readers.synbody import Synbody
from harmonize.readers.talkshow import Talkshow
from harmonize.readers.ubody import Ubody
from harmonize.readers.up3d import Up3d

READERS: dict[str, type[Reader]] = {
    "agora": Agora,
    "arctic": Arctic,
    "bedlam": Bedlam,
    "behave": Behave,
    "chi3d": Chi3d,
    "crowdpose": Crowdpose,
    "dna_rendering": DnaRendering,
    "dna_rendering_hires": DnaRenderingHires,
    "egobody_egoset": EgobodyEgoset,
    "egobody_mvset": EgobodyMvset,
    "ehf": Ehf,
    "fit3d": Fit3d,
    "gta_human2": GtaHuman2,
    "h36m": H36m,
    "humansc3d": Humansc3d,
    "instavariety": Instavariety,
    "lspet": Lspet,
    "mpi_inf_3dhp": MpiInf3dhp,
    "mpii": Mpii,
    "mscoco": Mscoco,
    "mtp": Mtp,
    "muco_3dhp": Muco3dhp,
    "ochuman": Ochuman,
    "posetrack": Posetrack,
    "prox": Prox,
    "pw3d": Pw3d,
    "rich": Rich,
    "spec": Spec,
    "ssp3d": Ssp3d,
    "synbody": Synbody,
    "talkshow": Talkshow,
    "ubody": Ubody,
    "up3d": Up3d,
}


def reader_class(name: str) -> type[Reader]:
    """The reader of a dataset in its official forms.

    Raises:
        UnknownDatasetError: there is none of that name; the message lists those that there are.
    """
    if name not in READERS:
        raise UnknownDatasetError(
            f"no dataset is called {name!r}; known: {', '.join(READERS)}", fix="ehps datasets", dataset=name
        )
    return READERS[name]


def forms_of(name: str) -> tuple[str, ...]:
    """The annotation forms of a dataset: the official ones, the default first, and HumanData.

    Raises:
        UnknownDatasetError: see `reader_class`.
    """
    return (*reader_class(name).forms, HUMANDATA)


def splits_of(name: str, form: str | None = None) -> tuple[str, ...]:
    """The splits of a dataset's annotation form (None: its default form), as named on disk.

    Raises:
        UnknownDatasetError: see `reader_class`.
        UsageError: the dataset has no such form.
    """
    cls, chosen = reader_class(name), _form(name, form)
    return SETS[name].splits if chosen == HUMANDATA else cls.form_splits.get(chosen, cls.splits)


def open_reader(name: str, root: Path, form: str | None = None) -> Reader:
    """The reader of a dataset's annotation form (None: its default form) on its raw root.

    Raises:
        UnknownDatasetError: see `reader_class`.
        UsageError: the dataset has no such form.
        RawLayoutError: the root is not a folder.
    """
    cls, chosen = reader_class(name), _form(name, form)
    if chosen == HUMANDATA:
        return HumanData(root, dataset=name, licence=cls.licence)
    return cls(root, form=chosen)


def _form(name: str, form: str | None) -> str:
    known = forms_of(name)
    if form is not None and form not in known:
        raise UsageError(
            f"{name}: unknown annotation form {form!r}; expected one of {', '.join(known)}", fix=f"ehps datasets {name}"
        )
    return known[0] if form is None else form
