"""`plaudit serve`: predictions over HTTP.

`gate.py` admits a request, `app.py` answers it, `batching.py` scores its texts together with those of other requests.
"""
