"""What a reader sees: colours and shapes, pictures, and widgets for JupyterLab and for the website."""

from IPython import get_ipython

from moe_tutorial.show.figures import Line, curves, draw_curves, interval_chart
from moe_tutorial.show.own_layer import watch_layer
from moe_tutorial.show.picture import is_narrow, picture, table
from moe_tutorial.show.playground import playground
from moe_tutorial.show.region_map import region_map, region_maps
from moe_tutorial.show.regions import explore_router, grid, watch_training, watch_usage
from moe_tutorial.show.who_answers import who_answers
from moe_tutorial.show.widgets.cards import (
    bars,
    beside,
    expert_bars,
    expert_cards,
    message,
    pixels,
    usage_bars,
)
from moe_tutorial.show.widgets.claim_box import in_notebook
from moe_tutorial.show.widgets.claim_list import show_claims
from moe_tutorial.show.widgets.exhibit import exhibit
from moe_tutorial.show.widgets.explorable import explorable, scatter
from moe_tutorial.show.widgets.live_gpt import live_gpt
from moe_tutorial.show.widgets.sweep import sweep
from moe_tutorial.show.widgets.token_path import token_path
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.environment import interactive

if interactive() and (shell := get_ipython()):  # nbval and the site's build take the line and its data
    shell.display_formatter.formatters["text/html"].for_type(Claim, in_notebook)
