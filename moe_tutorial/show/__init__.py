"""How it is seen: the visual language, pictures, and the widgets that move with or without a kernel."""

from moe_tutorial.show.cards import bars, beside, expert_cards, message, plane_map, seed_dots, usage_bars
from moe_tutorial.show.claim_box import display_box
from moe_tutorial.show.figures import draw_regions, interval_chart, seed_strip
from moe_tutorial.show.live import train_live
from moe_tutorial.show.picture import is_narrow, picture, table
from moe_tutorial.show.playground import playground
from moe_tutorial.show.regions import explore_router, grid, watch_training, watch_usage
from moe_tutorial.show.sweep import sweep
from moe_tutorial.show.token_view import token_view
from moe_tutorial.study.claims import show_claims_with
from moe_tutorial.study.watched import interactive

__all__ = [
    "bars",
    "beside",
    "draw_regions",
    "expert_cards",
    "explore_router",
    "grid",
    "interval_chart",
    "is_narrow",
    "message",
    "picture",
    "plane_map",
    "playground",
    "seed_dots",
    "seed_strip",
    "sweep",
    "table",
    "token_view",
    "train_live",
    "usage_bars",
    "watch_training",
    "watch_usage",
]

if interactive():  # nbval and the site's build read the lines
    show_claims_with(display_box)
