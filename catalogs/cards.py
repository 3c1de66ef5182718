"""Dataset cards: what a dataset is, how to obtain it, what is in it, and how sure each statement is.

One YAML file a dataset in `catalogs/datasets/`, validated here; a key that this module does not know is an error. A
number or a claim that may be wrong carries its source, and whether somebody has checked it there.

    card("agora").licence.kind          "non-commercial-research"
    [c.name for c in cards()]           every card, sorted by name
"""

from __future__ import annotations

import functools
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harmonize.errors import DataError, UnknownDatasetError

DATASETS: tuple[str, ...] = (
    *("agora", "arctic", "bedlam", "behave", "chi3d", "crowdpose", "dna_rendering", "dna_rendering_hires"),
    *("egobody_egoset", "egobody_mvset", "ehf", "fit3d", "gta_human2", "h36m", "humansc3d", "instavariety", "lspet"),
    *("mpi_inf_3dhp", "mpii", "mscoco", "mtp", "muco_3dhp", "ochuman", "posetrack", "prox", "pw3d", "rich", "spec"),
    *("ssp3d", "synbody", "talkshow", "ubody", "up3d"),
)
"""The 32 training datasets of SMPLer-X (arXiv 2309.17448) and EHF: what a card may name as overlapping."""

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Field(strict=False)]  # YAML has lists where a frozen card has tuples
Some = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]
Size = Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], Field(strict=False)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")]
Gender = Literal["female", "male", "neutral"]
LabelOrigin = Literal["capture", "multi-view", "imu", "synthetic", "eft", "neuralannot", "fit"]
Benchmark = Literal["agora", "egobody", "ehf", "pw3d", "ubody", "arctic", "dna_rendering_hires"]
"""The five benchmarks of SMPLer-X's mean primary error, and the two it adds."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Claim(_Part):
    """A statement, where it was read, and whether it was checked there: false means remembered, inferred or hearsay."""

    text: Text
    source: Text
    is_verified: bool


class Licence(_Part):
    """`kind` is the class that decides what a user may do; `terms` says it in words."""

    kind: Literal["open", "attribution", "non-commercial-research", "several", "of-the-content"]
    terms: Text
    source: Text
    is_verified: bool


class Access(_Part):
    """`steps` lead from nothing to a raw root, in order."""

    needs_registration: bool
    steps: Some[Text]


class Count(_Part):
    """How many `what` a split has ("all" for the whole dataset)."""

    what: Literal["pictures", "people", "sequences", "scans", "scenes", "render-jobs"]
    split: Text
    value: Annotated[int, Field(gt=0)]
    is_about: bool = False
    source: Text
    is_verified: bool


class Split(_Part):
    """`name` is what `ehps ingest --split` takes, `role` what it is for, `files` where it lies in the official layout.

    `forms` are those that have it; none given: every form.
    """

    name: Word
    role: Literal["train", "validation", "test"]
    files: Text
    forms: Many[Word] = ()


class Contents(_Part):
    hands: Literal["labelled", "partly", "none"]
    face: Literal["labelled", "partly", "none"]
    is_multi_person: bool
    is_video: bool
    is_egocentric: bool


class Labels(_Part):
    """How the body labels came about; `origins` as in the record's provenance."""

    origins: Some[LabelOrigin]
    detail: Text


class Body(_Part):
    """The body model that the annotation uses, and the frame its parameters are in."""

    model: Literal["smpl", "smplh", "smplx", "any"]
    genders: Some[Gender]
    num_betas: Annotated[int, Field(ge=0, le=300)]
    num_expression: Annotated[int, Field(ge=0, le=100)]
    hands: Literal["absolute", "relative", "none", "either"]
    frame: Literal["camera", "world", "scan"]
    has_kids: bool = False
    detail: Text


class Camera(_Part):
    """`calibrated`: measured or rendered with; `virtual`: made up by the fit of each person, so depth is not metric."""

    kind: Literal["calibrated", "virtual", "either"]
    is_metric: bool
    is_moving: bool
    has_distortion: bool
    picture_sizes_px: Many[Size] = ()
    detail: Text

    @model_validator(mode="after")
    def _virtual_depth_is_not_metric(self) -> Camera:
        if self.kind == "virtual" and self.is_metric:
            raise ValueError("is_metric: a virtual camera has no metric depth")
        return self


class InDomain(_Part):
    """A benchmark whose test pictures are of the same kind: its cells are left out when datasets are compared."""

    benchmark: Benchmark
    reason: Text
    source: Text
    is_verified: bool


class Overlap(_Part):
    """A dataset that shares pictures, people or recordings with this one."""

    dataset: Literal[DATASETS]  # type: ignore[valid-type]
    how: Text
    source: Text
    is_verified: bool


class Defect(_Part):
    """What is wrong or surprising in the release, how that is known, and what the reader does about it."""

    what: Text
    evidence: Text
    handling: Text


