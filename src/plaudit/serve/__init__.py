"""Requests over HTTP in, verdicts out: `plaudit serve`.

`gate.py` lets a request in, `app.py` answers it, `batching.py` judges its texts together with those of other requests.
"""
