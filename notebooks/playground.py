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
# # The playground
#
# A router and a few small networks learn to sort points: press *Play*, or take the tour.

# %% tags=["draw", "nbval-ignore-output"]
from moe_tutorial.show import playground

playground(preset="rules", link=True)

# %% [markdown]
# ## How to read it
#
# A mixture of experts trains in this page: no kernel, no network. Pull at any slider, also while it runs. *Tree* puts a
# fast feedforward tree in its place.
#
# Colour means expert, shape means class, everything else is grey. The large map shows whom the router picks where; the
# small ones show what each expert would say everywhere, in colour only where it is asked first. The bars count the points
# without noise, the bands what happened in training, noise included. Tap a point to see who is asked, with what weight,
# and what the router hears of it. The question mark beside a picture says what it shows.
#
# Of a tree, the map shows the leaves that the points end in, and the questions that lead there as lines: A first, then B or
# C, and so on. Below it the points stream down the tree, and each leaf's opinion stands under its leaf. Two grey pictures
# stand side by side, since a tree answers in two ways: *hard* with one leaf for each point, and *soft* with all of them
# mixed, as it was trained.
#
# The link below the pictures holds the whole run: how it began, and what you changed at which step. Whoever opens it sees
# the same numbers, and can go back to any step. *Copy as PyTorch* makes a script of it that trains the same mixture.
#
# ## Seven experiments
#
# - [Four rules, four experts](playground.ipynb#preset=rules): who takes which quarter? Lessons
#   [03](03_router.ipynb) and [04](04_training.ipynb).
# - [Eight experts, four rules](playground.ipynb#preset=spare): how many find work? Lesson [05](05_collapse.ipynb).
# - [The gate that cannot learn](playground.ipynb#preset=deaf): top-k before softmax, one expert picked. Lesson
#   [04](04_training.ipynb).
# - [Strong noise](playground.ipynb#preset=kill): does noise save them? Lesson [06](06_noise.ipynb).
# - [Bring the dead back](playground.ipynb#preset=revive): collapse, and a penalty. Lesson [05](05_collapse.ipynb).
# - [Too much penalty](playground.ipynb#preset=penalty): whom does the router serve? Lesson [07](07_balance.ipynb).
# - [Balanced by a hash](playground.ipynb#preset=hash): even use, without a router. Lesson [07](07_balance.ipynb).
#
# ## Three challenges
#
# The score comes from the run, so your link is your result: whoever opens it sees it happen.
#
# - [Bring the seven back](playground.ipynb#preset=seven): all eight at work again, in as few steps as you can.
# - [Even, and right](playground.ipynb#preset=even): equal shares without losing accuracy, as early as you can.
# - [As few as you can](playground.ipynb#preset=few): 95 % of held-out points right, with as few experts as you can.

# %% tags=["draw", "nbval-ignore-output", "remove-output"]
# In JupyterLab: what you have won, here and in the lessons.
from moe_tutorial.course import score_card

score_card()

# %% [markdown]
# ## Three with a tree
#
# All for lesson [12](12_fff_trees.ipynb).
#
# - [A tree of eight leaves](playground.ipynb#preset=leaves): does every leaf find work?
# - [Soft is not hard](playground.ipynb#preset=mixed): all leaves answer well together. And one?
# - [All into one leaf](playground.ipynb#preset=one): where does everybody go?
#
# ## Your own layer, your own points
#
# In JupyterLab, `playground("tree")` begins with a tree, and `playground(data=data)` takes your own points in the plane.
# `widget.state` is the experiment as a dict, and `playground(**widget.state)` opens it again. A torch layer of your own is
# trained by `watch_layer(layer, data)`, which shows the film of it.
