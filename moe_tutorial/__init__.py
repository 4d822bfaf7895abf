"""Mixture of Experts, taught by measuring: the helper package behind the notebooks.

Four floors, each built only on those below: ``layers`` (what is taught), ``study`` (how it is measured),
``show`` (how it is seen), ``course`` (how it is taught).
"""
