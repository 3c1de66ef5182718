"""Image features by any timm network, with weights from a file; torch is imported when a network is opened.

from catalogs.attributes.features import family
family()                                                          EfficientNet-Lite0 from its Python package
family("vit_base_patch16_224", Path("vitpose_base.pth"))          a published checkpoint
"""

from __future__ import annotations

from catalogs.attributes.features.backbones import DEFAULT
from catalogs.attributes.features.family import PREFIX, embed, family, one_backbone

__all__ = ["DEFAULT", "PREFIX", "embed", "family", "one_backbone"]
