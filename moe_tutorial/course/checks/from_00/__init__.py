"""The checks of lessons 00 to 09."""
