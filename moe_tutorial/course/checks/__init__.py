"""What each exercise asks of an answer, a module for each lesson; ``vocabulary`` has the words that they are made of."""
