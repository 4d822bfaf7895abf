"""The page "Who answers?": a GPT with experts to type into, its experts one by one, and a picture of a sentence."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from moe_tutorial.layers import GPT, Routing
from moe_tutorial.show import beside, expert_bars, live_gpt, look, message
from moe_tutorial.show.picture import framed
from moe_tutorial.show.web import read
from moe_tutorial.show.widgets.cards import badge, percent
from moe_tutorial.show.widgets.live_gpt import dequantised
from moe_tutorial.study import character_class, decode, encode, route_text, texts
from moe_tutorial.study.language import without_experts
from moe_tutorial.tools.site.content.front_page import HtmlDirective
from moe_tutorial.tools.site.content.lazy_assets import FOLDER, digest, embedded, notice, place
from moe_tutorial.tools.site.content.trained import SENTENCE, STEPS, trained

READ = 90 * 64  # characters of test text in each domain: whole pieces of the model's context
KINDS = ("lower-case letters", "capital letters", "digits", "spaces", "line ends", "signs")  # CHARACTER_CLASSES
MARKS = str.maketrans({" ": "·", "\n": "⏎"})


class WhoAnswers(HtmlDirective):
    """``{who-answers} part``: a part of the page: "widget", "without", "experts" or "picture"."""

    required_arguments = 1

    def html(self, repository: Path) -> str:
        """The part, computed with the rounded weights that the page itself computes with."""
        parts = {"widget": widget, "without": without, "experts": experts, "picture": picture}
        return parts[self.arguments[0]](repository)


def widget(repository: Path) -> str:
    """The model to type into, and what rounding its weights costs."""
    gpt, loss, rounded = trained(repository)
    shown = live_gpt(gpt, SENTENCE, title="Lesson 08's GPT with experts, in this page")
    still = notice("A GPT with experts, to type into", drawn(SENTENCE, route_text(dequantised(gpt), encode(SENTENCE))))
    words = f"Trained for {STEPS} steps when this site was built. Test loss: {loss:.4f} nats a character,"
    note = f'<p class="moe-note">{words} and {rounded:.4f} as it runs here, each weight rounded to a byte.</p>'
    return place(embedded(shown), still, repository / "_build/assets" / FOLDER) + note


def without(repository: Path) -> str:
    """How much worse the sentence is predicted while one expert is off, for each of them."""
    gpt = dequantised(trained(repository).gpt)
    usual, costs, asked = missed(gpt, encode(SENTENCE))
    layer, expert = divmod(int(costs.argmax()), costs.shape[1])
    lengths = costs.clamp(min=1e-9).where(asked, torch.zeros(()))
    charts = []
    for number, row in enumerate(costs):
        signed = [f"{round(cost, 2) + 0.0:+.2f}".replace("-", "−") for cost in row.tolist()]
        words = [cost if one else "not asked" for cost, one in zip(signed, asked[number], strict=True)]
        bars = expert_bars(lengths[number].tolist(), words, 0, f"Layer {number + 1}", least=costs.max().item())
        charts.append(message(f"Layer {number + 1}") + bars)
    return shown_with_cards(
        f"Without expert {expert} of layer {layer + 1}, each character costs {costs.max():.2f} nats more",
        f"“{SENTENCE}” One expert is off, and the next best takes its characters. Nats a character: + is worse than "
        f"with all experts, where a character costs {usual:.2f}.",
        beside(*charts),
    )


@torch.no_grad()
def missed(gpt: GPT, ids: Tensor) -> tuple[float, Tensor, Tensor]:
    """Nats a character of a text with all experts; how many more without each, (blocks, experts); and who was asked."""
    tokens, targets = ids[None, :-1], ids[None, 1:]
    _, usual, records = gpt(tokens, targets)
    each = torch.eye(gpt.config.n_layers * gpt.config.n_experts).view(-1, gpt.config.n_layers, gpt.config.n_experts)
    losses = torch.stack([without_experts(gpt, off.tolist())(tokens, targets)[1] for off in each])
    asked = torch.stack([torch.zeros(gpt.config.n_experts).scatter(0, r.indices.flatten(), 1) for r in records])
    return usual.item(), losses.view_as(asked) - usual, asked.bool()


def experts(repository: Path) -> str:
    """Each layer's experts: their share, their most frequent characters, and places where they are surest."""
    gpt = dequantised(trained(repository).gpt)
    tokens = torch.cat([stream[:READ] for stream in texts().test])
    layers = enumerate(route_text(gpt, tokens), start=1)
    return "".join(answers(number, routing, tokens, gpt.config.n_experts) for number, routing in layers)


