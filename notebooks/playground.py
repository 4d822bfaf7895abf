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
# A mixture of experts that trains in this page: no kernel, no network. Press play, and pull at any slider while it runs.
# *Tree* puts a fast feedforward tree in its place.

# %% tags=["draw", "nbval-ignore-output"]
from moe_tutorial.show import playground

playground(preset="rules", link=True)

# %% [markdown]
# ## How to read it
#
# Colour means expert, shape means class, everything else is grey. The large map shows whom the router picks where; the
# small ones show what each expert would say everywhere, in colour only where it is asked. The bars count the points
# without noise, the bands what happened in training, noise included. Click on a point, or use its slider, to see who is
# asked, with what weight, and what the router hears of it. *Pull* is the direction in which this point alone would move
# each logit. An expert can be knocked out.
#
# Of a tree, the map shows the leaves that the points end in, and the questions that lead there as lines: A first, then B or
# C, and so on. Below it the points stream down the tree, and each leaf's opinion stands under its leaf. Two grey pictures
# stand side by side, since a tree answers in two ways: *hard* with one leaf for each point, and *soft* with all of them
# mixed, as it was trained.
#
# On the website, the page's address holds the experiment: copy it, and whoever opens it sees the same numbers.
#
# ## Six experiments
#
# - [Four rules, four experts](playground.ipynb#preset=rules): who takes which quarter? Lessons
#   [03](03_router.ipynb) and [04](04_training.ipynb).
# - [The gate that cannot learn](playground.ipynb#preset=deaf): top-k before softmax, one expert picked. Lesson
#   [04](04_training.ipynb).
# - [Kill seven experts](playground.ipynb#preset=kill): noise does not save them. Lesson [06](06_noise.ipynb).
# - [Bring the dead back](playground.ipynb#preset=revive): collapse, and a penalty that wakes them. Lesson
#   [05](05_collapse.ipynb).
# - [Too much penalty](playground.ipynb#preset=penalty): the router serves the penalty. Lesson [07](07_balance.ipynb).
# - [Balanced by a hash](playground.ipynb#preset=hash): even use, and nobody specialises. Lesson [07](07_balance.ipynb).
#
# ## Three with a tree
#
# All for lesson [10](10_fff_trees.ipynb).
#
# - [A tree of eight leaves](playground.ipynb#preset=leaves): seven questions, and every leaf at work.
# - [Soft is not hard](playground.ipynb#preset=mixed): nearly all right with all leaves, far fewer with one.
# - [All into one leaf](playground.ipynb#preset=one): the tree collapses, and balance comes too late.
#
# ## Your own layer, your own points
#
# In JupyterLab, `playground(layer)` trains your own torch layer in the kernel, with the same pictures,
# `playground("tree")` begins with a tree, and `playground(data=data)` takes your own points in the plane. `widget.state`
# is the experiment as a dict, and `playground(**widget.state)` opens it again.
