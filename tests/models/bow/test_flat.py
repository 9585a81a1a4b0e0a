"""A flat file scores as its model does, read in Python and in C as its description says."""

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.flat import write_flat
from plaudit.models.bow.settings import BowSettings
from plaudit.text.cleaning import CleaningSettings
from tests.models.bow.flat_reader import read_flat

SETTINGS = BowSettings(min_count=1, slot_bits=16)
TEXTS = ["a dull film", "a plain <br />film, was it?", "the lovely film's 10/10", "Ärger & 日本 \U00020000 the"]
LABELS = ("bad", "mittelmäßig", "good", "")
ODD_TEXTS = [
    "",
    " ",
    "A LOVELY film! " * 2_000,
    "ärger 日本 \ud83d",
    "<b>dull</b> <",
    "&amp;&;film",
    "film\u0301 \U00020000",
]


def fit(num_labels, **changes):
    settings = SETTINGS.model_copy(update=changes)
    label_ids = np.arange(40) % num_labels
    texts = [TEXTS[i] for i in label_ids]
    return fit_bow(settings, texts, label_ids, LABELS[:num_labels], console=Console(quiet=True))


@pytest.mark.parametrize("storage", ["fp16", "int8"])
@pytest.mark.parametrize("num_labels", [2, 4])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_order": 1, "slot_bits": 17},
        {"norm": "none"},
        {"cleaning": CleaningSettings(stop_words=("the", "it's"), lowercase=False, strip_html=False)},
    ],
    ids=["defaults", "words only", "not normalized", "other cleaning"],
)
def test_a_flat_file_gives_the_logits_of_its_model(tmp_path, num_labels, storage, changes):
    model = fit(num_labels, storage=storage, **changes)
    model._characters_left = 0  # by the kernel
    write_flat(model, tmp_path / "model.flat")
    labels, logits = read_flat(tmp_path / "model.flat")
    assert labels == model.labels
    texts = TEXTS + ODD_TEXTS
    assert np.array_equal(logits(texts), model.logits(texts))


@pytest.fixture(scope="module")
def flat_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("flat") / "model.flat"
    write_flat(fit(2), path)
    return path


def test_the_same_model_gives_the_same_bytes(flat_file, tmp_path):
    write_flat(fit(2), tmp_path / "again.flat")
    assert (tmp_path / "again.flat").read_bytes() == flat_file.read_bytes()


# For ASCII texts without markup, one a line, and models without stop words; prints each text's scores.
C_READER = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float half(uint16_t bits) {
    uint32_t wide = (uint32_t)(bits & 0x8000) << 16 | (uint32_t)(bits & 0x7fff) << 13;
    float value;
    memcpy(&value, &wide, 4);
    return value * 0x1p112f;
}

int main(int argc, char **argv) {
    FILE *file = fopen(argv[1], "rb");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *base = malloc(size);
    if (fread(base, 1, size, file) != (size_t)size || memcmp(base, "PLFLAT\r\n", 8)) return 1;
    uint32_t *numbers = (uint32_t *)(base + 8);
    uint64_t *places = (uint64_t *)(base + 40);
    uint32_t max_order = numbers[1], bits = numbers[2], problems = numbers[4], flags = numbers[5];
    uint16_t *page_numbers = (uint16_t *)(base + places[1]);
    uint32_t *pages = (uint32_t *)(base + places[2]);
    float *scale = (float *)(base + places[4]), *bias = (float *)(base + places[5]);
    uint32_t *table = (uint32_t *)(base + places[6]);
    const uint64_t M = 0x9E3779B97F4A7C15u, G = 0xD6E8FEB86659FD93u;
    static char line[1 << 16];
    static uint64_t tokens[1 << 16];
    uint8_t *seen = malloc((size_t)1 << bits);
    while (fgets(line, sizeof line, stdin)) {
        size_t count = 0;
        uint64_t hash = 0;
        int inside = 0;
        for (char *at = line;; at++) {
            uint32_t c = (uint8_t)*at;
            uint32_t e = pages[page_numbers[c >> 8] * 256 + (c & 255)];
            if (c && e > 1) {
                hash = (hash ^ (c + e - 0x200000)) * M;
                inside = 1;
                continue;
            }
            if (inside) tokens[count++] = hash ^ hash >> 32;
            hash = inside = 0;
            if (!c) break;
            if (e == 1) tokens[count++] = c * M ^ c * M >> 32;
        }
        for (uint32_t k = 0; k < problems; k++) {
            double sum = 0, known = 0;
            memset(seen, 0, (size_t)1 << bits);
            for (size_t first = 0; first < count; first++) {
                uint64_t g = 0;
                for (size_t t = first; t < count && t < first + max_order; t++) {
                    g = (g + tokens[t]) * G;
                    g ^= g >> 29;
                    uint32_t key = g >> 32, slot = key >> (32 - bits), entry = table[((size_t)k << bits) + slot];
                    if (!entry || (entry ^ key) << bits || seen[slot]) continue;
                    seen[slot] = 1;
                    known++;
                    sum += half(entry >> 16);
                }
            }
            if (flags & 2 && known) sum /= sqrt(known);
            printf("%.9g ", scale[k] * sum + bias[k]);
        }
        printf("\n");
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def c_reader(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("c")
    (folder / "read.c").write_text(C_READER)
    subprocess.run([compiler, "-O1", "-Wall", "-Werror", "read.c", "-o", "read", "-lm"], cwd=folder, check=True)
    return folder / "read"


@pytest.mark.parametrize(("num_labels", "changes"), [(2, {}), (2, {"norm": "none"}), (4, {"storage": "int8"})])
def test_a_reader_in_c_gives_the_same_scores(tmp_path, c_reader, num_labels, changes):
    model = fit(num_labels, **changes)
    words = st.sampled_from(["dull", "Lovely", "plain", "film", "the", "a", "10", "/", "!", ",", "'s", "unheard"])
    path = tmp_path / "model.flat"
    write_flat(model, path)

    @given(st.lists(st.lists(words).map(" ".join), min_size=1, max_size=20))
    def check(texts):
        lines = "".join(f"{text}\n" for text in texts)
        out = subprocess.run([c_reader, path], input=lines, capture_output=True, text=True, check=True).stdout
        scores = np.array([line.split() for line in out.splitlines()], float)
        expected = model._kernel_scores(texts) * model.scale + model.bias
        np.testing.assert_allclose(scores, expected, atol=1e-5)

    check()
