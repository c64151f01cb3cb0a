"""Measurements of Hako beside its peers; `python -m bench` runs them."""
