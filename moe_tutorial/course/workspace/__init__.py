"""A learner's own folder: lessons with stubs in place of solutions, made from the course and brought up to date with it."""
