"""The compiled loops of document vectors: they move a text's vector towards those of its n-grams.

A text's vector moves along the gradient of log σ(a · cos(text, n-gram)) for each of its n-grams and of
log σ(-a · cos) for negatives, n-grams drawn from all texts (Thongtan & Phienthrakul 2019, "Sentiment Classification
Using Document Embeddings Trained with Cosine Similarity"). The paper draws five negatives for each n-gram; here a group
of n-grams shares a group of negatives of the same size, which count fivefold. That reads a third of the memory.

Shapes: N texts, F n-grams, E embedding, G n-grams of all texts together.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# (numba infers the argument types of the compiled functions, so theirs are not annotated)

import numpy as np

from plaudit.compiled import compiled

_GROUP = 16
_NEGATIVES = np.float32(5)

_compiled = compiled(fastmath=True)


@_compiled
def _move(text, ngrams, pool, vectors, rate, sharpness, is_learning):
    """Move a text's vector, float32 [E], once along each of its n-grams in a random order; `ngrams` is shuffled.

    If `is_learning`, the n-grams' vectors move too.
    """
    size = len(text)
    gradient = np.empty(size, np.float32)
    unit = np.empty(size, np.float32)
    np.random.shuffle(ngrams)
    for start in range(0, len(ngrams), _GROUP):
        count = min(_GROUP, len(ngrams) - start)
        square = np.float32(0)
        for i in range(size):
            square += text[i] * text[i]
        shrink = np.float32(1) / np.sqrt(square)
        for i in range(size):
            unit[i] = text[i] * shrink
            gradient[i] = np.float32(0)
        along = np.float32(0)
        for j in range(2 * count):
            is_own = j < count
            which = ngrams[start + j] if is_own else pool[np.random.randint(0, len(pool))]
            vector = vectors[which]
            dot = np.float32(0)
            square = np.float32(0)
            for i in range(size):
                dot += unit[i] * vector[i]
                square += vector[i] * vector[i]
            inverse = np.float32(1) / np.sqrt(square)
            cosine = dot * inverse
            probability = np.float32(1) / (np.float32(1) + np.exp(-sharpness * cosine))
            error = np.float32(1) - probability if is_own else -_NEGATIVES * probability
            step = rate * sharpness * error
            along += step * cosine
            pull = step * inverse
            for i in range(size):
                gradient[i] += pull * vector[i]
            if is_learning:
                keep = np.float32(1) - pull * cosine * inverse
                for i in range(size):
                    vector[i] = keep * vector[i] + pull * unit[i]
        for i in range(size):
            text[i] += (gradient[i] - along * unit[i]) * shrink


@_compiled
def learn(texts, order, offsets, ngrams, pool, vectors, rate, sharpness, seed):
    """Move the vectors of texts `order` and of their n-grams once, in place.

    `texts` float32 [N, E], `vectors` float32 [F, E]; text i has the n-grams ngrams[offsets[i] : offsets[i + 1]],
    int32 [G]; negatives are drawn evenly from `pool`, int32.
    """
    np.random.seed(seed)
    for i in order:
        own = ngrams[offsets[i] : offsets[i + 1]].copy()
        _move(texts[i], own, pool, vectors, rate, sharpness, True)


@_compiled
def infer(offsets, ngrams, pool, vectors, rates, sharpness):
    """Return unit vectors of texts, float32 [N, E], moved once for each of `rates` while n-grams stay fixed.

    Each starts from the sum of its n-grams' unit vectors and draws the same random numbers, so it does not depend on
    the other texts.
    """
    num_texts, size = len(offsets) - 1, vectors.shape[1]
    texts = np.zeros((num_texts, size), np.float32)
    for t in range(num_texts):
        text = texts[t]
        own = ngrams[offsets[t] : offsets[t + 1]].copy()
        if len(own) == 0:
            continue
        for which in own:
            square = np.float32(0)
            for i in range(size):
                square += vectors[which, i] * vectors[which, i]
            inverse = np.float32(1) / np.sqrt(square)
            for i in range(size):
                text[i] += vectors[which, i] * inverse
        _normalize(text)
        np.random.seed(0)
        for rate in rates:
            _move(text, own, pool, vectors, rate, sharpness, False)
        _normalize(text)
    return texts


@_compiled
def _normalize(text):
    square = np.float32(1e-20)
    for i in range(len(text)):
        square += text[i] * text[i]
    inverse = np.float32(1) / np.sqrt(square)
    for i in range(len(text)):
        text[i] *= inverse
