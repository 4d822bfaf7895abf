"""The checks of lessons 10 to 14."""
