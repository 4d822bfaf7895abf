"""Training in the kernel while the page draws: a trainer that needs no page, and the panel of `train_live`."""

from moe_tutorial.show.live.panel import train_live as train_live
