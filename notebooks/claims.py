# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What this course proves
#
# Nothing is claimed here that a lesson does not measure.
#
# In a row, ● is what was measured, with the 95 % interval of its mean over random seeds. ○ is its **control**, the same
# measurement with the mechanism taken away: there the claim must not hold. Open a row for the rest. Some figures, such as
# times, are the machine's. Where such a claim does not hold, it says "not on this machine", and its lesson goes on.

# %% tags=["nbval-ignore-output", "all-claims"]
from moe_tutorial.show import show_claims

show_claims()  # Shift + Enter, and here stands what the lessons beside this page have printed
