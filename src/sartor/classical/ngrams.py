"""Texts as weighted n-grams: (1 + log tf) idf, rows of unit length (Salton and Buckley 1988).

Legend: N rows, V terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CJK = r"\u3040-\u30ff\u3400-\u9fff"
WORD = rf"[{CJK}]|[^\W{CJK}]+|[^\w\s]"
"""A word, a punctuation mark, or one character of a script that is written without spaces."""
FEW = 1000
"""With fewer texts than this, terms that occur once are kept too."""

Matrix = Any  # scipy.sparse


@dataclass(frozen=True)
class NGrams:
    """One kind of n-gram of one text column: its terms, and how much each says: idf (V,)."""

    column: str
    analyzer: str
    terms: list[str]
    idf: NDArray[np.float32]

    def transform(self, texts: Sequence[str]) -> Matrix:
        """(N, V) rows of length 1, or 0 where no term occurs."""
        vectorizer = _vectorizer(self.analyzer, vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        return vectorizer.transform(_clean(texts))


def learn(texts: Mapping[str, Sequence[str]], most: int) -> Iterator[NGrams]:
    """Words' 1-2-grams and letters' 3-5-grams of every column, at most `most` of each; empty texts have none."""
    for column, values in texts.items():
        for analyzer in ("word", "char_wb"):
            found = _vectorizer(analyzer, min_df=2 if len(values) >= FEW else 1, max_features=most)
            try:
                found.fit(_clean(values))
            except ValueError:  # scikit-learn's "empty vocabulary"
                continue
            yield NGrams(column, analyzer, found.get_feature_names_out().tolist(), found.idf_)


def matrix(families: Sequence[NGrams], texts: Mapping[str, Sequence[str]]) -> Matrix:
    """(N, V) every family's terms side by side; one column of zeros where there are none."""
    from scipy import sparse

    count = len(next(iter(texts.values())))
    blocks = [family.transform(texts[family.column]) for family in families]
    return sparse.hstack(blocks, format="csr") if blocks else sparse.csr_matrix((count, 1), dtype=np.float32)


def _vectorizer(analyzer: str, vocabulary: Any = None, min_df: int = 1, max_features: int | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=(1, 2) if analyzer == "word" else (3, 5),
        token_pattern=WORD if analyzer == "word" else None,
        sublinear_tf=True,
        vocabulary=vocabulary,
        min_df=min_df,
        max_features=max_features,
        dtype=np.float32,
    )


def _clean(texts: Sequence[str]) -> list[str]:
    """Without lone surrogates, which no file could hold."""
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
