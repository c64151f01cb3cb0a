"""Pipeline files:

text → document with positions → diagnostics → compiled stages. Pure: no files, no clock, no environment.
"""
