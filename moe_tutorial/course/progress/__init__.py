"""A learner's answers: the file that stores them, the widgets that do, the score, and ``my_moe.py``."""
