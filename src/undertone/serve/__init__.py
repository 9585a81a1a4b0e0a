"""Requests over HTTP in, verdicts out: `undertone serve`.

`gate.py` lets a request in, `app.py` answers it, `batching.py` judges its texts together with those of other requests.
"""
