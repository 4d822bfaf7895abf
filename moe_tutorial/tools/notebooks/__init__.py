"""Lessons as notebooks: running, storing, counting and comparing them."""
