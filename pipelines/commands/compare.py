"""`ehps compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pipelines.tables import Json

if TYPE_CHECKING:
    from pipelines.sheets import Tile

PANEL_PX = 480


def compare(
    store: Path,
    /,
    *keys: str,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    against: Path | None = None,
    body_models: str | None = None,
    as_json: Json = False,
) -> None:
    """Put samples side by side, and say in which attributes they differ.

    With --against, each key is looked up in another store too (the same person, perhaps from another annotation form):
    both meshes are drawn on one picture, the first store's orange and the second's blue, and the distances of their
    joints are printed in mm.

        ehps compare STORE KEY KEY KEY -o three.png
        ehps compare STORE KEY --against OTHER_STORE -o forms.png

    Parameters
    ----------
    store
        Folder of the store.
    keys
        Keys of samples: at least two, or at least one with --against.
    out
        PNG file to write.
    against
        Folder of another store that holds the same people.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a shard that was made with it, else
        $EHPS_BODY_MODELS.
    """
    from harmonize.errors import UsageError
    from pipelines.sheets import contact_sheet, save_png
    from pipelines.tables import show, show_json

    if len(keys) < (2 if against is None else 1):
        raise UsageError(
            f"compare: expected at least {'two keys' if against is None else 'one key'}, found {len(keys)}",
            fix="ehps compare STORE KEY KEY -o PNG, or ehps compare STORE KEY --against STORE2 -o PNG",
        )
    if against is None:
        tiles, differences = _side_by_side(store, keys, body_models)
        document: dict[str, Any] = {"differences": differences}
        save_png(contact_sheet(tiles, len(tiles), PANEL_PX), out)
    else:
        tiles, distances, differences = _over_each_other(store, against, keys, body_models)
        document = {"distances": distances, "differences": differences}
        save_png(contact_sheet(tiles, 3, PANEL_PX), out)
        if not as_json:
            show(distances, as_json=False, title="joints, mean distance in mm")
            print()
    if as_json:
        show_json({**document, "picture": out})
    else:
        show(differences, as_json=False, title="attributes that differ")
        print(out)


def _side_by_side(
    store: Path, keys: tuple[str, ...], body_models: str | None
) -> tuple[list[Tile], list[dict[str, Any]]]:
    from catalogs import store as catalog
    from harmonize.shards.read import open_store
    from pipelines.choosing import check_key, facts_of
    from pipelines.comparing import differing
    from pipelines.pictures import models_of, stored_picture, with_mesh
    from pipelines.sheets import Tile

    opened, tiles = open_store(store), []
    with catalog.open(store) as con:
        for key in keys:
            check_key(con, key)
        facts = facts_of(con, keys)
    for key in keys:
        sample = opened.sample(key)
        models = models_of(opened, sample, body_models)
        tiles.append(Tile(picture=with_mesh(stored_picture(sample), sample.instance, models), lines=(key,)))
    return tiles, differing({key: facts[key] for key in keys})


def _over_each_other(
    store: Path, against: Path, keys: tuple[str, ...], body_models: str | None
) -> tuple[list[Tile], list[dict[str, Any]], list[dict[str, Any]]]:
    from dataclasses import asdict

    from catalogs import store as catalog
    from harmonize.shards.read import open_store
    from pipelines.choosing import check_key, facts_of
    from pipelines.comparing import FIRST, SECOND, both_meshes, counterpart, differing, in_picture_of, joint_distances
    from pipelines.pictures import models_of, stored_picture, with_mesh
    from pipelines.sheets import Tile

    opened, other_opened = open_store(store), open_store(against)
    tiles, distances, differences = [], [], []
    with catalog.open(store) as con, catalog.open(against) as other_con:
        for key in keys:
            check_key(con, key)
            sample = opened.sample(key)
            one = sample.instance
            models = models_of(opened, sample, body_models)
            other_sample = other_opened.sample(counterpart(other_con, one))
            models_of(other_opened, other_sample, body_models)
            other = other_sample.instance
            apart = joint_distances(one, other, models)
            distances.append(asdict(apart))
            picture, moved = stored_picture(sample), in_picture_of(other, one)
            tiles += [
                Tile(picture=with_mesh(picture, one, models, FIRST), lines=(key, str(store))),
                Tile(picture=with_mesh(picture, moved, models, SECOND), lines=(other.key, str(against))),
                Tile(
                    picture=both_meshes(picture, one, other, models),
                    lines=(
                        f"{apart.body_root_aligned_mm:.1f} mm apart, pelvis on pelvis",
                        "orange: first, blue: second",
                    ),
                ),
            ]
            facts = {"first": facts_of(con, [key])[key], "second": facts_of(other_con, [other.key])[other.key]}
            differences += [{"key": key, **row} for row in differing(facts)]
    return tiles, distances, differences
