"""WordPiece tokens of a local vocabulary, lower-cased, as DistilBERT was trained with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from iassf_jax.core.errors import CheckpointError, MissingDependencyError

UNKNOWN, PADDING, FIRST, LAST = "[UNK]", "[PAD]", "[CLS]", "[SEP]"
SPECIAL = (PADDING, UNKNOWN, FIRST, LAST)


def read_vocabulary(path: str | Path) -> dict[str, int]:
    """Read a vocab.txt: one piece a line, its number is the line's.

    Raises:
      CheckpointError: the file is missing or lacks one of the special pieces.
    """
    try:
        pieces = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CheckpointError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    missing = [piece for piece in SPECIAL if piece not in vocabulary]
    if missing:
        raise CheckpointError(f"{path} is no WordPiece vocabulary: it lacks {', '.join(missing)}")
    return vocabulary


class Tokenizer:
    """Sentences to token numbers, [CLS] first and [SEP] last.

    Accents are dropped, punctuation stands alone, every word is cut into the longest pieces of the vocabulary
    ("##" marks the later ones), and a word that cannot be is [UNK].
    """

    def __init__(self, vocabulary: Mapping[str, int], *, max_length: int = 64):
        """Take a vocabulary and the number of tokens after which a sentence is cut.

        Raises:
          MissingDependencyError: the package `tokenizers` is not installed.
        """
        self.max_length = max_length
        self._padding = vocabulary[PADDING]
        self._tokenizer = _build(dict(vocabulary), max_length)

    def __call__(self, sentences: Sequence[str]) -> tuple[Int32[np.ndarray, "n l"], Bool[np.ndarray, "n l"]]:
        """Return (numbers, which are tokens and not padding), as long as the longest sentence."""
        rows = [encoded.ids for encoded in self._tokenizer.encode_batch(list(sentences))]
        shape = (len(rows), max(len(row) for row in rows))
        ids, mask = np.full(shape, self._padding, np.int32), np.zeros(shape, bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = True
        return ids, mask


def _build(vocabulary: dict[str, int], max_length: int) -> Any:
    try:
        import tokenizers
        from tokenizers import models, normalizers, pre_tokenizers, processors
    except ImportError as error:
        raise MissingDependencyError(
            "reading prompts with a language model needs the package tokenizers: "
            "pip install 'iassf_jax[text]'"
        ) from error
    pieces = models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=100)
    tokenizer = tokenizers.Tokenizer(pieces)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing((LAST, vocabulary[LAST]), (FIRST, vocabulary[FIRST]))
    tokenizer.enable_truncation(max_length)
    return tokenizer