def answers(layer: int, routing: Routing, tokens: Tensor, n_experts: int) -> str:
    """The table of one layer."""
    text, chosen, weight = decode(tokens), routing.indices[:, 0], routing.weights[:, 0]
    rows = ""
    for expert in range(n_experts):
        own = (chosen == expert).nonzero().flatten().tolist()
        often = [character for character, _ in Counter(text[i] for i in own).most_common(6)]
        signs = " ".join(character.translate(MARKS) for character in often)
        surest = [max((i for i in own if text[i] == c), key=lambda i: weight[i].item()) for c in often[:3]]
        contexts = "".join(f"<td>{context(text, i, expert)}</td>" for i in surest)
        share = f'<th scope="row">{badge(expert)}</th><td>{percent(len(own) / len(text))}</td>'
        rows += f'<tr>{share}<td class="moe-mono">{escape(signs)}</td>{contexts}</tr>'
    head = "".join(f'<th scope="col">{words}</th>' for words in ("expert", "takes", "most often"))
    head += '<th scope="col" colspan="3">where it is surest</th>'
    kinds = character_class(tokens)
    counts = torch.zeros(n_experts, len(KINDS)).index_put_((chosen, kinds), torch.ones(()), accumulate=True)
    shares = counts / counts.sum(0).clamp(min=1)
    expert, kind = divmod(int(shares.argmax()), len(KINDS))
    title = f"In layer {layer}, expert {expert} takes {percent(shares.max().item())} of the {KINDS[kind]}"
    scroll = f'<div class="moe-scroll" tabindex="0" role="group" aria-label="{escape(title)}">'
    table = f'{scroll}<table class="moe-answers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    note = (
        "Its part of all characters, its most frequent ones, and of the first three the place with the largest weight."
    )
    return shown_with_cards(title, note, table)


def context(text: str, at: int, expert: int) -> str:
    """A character of the text in its expert's tint, between its neighbours."""
    before, after = (part.replace("\n", "⏎") for part in (text[max(0, at - 8) : at], text[at + 1 : at + 5]))
    own = f'<b style="background:var(--moe-t{expert})">{escape(text[at].translate(MARKS))}</b>'
    return f'<span class="moe-mono">{escape(before.rjust(8))}{own}{escape(after)}</span>'


def picture(repository: Path) -> str:
    """The sentence as a picture, and a link that saves it."""
    svg = drawn(SENTENCE, route_text(dequantised(trained(repository).gpt), encode(SENTENCE)))
    address = f"_static/{FOLDER}/{digest(svg)}.svg"
    (repository / "_build/assets" / FOLDER / Path(address).name).write_text(svg, encoding="utf-8")
    alt = f"{SENTENCE} Below each character stand the experts that answer it."
    return (
        f'<p><img class="moe-saved" src="{address}" alt="{escape(alt)}"></p>'
        f'<p class="moe-run"><a href="{address}" download="who-answers.svg">Save the picture</a></p>'
    )


def drawn(sentence: str, layers: Sequence[Routing], columns: int = 24, width: int = 26) -> str:
    """An SVG of a sentence, and below each character its expert in each layer, number on colour."""
    lines = textwrap.wrap(sentence, columns, drop_whitespace=False, replace_whitespace=False)
    left, height, marks, at = 70, 40 + 22 * len(layers), "", 0
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            x, y = left + width * column, 18 + height * row
            sign, ink = escape(character.translate(MARKS)), look.color("muted" if character.isspace() else "text")
            marks += f'<text x="{x + width / 2}" y="{y + 20}" fill="{ink}" font-size="22">{sign}</text>'
            for number, routing in enumerate(layers):
                expert, top = int(routing.indices[at, 0]), y + 28 + 22 * number
                fill, on = look.expert_color(expert), look.expert_color(expert, part="on")
                marks += f'<rect x="{x + 1}" y="{top}" width="{width - 2}" height="20" rx="3" fill="{fill}"/>'
                marks += f'<text x="{x + width / 2}" y="{top + 14}" fill="{on}" font-size="12">{expert}</text>'
            at += 1
        for number in range(len(layers)):
            y = 18 + height * row + 42 + 22 * number
            marks += f'<text x="36" y="{y}" fill="{look.color("muted")}" font-size="12">layer {number + 1}</text>'
    size = f"{left + width * max(map(len, lines)) + 18} {36 + height * len(lines)}"
    ground = f'<rect width="100%" height="100%" fill="{look.color("ground")}"/>'
    font = 'font-family="ui-monospace, Menlo, Consolas, monospace" text-anchor="middle"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" {font}>{ground}{marks}</svg>\n'


def shown_with_cards(title: str, note: str, content: str) -> str:
    """A figure whose content needs the style of the cards."""
    return framed(title, note, f"<style>{read('web/widgets/cards.css')}</style>{content}").html
