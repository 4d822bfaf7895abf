"""Small, typical mistakes, each planted in a copy of the package, and the tests that must notice it.

A row reads: where, what stands there, what a tired programmer might have written, in words, and who notices. To add
one, copy a row. ``old`` has to stand exactly once in its file.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    """One line gone wrong. ``tests`` are pytest's names, relative to tests/; each of them must fail by itself."""

    says: str
    file: str  # in moe_tutorial
    old: str
    new: str
    tests: tuple[str, ...]


ROUTING, BALANCE = "layers/test_routing.py::", "layers/test_balance.py::"
MIXTURE, EXPERTS = "layers/test_mixture.py::", "layers/test_experts.py::"
TREE, FAST = "layers/test_tree.py::", "layers/test_fast.py::"
GPT, INTEROP = "layers/test_gpt.py::", "layers/test_interop.py::"
USAGE, COST, SERVING = "study/test_usage.py::", "study/test_cost.py::", "study/test_serving.py::"
TRAINING, LANGUAGE, DATA = "study/test_training.py::", "study/test_language.py::", "study/test_data.py::"
CLAIMS, PARALLEL, TIMING = "study/test_claims.py::", "study/test_parallel.py::", "study/test_timing.py::"
ESTIMATES, SCORES = "study/test_estimates.py::", "study/test_scores.py::"

