"""The losses of trl's own trainers for log-probabilities that are given, as `test_trl.py` asks for them.

    echo '{"grpo": {…}, "dpo": {…}}' | python tests/train/trl_losses.py

Reads JSON on stdin and prints JSON: of each the loss, and its slope for each log-probability as it is now. Each
trainer's `_compute_loss` is called as it stands, on an object that has the trainer's settings and gives the
log-probabilities where a trainer asks its model for them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from trl import DPOConfig, GRPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer

Sloped = tuple[float, list[list[float]]]


def sloped(loss: Tensor, now_BT: Tensor) -> Sloped:
    """The loss, and its slope for each log-probability."""
    (slopes_BT,) = torch.autograd.grad(loss, now_BT)
    return float(loss), slopes_BT.tolist()


class OneProcess:
    """The part of an accelerator that a loss asks for, where there is one process."""

    device = torch.device("cpu")
    num_processes = 1

    def gather(self, x: Tensor) -> Tensor:
        return x

    gather_for_metrics = gather

    def reduce(self, x: Tensor, reduction: str) -> Tensor:
        return x


def grpo(given: dict[str, Any]) -> Sloped:
    """The loss of `GRPOTrainer` with `loss_type="grpo"`. Log-probabilities (B, T), advantages (B,), mask (B, T)."""
    now_BT, mask_BT = torch.tensor(given["now"], requires_grad=True), torch.tensor(given["mask"], dtype=torch.long)
    args = GRPOConfig(
        output_dir=given["out"], loss_type="grpo", beta=given["beta"], epsilon=given["clip"], report_to=[], use_cpu=True
    )
    trainer: Any = SimpleNamespace(
        args=args,
        model=SimpleNamespace(training=True),
        accelerator=OneProcess(),
        beta=args.beta,
        epsilon_low=args.epsilon,
        epsilon_high=args.epsilon if args.epsilon_high is None else args.epsilon_high,
        loss_type=args.loss_type,
        importance_sampling_level=args.importance_sampling_level,
        top_entropy_quantile=args.top_entropy_quantile,
        off_policy_mask_threshold=args.off_policy_mask_threshold,
        use_vllm=False,
        aux_loss_enabled=False,
        current_gradient_accumulation_steps=1,
        use_adaptive_entropy=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (now_BT, torch.zeros_like(now_BT), None),
    )
    inputs = {
        "prompt_ids": torch.zeros(now_BT.shape[0], 1, dtype=torch.long),
        "prompt_mask": torch.ones(now_BT.shape[0], 1, dtype=torch.long),
        "completion_ids": torch.zeros_like(mask_BT),
        "completion_mask": mask_BT,
        "advantages": torch.tensor(given["advantages"]),
        "old_per_token_logps": torch.tensor(given["drawn"]),
        "ref_per_token_logps": torch.tensor(given["before"]),
        "num_items_in_batch": mask_BT.sum(),
    }
    return sloped(GRPOTrainer._compute_loss(trainer, None, inputs), now_BT)


def dpo(given: dict[str, Any]) -> Sloped:
    """The loss of `DPOTrainer` with `loss_type="sigmoid"`. Log-probabilities (2 B, T), the chosen chains first."""
    mask_BT = torch.tensor(given["mask"], dtype=torch.long)
    # A trainer's model gives 0 for tokens that are not of the answer.
    now_BT, before_BT = torch.tensor(given["now"], requires_grad=True), torch.tensor(given["before"]) * mask_BT
    args = DPOConfig(output_dir=given["out"], beta=given["beta"], report_to=[], use_cpu=True)
    trainer: Any = SimpleNamespace(
        args=args,
        model=SimpleNamespace(training=True),
        accelerator=OneProcess(),
        beta=args.beta,
        ld_alpha=args.ld_alpha,
        loss_types=args.loss_type,
        loss_weights=[1.0],
        f_divergence_type=args.f_divergence_type,
        precompute_ref_logps=True,
        use_weighting=args.use_weighting,
        aux_loss_enabled=False,
        _total_train_tokens=0,
        _tp_size=1,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
    )
    logged = torch.zeros(now_BT.shape)
    outputs = SimpleNamespace(log_probs=now_BT * mask_BT, entropy=logged, mean_logits=logged, is_top1=logged.bool())
    chosen_B, rejected_B = before_BT.sum(1).chunk(2)
    # The first place is the prompt's.
    whole_mask = torch.cat([torch.zeros(mask_BT.shape[0], 1, dtype=torch.long), mask_BT], 1)
    inputs = {
        "input_ids": torch.zeros_like(whole_mask),
        "attention_mask": torch.ones_like(whole_mask),
        "completion_mask": whole_mask,
        "ref_chosen_logps": chosen_B,
        "ref_rejected_logps": rejected_B,
    }
    return sloped(DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False), now_BT)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    told = {"grpo": [grpo(each) for each in asked["grpo"]], "dpo": [dpo(each) for each in asked["dpo"]]}
    sys.stdout.write(json.dumps(told))
