"""The service to compare with: TF-IDF and logistic regression behind FastAPI, as one writes it in an afternoon.

    python bench/serve/plain.py PORT

It first trains on IMDB's train split, then prints `ready`. Route and answer are the same as ours, and a list of texts
is one call; it has no batches across requests, no limits, keys or metrics.
"""

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from plaudit.data.load import DataSettings, load_dataset


class Asked(BaseModel):
    """A text or many."""

    texts: str | list[str]


def main() -> None:
    table = load_dataset(DataSettings(name="imdb")).table
    train = table.filter(np.array(table["split"]) == "train")
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(C=4, max_iter=1000))
    pipeline.fit(train["text"].to_pylist(), train["label"].to_numpy())
    app = FastAPI()

    @app.post("/v1/predict")
    def predict(asked: Asked) -> dict:
        texts = [asked.texts] if isinstance(asked.texts, str) else asked.texts
        rows = pipeline.predict_proba(texts).tolist()
        return {"predictions": [{"negative": negative, "positive": positive} for negative, positive in rows]}

    config = uvicorn.Config(app, port=int(sys.argv[1]), log_level="warning")
    print("ready", flush=True)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
