"""Vectors of texts by a sentence-transformers model; needs the extra `text`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import UsageError

BATCH = 256
"""texts encoded at once"""


def sentence_vectors(texts: Sequence[str | None], model: str) -> NDArray[np.float32]:
    """(n, d) float32 unit vectors, d the model's dimension; zero for an empty text.

    `model` is a name or a directory, as SentenceTransformer takes it (Reimers, Gurevych 2019). Raises UsageError if the
    extra is not installed or the model cannot be loaded.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UsageError(f"text_model {model!r} needs the extra: pip install 'pymk[text]'") from error
    try:
        encoder = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise UsageError(f"text_model {model!r} cannot be loaded, name a model or its directory: {error}") from error
    known = [at for at, text in enumerate(texts) if text]
    wanted = [str(texts[at]) for at in known] or [""]
    encoded = encoder.encode(wanted, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
    vectors = np.zeros((len(texts), encoded.shape[1]), np.float32)
    vectors[known] = encoded[: len(known)]
    return vectors
