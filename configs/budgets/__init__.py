"""Budgets of `iassf reproduce`: `get_config()` is what runs start from, `get_budget()` how many there are.

seeds       of every row
scenes      of the test set that are measured, the first ones; None is all
batch       test images that a device is given at a time
population  most runs that are trained together in one program
"""
