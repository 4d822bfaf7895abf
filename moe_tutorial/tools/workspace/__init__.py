"""A learner's folder of the course: lessons with stubs instead of solutions, updated without loss of work."""
