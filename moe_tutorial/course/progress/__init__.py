"""A learner's answers: the file that stores them, the widgets that do, and the score."""
