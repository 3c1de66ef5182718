"""People of a task: read, sub-sampled, converted, gated, their pictures cut; each comes out as exactly one thing.

Conversion runs in batches of one fixed size in reading order, so that batched arithmetic sees the same rows whenever
and wherever a task runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from harmonize.annotation import Annotation, Reject
from harmonize.bodies import BodyModels
from harmonize.convert import Converted, convert
from harmonize.errors import RawFileError
from harmonize.gate import check, check_stored
from harmonize.geometry import to_crop
from harmonize.layout import encode
from harmonize.readers.base import Reader, Unit, make_key
from harmonize.record import Instance, Provenance
from harmonize.shards.images import StoredPicture, store_picture
from harmonize.shards.index import StagedReject
from harmonize.shards.pictures import Pictures, SourcePicture, UnusablePictureError
from harmonize.shards.plan import IngestOptions
from harmonize.shards.spool import Sample
from harmonize.shards.summary import MISSING

BATCH = 256


@dataclass(frozen=True, slots=True)
class Skipped:
    """A person left out by sub-sampling."""

    key: str


def read_units(
    reader: Reader, split: str, units: Iterable[Unit], every: int
) -> Iterator[Annotation | Reject | Skipped]:
    """The people of the units; of each unit only those in every n-th picture, whoever else is in it."""
    for unit in units:
        pictures: dict[tuple[str, str], int] = {}
        for item in reader.read(split, unit):
            source = item.provenance
            if every > 1 and pictures.setdefault((source.sequence, source.frame), len(pictures)) % every:
                yield Skipped(make_key(source))
            else:
                yield item


def first_people(items: Iterable[Annotation | Reject | Skipped], limit: int) -> Iterator[Annotation | Reject | Skipped]:
    """The first `limit` people that sub-sampling leaves, and who is skipped between them; all where the limit is 0."""
    count = 0
    for item in items:
        if limit and count == limit:
            return
        count += not isinstance(item, Skipped)
        yield item


def make_people(
    items: Iterable[Annotation | Reject | Skipped], models: BodyModels, pictures: Pictures, options: IngestOptions
) -> Iterator[list[Sample | StagedReject | Skipped]]:
    """What becomes of each item, in portions; every item comes out once, in whatever order.

    Raises:
        MissingBodyModelError, RawFileError: the task cannot go on.
    """
    batch: list[Annotation] = []
    done: list[Sample | StagedReject | Skipped] = []
    for item in items:
        if isinstance(item, Annotation):
            batch.append(item)
        else:
            done.append(StagedReject(stage="dataset", reject=item) if isinstance(item, Reject) else item)
        if len(batch) == BATCH or len(done) == BATCH:
            if len(batch) == BATCH:
                done += _convert_batch(batch, models, pictures, options)
                batch = []
            yield done
            done = []
    yield [*done, *_convert_batch(batch, models, pictures, options)]


def _convert_batch(
    batch: list[Annotation], models: BodyModels, pictures: Pictures, options: IngestOptions
) -> Iterator[Sample | StagedReject]:
    ready: list[Annotation] = []
    for annotation in batch:
        sized = annotation if annotation.image_size_px else _with_size(annotation, pictures, options)
        if isinstance(sized, Annotation):
            ready.append(sized)
        else:
            yield sized
    for annotation, result in zip(ready, convert(ready, models, options.body_mode), strict=True):
        if isinstance(result, Reject):
            yield StagedReject(stage="convert", reject=result)
        elif (reject := check(result, options.limits)) is not None:
            yield StagedReject(stage="gate", reject=reject)
        else:
            yield _finish(annotation, result, pictures, options)


def _with_size(annotation: Annotation, pictures: Pictures, options: IngestOptions) -> Annotation | StagedReject:
    """The annotation with its picture's size and hash, which then count among what the result depends on.

    Where annotations alone are wanted, a picture that is not at hand leaves the size open.
    """
    try:
        picture = pictures.get(annotation.image)
    except UnusablePictureError as error:
        if options.images == "none" and error.reason == MISSING:
            return annotation
        return _refused(annotation.provenance, annotation, error.reason, error.detail, error.numbers)
    provenance = _seen(annotation.provenance, annotation, picture)
    try:
        header = picture.header(annotation.image.name)
    except RawFileError as error:
        return _refused(provenance, annotation, "image-damaged", str(error))
    orientation = annotation.image.orientation or header.exif_orientation
    return replace(annotation, provenance=provenance, image_size_px=header.oriented_size_px(orientation))


def _finish(
    annotation: Annotation, converted: Converted, pictures: Pictures, options: IngestOptions
) -> Sample | StagedReject:
    """Store the picture, move the instance into it, and check what will be stored as `verify` will."""
    instance = converted.instance
    if options.images == "none":
        return _sample(instance, converted, None, options)
    try:
        picture = pictures.get(annotation.image)
    except UnusablePictureError as error:
        return _refused(instance.provenance, annotation, error.reason, error.detail, error.numbers)
    provenance = _seen(instance.provenance, annotation, picture)
    try:
        stored = store_picture(
            picture.data,
            box_xywh_px=instance.boxes.person_xywh_px,
            orientation=annotation.image.orientation or picture.orientation,
            mode=options.images,
            context=options.context,
            name=annotation.image.name,
        )
    except RawFileError as error:
        return _refused(provenance, annotation, "image-damaged", str(error))
    stated = (instance.image.source_width_px, instance.image.source_height_px)
    if stated != stored.source_size_px:
        return _other_size(provenance, stated, stored.source_size_px)
    instance = to_crop(instance, stored.window)
    image = replace(instance.image, has_pixels=True, orientation=stored.orientation)
    return _sample(replace(instance, image=image, provenance=provenance), converted, stored, options)


def _sample(
    instance: Instance, converted: Converted, stored: StoredPicture | None, options: IngestOptions
) -> Sample | StagedReject:
    # Without a picture it is the instance that has just passed the gate, which holds all these checks and more.
    violations = () if stored is None else check_stored(instance, options.limits)
    if violations:
        return StagedReject(stage="gate", reject=violations[0].as_reject(instance.provenance))
    vector, strings = encode(instance)
    return Sample(
        key=instance.key,
        vector=vector,
        strings=strings,
        evidence=converted.evidence,
        picture=stored.data if stored else b"",
        picture_extension=stored.extension if stored else "",
        picture_method=stored.method if stored else "",
        picture_detail=stored.detail if stored else "",
    )


def _seen(provenance: Provenance, annotation: Annotation, picture: SourcePicture) -> Provenance:
    return replace(provenance, image_path=annotation.image.name, image_sha256=picture.sha256)


def _refused(
    provenance: Provenance, annotation: Annotation, reason: str, detail: str, numbers: Mapping[str, float] | None = None
) -> StagedReject:
    provenance = replace(provenance, image_path=annotation.image.name)
    reject = Reject(reason=reason, provenance=provenance, detail=detail, numbers=numbers or {})
    return StagedReject(stage="image", reject=reject)


def _other_size(provenance: Provenance, stated: tuple[int, int], found: tuple[int, int]) -> StagedReject:
    """Annotations of another resolution, or of another picture, would silently miss the person."""
    numbers = {"stated_width_px": stated[0], "stated_height_px": stated[1]}
    numbers |= {"width_px": found[0], "height_px": found[1]}
    detail = "the picture does not have the size that its annotation states"
    reject = Reject(reason="image-size", provenance=provenance, detail=detail, numbers=numbers)
    return StagedReject(stage="image", reject=reject)
