"""SMPLer-X's mixtures as released: the best 5, 10, 20, all 32 datasets, and six for fine-tuning.

Members: `catalogs/published/training_mixtures.csv`, read in the configurations. They do not follow the published places
exactly: the ten are nine of the ten best for SMPLer-X-B, with CrowdPose (11th) for EgoBody-MVSet (10th).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.published import DATASET_NAMES, table
from benchmark.smplerx.lengths import Strategy, equal_share, num_distinct
from harmonize.errors import UsageError

DRAWS_PER_EPOCH: Mapping[str, int] = {"top5": 750_000, "top10": 1_500_000, "top20": 3_000_000, "all32": 4_500_000}
"""`total_data_len` of the configurations of the foundation models, by column of `training_mixtures`."""

SPECIALIST_DRAWS_PER_EPOCH = 1_000_000
SPECIALIST = "ft_"
_STEPPED_BY_SPECIALISTS = ("talkshow", "ubody")
"""The only frame steps in the configurations of specialists; cached lists of other steps would be read all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """datasets: our names, sorted; step: dataset -> frame step, 1 for all others."""

    name: str
    datasets: tuple[str, ...]
    draws_per_epoch: int
    step: Mapping[str, int]

    @property
    def share(self) -> int:
        """Draws of each dataset in an epoch."""
        return equal_share(self.draws_per_epoch, len(self.datasets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What an epoch of a mixture shows of one dataset; None where the number of instances is not known.

    num_after_step: instances, rounded down, which loaders that begin with the first row exceed by at most one a file.
    share: draws of the dataset in an epoch.
    """

    dataset: str
    num_instances: int | None
    step: int
    num_after_step: int | None
    share: int | None

    @property
    def passes(self) -> float | None:
        """Draws an instance."""
        return None if self.num_after_step is None or self.share is None else self.share / self.num_after_step

    @property
    def num_distinct(self) -> int | None:
        """Different instances among the draws."""
        if self.num_after_step is None or self.share is None:
            return None
        return num_distinct(self.num_after_step, self.share)

    @property
    def num_whole(self) -> int | None:
        """How often the whole list is shown; 0: it is cut."""
        return None if self.num_after_step is None or self.share is None else self.share // self.num_after_step

    @property
    def num_random(self) -> int | None:
        """Draws at random that fill the share up; a list that is cut has none."""
        if self.num_after_step is None or self.share is None:
            return None
        return self.share % self.num_after_step if self.share > self.num_after_step else 0

    @property
    def effect(self) -> str:
        """What becomes of the list: repeated, or cut to the same instances in every epoch."""
        if self.num_after_step is None or self.share is None:
            return ""
        if self.num_after_step == self.share:
            return "each once"
        return "repeated" if self.num_after_step < self.share else "cut to a fixed subset"


def mixture_names() -> tuple[str, ...]:
    """The released mixtures, those of foundation models first."""
    return tuple(column for column in table("training_mixtures")[0] if column != "dataset")


def mixture(name: str) -> Mixture:
    """A released mixture: top5, top10, top20, all32 or ft_TARGET.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in mixture_names():
        raise UsageError(f"no released mixture is called {name!r}; there are {', '.join(mixture_names())}")
    members = sorted(DATASET_NAMES[str(row["dataset"])] for row in table("training_mixtures") if row[name] == "1")
    steps = {
        DATASET_NAMES[str(row["dataset"])]: int(str(row["train_interval_32"])) for row in table("dataset_statistics")
    }
    is_specialist = name.startswith(SPECIALIST)
    return Mixture(
        name=name,
        datasets=tuple(members),
        draws_per_epoch=SPECIALIST_DRAWS_PER_EPOCH if is_specialist else DRAWS_PER_EPOCH[name],
        step={
            member: steps[member]
            for member in members
            if steps[member] > 1 and (not is_specialist or member in _STEPPED_BY_SPECIALISTS)
        },
    )


def best_k(k: int) -> Mixture:
    """The released mixture of the k best datasets, k being 5, 10, 20 or 32.

    Raises:
        UsageError: another k.
    """
    sizes = {len(mixture(name).datasets): name for name in DRAWS_PER_EPOCH}
    if k not in sizes:
        raise UsageError(
            f"best_k: expected k among {', '.join(map(str, sizes))}, found {k}", fix="use top_k with a ranking"
        )
    return mixture(sizes[k])


def contributions(
    chosen: Mixture,
    num_instances: Mapping[str, int],
    strategy: Strategy = "balance",
    *,
    lengths: Mapping[str, int] | None = None,
) -> tuple[Contribution, ...]:
    """What an epoch shows of each dataset, given the instances of each before its frame step.

    lengths: for `weighted`, the draws of each dataset.

    Raises:
        UsageError: `weighted` without a positive length for each dataset of the mixture and no other, or lengths for
            another strategy.
    """
    if (lengths is None) == (strategy == "weighted"):
        raise UsageError(f"{chosen.name}: lengths of datasets are for weighted, which needs them; found {strategy}")
    if lengths is not None and (set(lengths) != set(chosen.datasets) or min(lengths.values()) < 1):
        wrong = sorted(set(lengths) ^ set(chosen.datasets)) or [name for name in lengths if lengths[name] < 1]
        raise UsageError(
            f"weighted: expected 1 or more draws for each of the {len(chosen.datasets)} datasets of {chosen.name}, "
            f"found otherwise for {', '.join(wrong)}",
            datasets=wrong,
        )
    found = []
    for dataset in chosen.datasets:
        num, step = num_instances.get(dataset), chosen.step.get(dataset, 1)
        after = None if num is None else num // step
        share = after if strategy == "concat" else chosen.share if lengths is None else lengths[dataset]
        found.append(Contribution(dataset=dataset, num_instances=num, step=step, num_after_step=after, share=share))
    return tuple(found)
