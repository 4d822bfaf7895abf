"""The mixture of experts: a router chooses, the chosen experts answer, their answers are added up."""

from collections.abc import Callable

from torch import Tensor, nn

from . import fast
from .checks import as_tokens, autocasts, check_choice, check_count, check_dtype
from .experts import ACTIVATIONS, DISPATCHES, ClampedSwiGLU, Experts
from .routing import Router, Routing


class MixtureOfExperts(nn.Module):
    """``y = sum over the chosen experts of weight_i(x) * E_i(x)``, plus the shared experts' answers if there are any.

    Sources: Shazeer et al. 2017 (arXiv:1701.06538) eq. 1; Switch (arXiv:2101.03961) eq. 2; shared experts: DeepSeek-V3
    (arXiv:2412.19437) eq. 12.

    Args:
        d_model, d_hidden, n_experts, top_k: width ``d``, width ``h`` of an expert, experts ``E``, chosen per token.
        router: a ``Router`` of the same sizes, or a callable from tokens (T, d) to a ``Routing``, which may choose any
            number of experts. None builds a ``Router`` from ``router_options``.
        d_out: width of the output; ``d_model`` if None.
        activation, gated, expert_bias: the kind of expert, see ``Experts`` (``expert_bias`` is its ``bias``).
        n_shared, d_shared: shared experts that every token uses with weight 1, and their width (``d_hidden`` if None).
        dispatch: "sparse" computes only the chosen experts. "dense" computes all of them and multiplies by the weights,
            0 for experts not chosen: the same result with more arithmetic, but no shape depends on the data, so that
            ``torch.func.stack_module_state`` and ``torch.vmap(..., randomness="different")`` train many seeds as one.
        router_options: passed to ``Router``: ``gate``, ``renormalize``, ``noise``, ``bias`` (the selection bias),
            ``n_groups``, ``top_groups``, ``scale``, ``logit_bias``.

    Raises TypeError or ValueError for sizes that do not fit, an unknown option, and a router of other sizes.
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        n_experts: int,
        top_k: int,
        router: Router | Callable[[Tensor], Routing] | None = None,
        *,
        d_out: int | None = None,
        activation: str | ClampedSwiGLU | None = None,
        gated: bool = False,
        expert_bias: bool | None = None,
        n_shared: int = 0,
        d_shared: int | None = None,
        dispatch: str = "sparse",
        **router_options,
    ):
        super().__init__()
        self.experts = Experts(n_experts, d_model, d_hidden, d_out, activation, gated, expert_bias)
        self.router = build_router(router, d_model, n_experts, top_k, router_options)
        self.shared = None
        if check_count("n_shared", n_shared, low=0):
            d_shared = d_hidden if d_shared is None else check_count("d_shared", d_shared)
            self.shared = Experts(n_shared, d_model, d_shared, d_out, activation, gated, expert_bias)
        elif d_shared is not None:
            raise ValueError(f"d_shared must be None without shared experts (n_shared is 0), got {d_shared}")
        self.dispatch = check_choice("dispatch", dispatch, DISPATCHES)

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        """x (..., d) -> y (..., d_out) and the routing of its T tokens.

        TypeError for an integer tensor, another dtype than the experts' and a router that returns no ``Routing``,
        ValueError for a wrong width and for a routing of the wrong shape.
        """
        experts, router = self.experts, self.router
        tokens = as_tokens(x, experts.d_model)
        check_dtype(tokens, experts.w_in)
        routing = router(tokens)
        check_routing(routing, len(tokens))
        if self.dispatch == "dense":
            y = self.dense(tokens, routing)
        else:
            y = self.compiled(tokens, routing)
            if y is None:
                y = self.sparse(tokens, routing)
        if self.shared is not None:
            y = y + self.shared.mixed(tokens, tokens.new_ones(len(tokens), self.shared.n_experts))
        return (y if tokens is x else y.reshape(*x.shape[:-1], experts.d_out)), routing

    def sparse(self, tokens: Tensor, routing: Routing) -> Tensor:
        """Sort the T * k choices by expert, let each expert answer its slice, add the answers up per token.

        ``forward`` uses ``compiled`` instead where it can: the same result, sooner.
        """
        order, token, counts = sort_by_expert(routing.indices, self.experts.n_experts)
        answers = self.experts.grouped(tokens[token], counts.tolist())
        weights = routing.weights.flatten()[order].to(answers.dtype)
        return answers.new_zeros(len(tokens), self.experts.d_out).index_add(0, token, answers * weights.unsqueeze(-1))

    def compiled(self, tokens: Tensor, routing: Routing) -> Tensor | None:
        """``sparse`` with compiled kernels (``fast.mix``); None if they cannot be used or are slower, if they lack the
        activation, and if a subclass overrides ``sparse``."""
        experts, own = self.experts, type(self).sparse is not MixtureOfExperts.sparse
        if own or type(experts) is not Experts or not fast.serves() or autocasts(tokens):
            return None
        if experts.activation not in ACTIVATIONS:
            return None
        stacks = experts.w_in, experts.b_in, experts.w_gate, experts.b_gate, experts.w_out, experts.b_out
        try:
            return fast.mix(tokens, routing.indices, routing.weights, *stacks, experts.activation)
        except fast.CannotServe:
            return None

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        """Compute every expert for every token, weighted by a table (T, E) that is 0 for experts not chosen."""
        table = routing.weights.new_zeros(len(tokens), self.experts.n_experts)
        return self.experts.mixed(tokens, table.scatter_add(-1, routing.indices, routing.weights))


def build_router(
    router: Router | Callable[[Tensor], Routing] | None, d_model: int, n_experts: int, top_k: int, options: dict
) -> Router | Callable[[Tensor], Routing]:
    """The given router if it fits, or a new one from the options."""
    if router is None:
        return Router(d_model, n_experts, top_k, **options)
    if options:
        raise TypeError(f"pass router or router options, not both; got router and {', '.join(options)}")
    if not callable(router):
        raise TypeError(f"router must be a Router or a callable that returns a Routing, got {router!r}")
    if isinstance(router, Router):
        for name, wanted in {"d_model": d_model, "n_experts": n_experts, "top_k": top_k}.items():
            if getattr(router, name) != wanted:
                raise ValueError(f"router must have {name} = {wanted} like the mixture, got {getattr(router, name)}")
    return router


def sort_by_expert(indices: Tensor, n_experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sort the choices (T, k) by expert.

    Returns the flat index of each choice (T * k,), its token (T * k,), and the number of choices of each expert (E,).
    Raises ValueError for an index of ``n_experts`` or more.
    """
    choice = indices.flatten()
    order = choice.argsort(stable=True)
    counts = choice.bincount(minlength=n_experts)
    if len(counts) > n_experts:
        raise ValueError(f"the router chose expert {len(counts) - 1}, but there are only {n_experts}")
    return order, order // indices.shape[-1], counts  # choice number n belongs to token n // k


def check_routing(routing: Routing, n_tokens: int) -> None:
    """Raise TypeError or ValueError unless a router returned a ``Routing`` of ``n_tokens`` tokens."""
    if not isinstance(routing, Routing):
        raise TypeError(f"router must return a Routing, got {type(routing).__name__}")
    indices, weights = tuple(routing.indices.shape), tuple(routing.weights.shape)
    if indices != weights or len(indices) != 2 or indices[0] != n_tokens:
        raise ValueError(
            f"router must return indices and weights of one shape (T = {n_tokens}, k), got {indices} and {weights}"
        )
