"""Secrets: kept encrypted, given to the steps that may have them and to nobody else."""