MISTAKES = {
    # ── the router ──
    "double-softmax": Mistake(
        "the softmax of what was a softmax already",
        "layers/routing.py",
        "else logits.softmax(-1)\n",
        "else logits.softmax(-1).softmax(-1)\n",
        (ROUTING + "test_weights_are_what_the_gate_says",),
    ),
    "softmax-over-tokens": Mistake(
        "softmax over the tokens of the batch, not over the experts",
        "layers/routing.py",
        "else logits.softmax(-1)\n",
        "else logits.softmax(0)\n",
        (ROUTING + "test_weights_are_what_the_gate_says",),
    ),
    "weights-of-one": Mistake(
        "top-k before the softmax where softmax comes first: at k = 1 every weight is 1 and the router learns nothing",
        "layers/routing.py",
        "weights = scores.gather(-1, indices)",
        "weights = noisy_logits.gather(-1, indices).softmax(-1)",
        (ROUTING + "test_weights_are_what_the_gate_says",),
    ),
    "always-renormalised": Mistake(
        "a checkpoint's norm_topk_prob=false is ignored",
        "layers/routing.py",
        "        if self.renormalize:\n",
        "        if True:\n",
        (INTEROP + "test_equal_to_the_published_block",),
    ),
    "renormalised-over-all": Mistake(
        "the chosen weights are divided by the sum over all experts",
        "layers/routing.py",
        "weights / (weights.sum(-1, keepdim=True) + 1e-20)",
        "weights / (scores.sum(-1, keepdim=True) + 1e-20)",
        (ROUTING + "test_from_k_2_on_renormalised_is_topk_softmax",),
    ),
    "noise-in-evaluation": Mistake(
        "noise is still on in eval()",
        "layers/routing.py",
        "if not self.training or self.noise is None",
        "if self.noise is None",
        (ROUTING + "test_noise_moves_choice_and_weights_in_train_only",),
    ),
    "noise-per-token": Mistake(
        "one draw of noise for all experts of a token, which changes no choice",
        "layers/routing.py",
        "torch.randn_like(logits) * noise_std",
        "torch.randn_like(logits[:, :1]) * noise_std",
        (ROUTING + "test_noise_moves_choice_and_weights_in_train_only",),
    ),
    "learned-noise-without-softplus": Mistake(
        "learned noise whose deviation can be negative",
        "layers/routing.py",
        "noise_std = F.softplus(",
        "noise_std = torch.abs(",
        (ROUTING + "test_learned_noise_is_learned_and_equals_its_formula",),
    ),
    "bias-in-the-weights": Mistake(
        "the selection bias leaks into the gate weights",
        "layers/routing.py",
        "weights = scores.gather(-1, indices)",
        "weights = (scores if self.bias is None else scores + self.bias).gather(-1, indices)",
        (ROUTING + "test_the_bias_picks_and_never_scales",),
    ),
    "bias-subtracted": Mistake(
        "the selection bias has the wrong sign",
        "layers/routing.py",
        "ranking = ranking + self.bias",
        "ranking = ranking - self.bias",
        (ROUTING + "test_the_bias_picks_and_never_scales",),
    ),
    "groups-masked-with-zero": Mistake(
        "groups that are out are set to 0, which beats a negative ranking",
        "layers/routing.py",
        "masked_fill(~kept.unsqueeze(-1), -torch.inf)",
        "masked_fill(~kept.unsqueeze(-1), 0.0)",
        (ROUTING + "test_the_chosen_rank_highest",),
    ),
    "scale-forgotten": Mistake(
        "DeepSeek's scaling factor is forgotten",
        "layers/routing.py",
        "weights * self.scale",
        "weights",
        (INTEROP + "test_equal_to_the_published_block",),
    ),
    "autocast-lowers-logits": Mistake(
        "autocast computes the router's logits in bfloat16",
        "layers/routing.py",
        "    with torch.autocast(tokens.device.type, enabled=False):\n        return F.linear(tokens, weight)\n",
        "    return F.linear(tokens, weight)\n",
        (ROUTING + "test_autocast_lowers_nothing_forward_and_backward",),
    ),
    "bias-rounded": Mistake(
        "the selection bias is cast with the module, and stalls at .5 in bfloat16",
        "layers/routing.py",
        "if bias is not None and self.bias.dtype != bias.dtype:",
        "if False:",
        (ROUTING + "test_two_thousand_small_steps_move_a_bias_by_all_of_them",),
    ),
    # ── balance ──
    "switch-loss-not-by-k": Mistake(
        "the Switch loss whose balanced value is k, not 1",
        "layers/balance.py",
        "chosen, mean = counts / (T * k), shares.mean(0)",
        "chosen, mean = counts / T, shares.mean(0)",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "switch-loss-of-the-chosen": Mistake(
        "P is the masked softmax, so that an expert that nobody chooses gets no gradient",
        "layers/balance.py",
        "chosen, mean = counts / (T * k), shares.mean(0)",
        "mean = (shares * torch.zeros_like(shares).scatter(-1, routing.indices, 1.0)).mean(0)\n"
        "        chosen = counts / (T * k)",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "switch-loss-detached": Mistake(
        "P is detached: the loss is right, and nothing learns from it",
        "layers/balance.py",
        "chosen, mean = counts / (T * k), shares.mean(0)",
        "chosen, mean = counts / (T * k), shares.detach().mean(0)",
        (BALANCE + "test_gradcheck",),
    ),
    "load-against-probabilities": Mistake(
        "the load estimate compares raw logits with softmaxed thresholds",
        "layers/balance.py",
        "best = noisy.topk(k + 1).values",
        "best = noisy.softmax(-1).topk(k + 1).values",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "load-beats-itself": Mistake(
        "what an expert has to beat is the k-th best of all, itself included",
        "layers/balance.py",
        "to_beat = torch.where(noisy > next_best, next_best, kth)",
        "to_beat = kth",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "load-of-the-noisy": Mistake(
        "the load estimate takes the noisy logit where the clean one belongs",
        "layers/balance.py",
        "(routing.logits - to_beat) / std",
        "(noisy - to_beat) / std",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "sample-variance": Mistake(
        "the coefficient of variation with the sample's variance: full collapse is no longer E - 1",
        "layers/balance.py",
        ".var(correction=0)\n",
        ".var()\n",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "z-loss-not-squared": Mistake(
        "the z-loss without its square, which pulls logits down for ever",
        "layers/balance.py",
        "routing.logits.logsumexp(-1).square().mean()",
        "routing.logits.logsumexp(-1).mean()",
        (BALANCE + "test_every_loss_equals_its_loop",),
    ),
    "bias-update-sign": Mistake(
        "the balancer pushes the busy experts up",
        "layers/balance.py",
        "alpha=self.rate",
        "alpha=-self.rate",
        (BALANCE + "test_one_step_of_the_balancer",),
    ),
    "expert-choice-over-tokens": Mistake(
        "expert choice lets each token choose after all",
        "layers/balance.py",
        "probs.topk(capacity, dim=0).indices",
        "probs.topk(min(capacity, self.n_experts), dim=1).indices",
        (BALANCE + "test_every_expert_takes_its_best_tokens_and_no_more",),
    ),
    "load-of-one-rank": Mistake(
        "each rank moves its biases by its own load",
        "layers/balance.py",
        "            load = _over_ranks(load, group)\n",
        "            pass\n",
        (PARALLEL + "test_the_balance_is_that_of_the_whole_batch",),
    ),
    "gradient-of-one-rank": Mistake(
        "the Switch loss of the whole batch, whose averaged gradient is too small by the number of ranks",
        "layers/balance.py",
        "own = shares.sum(0) * (dist.get_world_size(group) / T)",
        "own = shares.sum(0) / T",
        (PARALLEL + "test_the_balance_is_that_of_the_whole_batch",),
    ),
    # ── experts and the mixture ──
    "gate-forgotten": Mistake(
        "the answers are added up without their gate weights",
        "layers/mixture.py",
        "answers * weights.unsqueeze(-1)",
        "answers",
        (MIXTURE + "test_forward_and_gradients_equal_the_loop",),
    ),
    "weights-of-other-choices": Mistake(
        "the weights are not brought into the order of the answers",
        "layers/mixture.py",
        "routing.weights.flatten()[order]",
        "routing.weights.flatten()",
        (MIXTURE + "test_forward_and_gradients_equal_the_loop",),
    ),
    "second-choice-overwrites": Mistake(
        "a token's later choice overwrites the earlier one",
        "layers/mixture.py",
        "table.scatter_add(-1, routing.indices, routing.weights)",
        "table.scatter(-1, routing.indices[:, -1:], routing.weights[:, -1:])",
        (MIXTURE + "test_forward_and_gradients_equal_the_loop",),
    ),
    "shared-averaged": Mistake(
        "shared experts are averaged, not added",
        "layers/mixture.py",
        "y = y + self.shared.mixed(",
        "y = y + 0.5 * self.shared.mixed(",
        (MIXTURE + "test_forward_and_gradients_equal_the_loop",),
    ),
    "output-bias-unweighted": Mistake(
        "every expert's output bias is added, chosen or not",
        "layers/experts.py",
        "torch.addmm(weights @ self.b_out, neurons, w_out)",
        "torch.addmm(self.b_out.sum(0), neurons, w_out)",
        (EXPERTS + "test_all_three_ways_equal_the_loop",),
    ),
    "gate-and-value-swapped": Mistake(
        "a gated expert activates the wrong half",
        "layers/experts.py",
        "act(F.linear(tokens, w_gate, b_gate)) * F.linear(tokens, w_in, b_in)",
        "F.linear(tokens, w_gate, b_gate) * act(F.linear(tokens, w_in, b_in))",
        (EXPERTS + "test_all_three_ways_equal_the_loop",),
    ),
    "up-before-gate": Mistake(
        "a checkpoint's two halves are read in the wrong order",
        "layers/interop.py",
        "experts.w_gate.copy_(gate)\n    experts.w_in.copy_(up)",
        "experts.w_gate.copy_(up)\n    experts.w_in.copy_(gate)",
        (INTEROP + "test_equal_to_the_published_block",),
    ),
    # ── the tree ──
    "leaves-from-the-right": Mistake(
        "soft weights go to the leaves in reversed order",
        "layers/tree.py",
        "torch.stack([weights - to_the_right, to_the_right], dim=-1)",
        "torch.stack([to_the_right, weights - to_the_right], dim=-1)",
        (TREE + "test_the_soft_answer_is_the_published_one",),
    ),
    "heap-from-one": Mistake(
        "children 2n and 2n + 1 in a heap that starts at 0",
        "layers/tree.py",
        "node = torch.add(step.gather(-1, node), node, alpha=2)",
        "node = torch.add(step.gather(-1, node) - 1, node, alpha=2)",
        (TREE + "test_dense_dispatch_gives_the_hard_answer_from_all_leaves",),
    ),
    "balance-over-all-tokens": Mistake(
        "a node's balance counts all tokens, not those that arrive there",
        "layers/tree.py",
        "    load = descent.weights.mean(0)\n    uneven = []\n",
        "    return (2 * logits.sigmoid().mean(0) - 1).square().mean()\n    load, uneven = 0, []\n",
        (TREE + "test_the_node_balance_loss_counts_a_token_by_how_much_of_it_arrives",),
    ),
    "balance-not-by-arrivals": Mistake(
        "how uneven a node divides is not divided by how much arrives there",
        "layers/tree.py",
        "((right - left) / load.clamp_min(1e-6)).square()",
        "(right - left).square()",
        (TREE + "test_the_node_balance_loss_counts_a_token_by_how_much_of_it_arrives",),
    ),
    "tie-goes-left": Mistake(
        "the compiled descent sends a logit of exactly 0 to the left",
        "layers/fast/descend_kernel.py",
        "+ node_bias[node] >= 0)",
        "+ node_bias[node] > 0)",
        (FAST + "test_a_logit_of_exactly_0_goes_right_in_the_kernel_and_in_plain_torch",),
    ),
    "tie-goes-left-in-torch": Mistake(
        "the readable descent sends a logit of exactly 0 to the left",
        "layers/tree.py",
        "node = 2 * node + 1 + (logits >= 0)",
        "node = 2 * node + 1 + (logits > 0)",
        (FAST + "test_a_logit_of_exactly_0_goes_right_in_the_kernel_and_in_plain_torch",),
    ),
    "leaf-bias-left-out": Mistake(
        "the hard answer leaves out the leaf's output bias, as the published code does",
        "layers/fast/descend_kernel.py",
        "    y[:] = b_out\n",
        "    y[:] = 0\n",
        (TREE + "test_the_published_evaluation_leaves_out_the_leaves_output_bias_and_ours_does_not",),
    ),
    "hardening-rewards-doubt": Mistake(
        "the entropy of the decisions with the wrong sign",
        "layers/tree.py",
        "F.softplus(logits) - logits * logits.sigmoid()",
        "logits * logits.sigmoid() - F.softplus(logits)",
        (TREE + "test_the_hardening_loss_is_the_mean_entropy_of_the_decisions",),
    ),
    "half-the-leak": Mistake(
        "half of the asked region leak",
        "layers/tree.py",
        "torch.rand_like(logits) < self.region_leak",
        "torch.rand_like(logits) < self.region_leak / 2",
        (TREE + "test_a_region_leaks_in_training_only_and_as_often_as_asked",),
    ),
    "soft-gradient-sign": Mistake(
        "the compiled soft step's gradient by a decision has the wrong sign",
        "layers/fast/soften_kernel.py",
        "by_decisions[t, n] = worth[2 * n + 2] - right[t, n] * worth[n]",
        "by_decisions[t, n] = right[t, n] * worth[n] - worth[2 * n + 2]",
        (FAST + "test_the_soft_kernel_equals_plain_torch_in_answer_and_gradients",),
    ),
    "hard-gradient-stops": Mistake(
        "the compiled descent hands no gradient on to the layer below",
        "layers/fast/descend_kernel.py",
        "return by_tokens, None, None, by_w_in",
        "return None, None, None, by_w_in",
        (FAST + "test_the_kernels_gradients_are_those_of_plain_torch_and_nodes_get_none_in_either",),
    ),
    "plain-answers-by-leaf": Mistake(
        "the readable descent hands its answers out in the order of the leaves",
        "layers/tree.py",
        "return torch.cat(answers)[order.argsort()], leaf",
        "return torch.cat(answers), leaf",
        (FAST + "test_the_kernels_gradients_are_those_of_plain_torch_and_nodes_get_none_in_either",),
    ),
    # ── the GPT ──
    "router-reads-before-the-norm": Mistake(
        "the feed-forward reads what was not normalised",
        "layers/gpt.py",
        "self.feed_forward(self.feed_forward_norm(x))",
        "self.feed_forward(x)",
        (GPT + "test_a_dense_model_is_the_reference_of_torch",),
    ),
    "residual-lost": Mistake(
        "the feed-forward's answer replaces what came in",
        "layers/gpt.py",
        "return x + y, record",
        "return y, record",
        (GPT + "test_a_dense_model_is_the_reference_of_torch",),
    ),
    "looks-ahead": Mistake(
        "attention sees what comes later",
        "layers/gpt.py",
        "is_causal=past == 0",
        "is_causal=False",
        (GPT + "test_no_position_hears_from_a_later_one_not_even_through_routing",),
    ),
    "stale-records": Mistake(
        "records pile up on the module, and go stale after generate()",
        "layers/gpt.py",
        "        records = []\n",
        "        records = self.__dict__.setdefault('_records', [])\n",
        (GPT + "test_records_are_returned_and_nothing_is_kept",),
    ),
    "generates-in-training": Mistake(
        "generate() leaves the model in evaluation mode",
        "layers/gpt.py",
        "        with evaluating(self):\n",
        "        self.eval()\n        if True:\n",
        (GPT + "test_generation_is_deterministic_in_its_generator_and_leaves_the_mode_alone",),
    ),
    # ── how it is measured ──
    "share-per-token": Mistake(
        "shares are divided by T, not by T * k",
        "study/usage.py",
        "return counts / max(flat.shape[-1], 1)",
        "return counts / max(indices.shape[-2], 1)",
        (USAGE + "test_share_counts_choices",),
    ),
    "entropy-not-normalised": Mistake(
        "entropy in nats where 1 should mean even use",
        "study/usage.py",
        "torch.special.entr(shares).sum(-1) / math.log(n_experts)",
        "torch.special.entr(shares).sum(-1)",
        (USAGE + "test_even_use",),
    ),
    "dead-at-the-threshold": Mistake(
        "an expert at the threshold is called dead",
        "study/usage.py",
        "(shares < threshold)",
        "(shares <= threshold)",
        (USAGE + "test_an_expert_at_the_threshold_is_alive",),
    ),
    "information-in-nats": Mistake(
        "mutual information in nats is called bits",
        "study/usage.py",
        "choices.cpu().numpy())) / math.log(2)",
        "choices.cpu().numpy()))",
        (LANGUAGE + "test_mutual_information_in_bits",),
    ),
    "active-is-k-of-e": Mistake(
        "active parameters are k / E of the total, attention and all",
        "study/cost.py",
        "sum(p.copies * p.active for p in model))",
        "sum(p.copies * p.total for p in model) * config.get('num_experts_per_tok', 1) // 8)",
        (COST + "test_published_counts",),
    ),
    "distinct-experts-at-most": Mistake(
        "a batch touches min(E, B k) experts",
        "study/cost.py",
        'return n_experts * (1 - (1 - top_k / n_experts) ** check_count("batch", batch, 0))',
        "return float(min(n_experts, top_k * batch))",
        (COST + "test_distinct_experts_against_a_simulation",),
    ),
    "router-free-of-charge": Mistake(
        "the router's multiplications are not counted",
        "study/cost.py",
        'router = _part("router", copies, (d + router_bias) * E, d * E)',
        'router = _part("router", copies, (d + router_bias) * E)',
        (COST + "test_multiplications_are_those_that_torch_counts",),
    ),
    "capacity-zero": Mistake(
        "capacity is rounded down to 0 for short inputs, and every token is dropped",
        "study/serving.py",
        "max(1, math.ceil(factor * n_tokens * top_k / n_experts))",
        "int(factor * n_tokens * top_k / n_experts)",
        (SERVING + "test_capacity_is_never_zero",),
    ),
    "capacity-without-k": Mistake(
        "the capacity's formula without k",
        "study/serving.py",
        "max(1, math.ceil(factor * n_tokens * top_k / n_experts))",
        "max(1, math.ceil(factor * n_tokens / n_experts))",
        (SERVING + "test_capacity_is_the_even_part_times_the_factor_rounded_up",),
    ),
    "dropped-by-position": Mistake(
        "the first to come is kept, whatever its weight",
        "study/serving.py",
        "best_first = weights.flatten().argsort(descending=True, stable=True)",
        "best_first = torch.arange(weights.numel(), device=weights.device)",
        (SERVING + "test_an_expert_keeps_its_highest_weights",),
    ),
    "one-batch-order": Mistake(
        "all seeds see the batches of the first",
        "study/training.py",
        "torch.stack([_batches(seed, len(data.x_train), steps, batch_size) for seed in seeds])",
        "torch.stack([_batches(seeds[0], len(data.x_train), steps, batch_size) for seed in seeds])",
        (TRAINING + "test_many_seeds_at_once_are_the_same_seeds_one_by_one",),
    ),
    "only-the-first-learns": Mistake(
        "only the first seed's loss is followed",
        "study/training.py",
        "loss.sum().backward()",
        "loss[0].backward()",
        (TRAINING + "test_many_seeds_at_once_are_the_same_seeds_one_by_one",),
    ),
    "gradients-pile-up": Mistake(
        "gradients are not set to zero",
        "study/training.py",
        "            optimizer.zero_grad()\n",
        "",
        (TRAINING + "test_it_is_the_loop_that_everybody_writes",),
    ),
    "tested-in-training": Mistake(
        "accuracy is measured in training mode",
        "study/training.py",
        "        with evaluating(self.model):\n            return torch.cat(",
        "        if True:\n            return torch.cat(",
        (TRAINING + "test_scores_and_routing_are_asked_for_in_evaluation",),
    ),
    "routed-in-training": Mistake(
        "the routing of an evaluation is measured in training mode, with its noise",
        "study/training.py",
        "        with evaluating(self.model):\n            return self(x)[1]",
        "        if True:\n            return self(x)[1]",
        (TRAINING + "test_scores_and_routing_are_asked_for_in_evaluation",),
    ),
    "stays-dense": Mistake(
        "the model of one seed is handed out with the dispatch of the stack",
        "study/training.py",
        'model.get_submodule(name).dispatch = "sparse"',
        'model.get_submodule(name).dispatch = "dense"',
        (TRAINING + "test_routing_and_shares_are_those_of_each_seeds_own_model_which_computes_as_it_was_built",),
    ),
    "seeds-overlap": Mistake(
        "two bases share seeds",
        "study/training.py",
        "base = 1000 * int(text)",
        "base = int(text)",
        (TRAINING + "test_seed_bases_share_no_seed",),
    ),
    "predicts-what-it-reads": Mistake(
        "the target is the token itself",
        "study/language.py",
        "return pieces[:, :-1], pieces[:, 1:], domains",
        "return pieces[:, :-1], pieces[:, :-1], domains",
        (LANGUAGE + "test_windows_are_pieces_of_their_domain_and_targets_come_next",),
    ),
    "standardised-by-the-test-set": Mistake(
        "pixels are standardised with the test set's own mean",
        "study/data.py",
        "x_train, x_test = (x_train - mean) / deviation, (x_test - mean) / deviation",
        "x_train, x_test = (x_train - mean) / deviation, (x_test - x_test.mean(0)) / deviation",
        (DATA + "test_raw_is_pixels_and_standardised_is_centred",),
    ),
    "interval-of-the-values": Mistake(
        "the interval is that of one seed, not of the mean",
        "study/estimates.py",
        "scale=stats.sem(values)",
        "scale=values.std(ddof=1)",
        (ESTIMATES + "test_the_interval_is_students",),
    ),
    "kept-as-met": Mistake(
        "the scoreboard takes the neurons that are kept for those that an input meets",
        "study/scores.py",
        'int(part["active"]), int(part["total"])',
        'int(part["total"]), int(part["active"])',
        (SCORES + "test_what_is_printed_is_read_again",),
    ),
    "control-not-judged": Mistake(
        "the rule is never asked about the control",
        "study/claims.py",
        "too = other is not None and bool(holds(other))",
        "too = False",
        (CLAIMS + "test_a_control_that_holds_too_stops_the_lesson",),
    ),
    "order-of-return": Mistake(
        "answers come home in the order in which the experts computed them",
        "study/parallel.py",
        "answers[by_expert.argsort()]",
        "answers[by_expert]",
        (PARALLEL + "test_run_compares_and_reports",),
    ),
    "gradients-not-shared": Mistake(
        "the router's copies keep their own gradients",
        "study/parallel.py",
        "                dist.all_reduce(parameter.grad, group=self.group)\n",
        "                pass\n",
        (PARALLEL + "test_run_compares_and_reports",),
    ),
    "first-call-counts": Mistake(
        "the first call, which compiles, is timed as well",
        "study/timing.py",
        "        for function in functions.values():\n            function()\n",
        "",
        (TIMING + "test_functions_take_turns_after_one_call_each",),
    ),
}