class RootEntry(_Part):
    """One file or folder of the official layout; `<name>` stands for what varies. `forms` are those that need it."""

    path: Annotated[str, Field(pattern=r"^[^/\s][^\\]*$")]
    holds: Text
    is_required: bool
    forms: Many[Word] = ()


class Form(_Part):
    name: Word
    detail: Text


class Subsampling(_Part):
    """`every`: keep each n-th; what others did, or what neighbouring frames advise."""

    every: Annotated[int, Field(gt=0)]
    why: Text
    source: Text
    is_verified: bool


class Card(_Part):
    """All that is known of one dataset. `forms[0]` is the default annotation form, whose first split is the default.

    `meant_for` is what its authors made it for, whatever others do with it. `gate` overrides single limits of
    `harmonize.gate.Limits`, by name.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Text
    year: Annotated[int, Field(ge=2009, le=2100)]
    references: Some[Text]
    licence: Licence
    access: Access
    domain: Literal["real", "synthetic", "mixed"]
    scene: Literal["in-the-wild", "laboratory", "mixed"]
    environments: Some[Word]
    meant_for: Literal["training", "evaluation"] = "training"
    contents: Contents
    labels: Labels
    body: Body
    camera: Camera
    counts: Many[Count]
    splits: Some[Split]
    forms: Some[Form]
    root: Some[RootEntry]
    subsampling: Many[Subsampling] = ()
    in_domain: Many[InDomain] = ()
    overlaps: Many[Overlap] = ()
    defects: Many[Defect] = ()
    notes: Many[Claim] = ()
    gate: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_fit_together(self) -> Card:
        for what, names in (("splits", [s.name for s in self.splits]), ("forms", [f.name for f in self.forms])):
            if len(set(names)) != len(names):
                raise ValueError(f"{what}: a name comes twice in {names}")
        known_splits = {"all", *(split.name for split in self.splits)}
        known_forms = {form.name for form in self.forms}
        for count in self.counts:
            if count.split not in known_splits:
                raise ValueError(f"counts: expected a split of {sorted(known_splits)}, found {count.split!r}")
        stated = {f"root: {entry.path}": entry.forms for entry in self.root}
        stated |= {f"splits: {split.name}": split.forms for split in self.splits}
        for what, forms in stated.items():
            if unknown := set(forms) - known_forms:
                raise ValueError(f"{what}: expected forms of {sorted(known_forms)}, found {sorted(unknown)}")
        for form in self.forms:
            if not self.splits_of(form.name):
                raise ValueError(f"splits: expected one of the form {form.name!r}, found none")
        if any(overlap.dataset == self.name for overlap in self.overlaps):
            raise ValueError("overlaps: a dataset cannot overlap with itself")
        return self

    @property
    def default_form(self) -> str:
        return self.forms[0].name

    def splits_of(self, form: str) -> tuple[Split, ...]:
        """The splits of an annotation form."""
        return tuple(split for split in self.splits if not split.forms or form in split.forms)


def parse_card(text: str, path: str) -> Card:
    """The card written in `text`; `path` is for messages, and its stem must be the card's name.

    Raises:
        DataError: not YAML, or not a card; the message names the file and every key that is wrong.
    """
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise DataError(f"{path}: expected YAML, found {error}", card=path) from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a card with keys, found {type(content).__name__}", card=path)
    try:
        card = Card.model_validate(content)
    except ValidationError as error:
        problems = [_problem(problem) for problem in error.errors()]
        raise DataError(
            f"{path}: the card has {len(problems)} wrong keys:\n  " + "\n  ".join(problems),
            fix="correct the card; catalogs/cards.py lists the keys",
            card=path,
            keys=[problem.split(":")[0] for problem in problems],
        ) from error
    stem = path.rsplit("/", 1)[-1].removesuffix(".yaml")
    if card.name != stem:
        raise DataError(f"{path}: name: expected {stem!r} as the file is called, found {card.name!r}", card=path)
    return card


def _problem(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"])) or "card"
    found = "" if isinstance(problem["input"], dict) else f"; found {problem['input']!r}"[:120]
    return f"{key}: {problem['msg'][:300]}{found}"


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error: otherwise the last one silently wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _folder() -> Traversable:
    return files("catalogs") / "datasets"


@functools.cache
def cards() -> tuple[Card, ...]:
    """Every card, sorted by name.

    Raises:
        DataError: a card is wrong; see `parse_card`.
    """
    paths = sorted((path for path in _folder().iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return tuple(_read(path) for path in paths)


def card(name: str) -> Card:
    """The card of a dataset.

    Raises:
        UnknownDatasetError: there is none of that name; the message lists those that there are.
        DataError: the card is wrong; see `parse_card`.
    """
    known = sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))
    if name not in known:
        raise UnknownDatasetError(f"no dataset is called {name!r}; known: {', '.join(known)}", fix="ehps datasets")
    return _read(_folder() / f"{name}.yaml")


def _read(path: Traversable) -> Card:
    return parse_card(path.read_text(encoding="utf-8"), f"catalogs/datasets/{path.name}")
