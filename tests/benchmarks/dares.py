"""How often does the site's GPT go on rightly, and which experts does each dare of the front page need?

    python tests/benchmarks/dares.py

Of 700 beginnings of 48 characters in each held-out text, evenly spaced: in how many do the first 8 letters at
temperature 0 agree with the text? A letter is a character that is no blank. The model is that of ``_build``; without
one it is trained, which takes a minute.
"""

from pathlib import Path

import torch

from moe_tutorial.show.widgets.live_gpt import dequantised
from moe_tutorial.study import decode, texts
from moe_tutorial.tools.site.content.trained import LETTERS, letters, trained_gpt

BEGINNINGS, LENGTH, AHEAD = 700, 48, 16

if __name__ == "__main__":
    gpt, dares = trained_gpt(Path(__file__).parents[2])
    data = texts()
    for name, text in zip(data.names, data.test, strict=True):
        starts = torch.linspace(0, len(text) - LENGTH - AHEAD - 1, BEGINNINGS).long()
        parts = text[starts[:, None] + torch.arange(LENGTH + AHEAD)]
        written = dequantised(gpt).generate(parts[:, :LENGTH], AHEAD, temperature=0)
        same = (written == parts)[:, LENGTH:].int().cumprod(1).sum(1)
        right = [letters(decode(part[LENGTH : LENGTH + n])) >= LETTERS for part, n in zip(parts, same, strict=True)]
        print(f"{name}: {LETTERS} letters right in {sum(right)} of {BEGINNINGS}")
    for dare in dares:
        experts = ", ".join(f"expert {e} of layer {b + 1}" for b, e, _ in dare.experts)
        print(f"{dare.text}|{dare.right}: not without {experts}")
