"""The checks of the exercises, one module per lesson, written with the helpers in ``course/vocabulary``."""
