"""`ehps plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pipelines.tables import Json

MIN_WIDTH_MM, MAX_WIDTH_MM = 40.0, 600.0
MIN_DPI, MAX_DPI = 50, 1200


def plot(
    store: Path | None = None,
    panel: str | None = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    format: Literal["png", "svg", "pdf"] | None = None,
    datasets: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    width_mm: float | None = None,
    dpi: int = 300,
    as_json: Json = False,
) -> None:
    """Draw what is in a store for a paper: the panels of SMPLer-X's figure 2, or any attribute by dataset.

    Without a store or a panel, the panels are listed. An attribute family (`camera`) gives one column an attribute and
    one row a dataset; one attribute (`camera.vertical_fov_deg`) a panel a dataset against all others. Fonts have 6 to
    7.5 pt at the figure's width; colours and markers of a dataset are the same in every figure and can be told apart by
    colour-blind people. The same store gives the same bytes.

        ehps plot STORE overview -o figure2.pdf
        ehps plot STORE all -o figures/ --format svg
        ehps plot STORE camera.vertical_fov_deg --datasets agora bedlam -o fov.png --width-mm 85

    Parameters
    ----------
    store
        Folder of the store; `ehps describe` must have computed what is drawn.
    panel
        Name of a panel, an attribute family, or FAMILY.COLUMN; `all`: every panel and every family that the store has
        values of.
    out
        File, whose name ends with .png, .svg or .pdf; or a folder, into which PANEL.FORMAT is written.
    format
        Of files in a folder. Default: png.
    datasets
        Only these datasets. Default: all of the store.
    width_mm
        Width of the figure in print, in mm, 40 to 600. Default: 178, two columns of a paper; 120 for a single map.
    dpi
        Pixels an inch of PNG files, 50 to 1200; vector files use it for maps of more than 4,000 points.
    """
    from harmonize.errors import UsageError

    if store is None or panel is None:
        _list(as_json=as_json)
        return
    if out is None:
        raise UsageError("plot: -o is missing: which file or folder?", fix=f"ehps plot {store} {panel} -o {panel}.png")
    if width_mm is not None and not MIN_WIDTH_MM <= width_mm <= MAX_WIDTH_MM:
        raise UsageError(f"--width-mm: expected {MIN_WIDTH_MM:g} to {MAX_WIDTH_MM:g}, found {width_mm:g}")
    if not MIN_DPI <= dpi <= MAX_DPI:
        raise UsageError(f"--dpi: expected {MIN_DPI} to {MAX_DPI}, found {dpi}")
    rows = _draw(store, panel, out, format, datasets, width_mm, dpi)
    if as_json or panel == "all":
        from pipelines.tables import show

        show(rows, as_json=as_json)
    else:
        print(rows[0]["file"])


def _list(*, as_json: bool) -> None:
    from catalogs.atlas.figures import PANELS
    from catalogs.attributes import FAMILIES
    from pipelines.tables import show

    rows = [{"panel": name, "shows": text} for name, (text, _) in PANELS.items()]
    rows += [{"panel": name, "shows": f"attributes, a row a dataset: {one.doc}"} for name, one in FAMILIES.items()]
    show(rows, as_json=as_json)


def _draw(
    store: Path,
    panel: str,
    out: Path,
    format: str | None,
    datasets: list[str] | None,
    width_mm: float | None,
    dpi: int,
) -> list[dict[str, str]]:
    from catalogs import store as catalog
    from catalogs.atlas.answers import Source
    from catalogs.atlas.figures import default_width_mm, every_figure, figure_of
    from catalogs.atlas.style import FORMATS, Size, save, styled
    from harmonize.errors import UsageError
    from pipelines.progress import Meter

    is_file = out.suffix.removeprefix(".").lower() in FORMATS and not out.is_dir()
    if panel == "all" and is_file:
        raise UsageError(f"{out}: expected a folder for all panels, found the name of a file", fix="-o FOLDER")
    if is_file and format is not None and format != out.suffix.removeprefix(".").lower():
        raise UsageError(f"{out}: its name says another format than --format {format}", fix="leave one of them away")
    names = every_figure() if panel == "all" else [panel]
    rows = []
    with catalog.open(store) as con, styled(), Meter("plot", len(names), "figures") as meter:
        source = Source.of(con, datasets)
        for name in names:
            path = out if is_file else out / f"{name}.{format or 'png'}"
            size = Size(width_mm=width_mm or default_width_mm(name), dpi=dpi)
            try:
                rows.append({"panel": name, "file": str(save(figure_of(name, source, size), path)), "missing": ""})
            except UsageError as error:
                if panel != "all":
                    raise
                rows.append({"panel": name, "file": "", "missing": str(error)})
            meter.add(1)
    if not any(row["file"] for row in rows):
        raise UsageError(f"{store}: there is nothing to draw yet", fix=f"ehps describe {store}")
    return rows
