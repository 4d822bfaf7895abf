"""What each exercise asks of an answer, a module for each lesson, in the words of ``vocabulary``."""
