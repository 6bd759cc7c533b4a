"""Distillation: a student of few steps learns to jump as far at once as its teacher gets in several steps.

Between noise and the clean image lie 2 * steps levels, and every jump between two of them, over a power of two of them,
has one x0 that leads DDIM straight to where two jumps of half the length lead. The student learns this x0: over the
shortest jumps its teacher takes the two steps, with guidance; over longer ones the student's own average does, from
what it has learned so far. So it is told where a jump ends (shortcut models: Frans et al. 2024,
https://arxiv.org/abs/2410.12557, equation 4; halving: Salimans & Ho 2022, https://arxiv.org/abs/2202.00512, algorithm
2), and it takes the guidance scale as an input, at one evaluation a step (Meng et al. 2022,
https://arxiv.org/abs/2210.03142, section 3.1).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.config import FewStep
from diffusion.denoiser import Denoiser
from diffusion.hardware import CPU_FLOAT32


def student_of(teacher: Denoiser, few_step: FewStep) -> Denoiser:
    """A student that starts as its teacher: what it sees besides has no effect yet."""
    student = Denoiser(replace(teacher.config, few_step=few_step))
    student.load_state_dict(teacher.state_dict(), strict=False)  # all but the two embeddings that only a student has
    for name, parameter in student.unet.steering.named_parameters():
        if ".mlp.2." in name:  # the last layer
            nn.init.zeros_(parameter)
    return student


class Distillation(nn.Module):
    """The loss of a student. A step of it never waits for a GPU.

    Args:
        student: what is trained.
        average: the moving average of the student, which takes the half jumps.
        teacher: a trained denoiser of the same shape.
        loss_of: see `Denoiser.loss`.
    """

    evaluations = 3  # of other networks, an image: two half jumps, each one of the average's or two of the teacher's

    def __init__(self, student: Denoiser, average: Denoiser, teacher: Denoiser, loss_of: str = "prediction"):
        super().__init__()
        assert student.config.few_step is not None
        self.student = student
        self.loss_of = loss_of
        self.few_step = student.config.few_step
        self.fixed = (average, teacher)  # in a tuple, so that they are no parts of what is trained
        levels = student.scheduler.levels(2 * self.few_step.steps)
        device = next(student.parameters()).device
        self.path = torch.tensor([level.index for level in levels], device=device)
        self.alpha = torch.tensor([level.alpha for level in levels], device=device, dtype=torch.float32)
        self.sigma = torch.tensor([level.sigma for level in levels], device=device, dtype=torch.float32)
        low, high = self.few_step.guidance_interval
        on = torch.tensor([float(low <= level.index <= high) for level in levels[:-1:2]], **CPU_FLOAT32)
        anywhere = torch.full_like(on, 1 / len(on))
        # Where the shortest jumps of a batch start: a quarter of them anywhere, the others where guidance is on.
        self.odds = (anywhere / 4 + on / on.sum() * 3 / 4 if on.any() else anywhere).to(device)

    def draw(self, x0: Tensor, random: torch.Generator) -> tuple[Tensor, ...]:
        """For each image (B, C, H, W) a jump, from one place on the path to another, its guidance scale, and noise.

        Every other jump is one of the shortest, since these alone teach what guidance does; the longer ones come
        equally often. The last tensor says which are the shortest; it is on the CPU, so that nobody waits for a GPU to
        know it.
        """
        count, device = len(x0), x0.device
        *longer, shortest = self.few_step.choices
        pattern = torch.tensor([jumps for each in longer for jumps in (shortest, each)], device="cpu")  # in a run
        jumps = pattern[torch.arange(count, device="cpu") % len(pattern)]
        short = jumps == shortest
        length = (2 * shortest // jumps).to(device, non_blocking=True)
        how: dict[str, Any] = {"generator": random, "device": device, "dtype": torch.float32}
        which = torch.rand(count, **how) * jumps.to(device, non_blocking=True)
        taught = torch.multinomial(self.odds, count, replacement=True, generator=random)
        start = length * torch.where(short.to(device, non_blocking=True), taught, which.long())
        low, high = self.few_step.guidance
        guidance = low + (high - low) * torch.rand(count, **how)
        return start, start + length, guidance, torch.randn(x0.shape, **how), short

    def forward(self, *parts: Tensor) -> Tensor:
        return self.of(self.student, *parts)

    def of(
        self,
        model: Denoiser,
        x0: Tensor,
        labels: Tensor,
        start: Tensor,
        end: Tensor,
        guidance: Tensor,
        eps: Tensor,
        short: Tensor,
    ) -> Tensor:
        """The loss of the student, or its average, on clean images and what `draw` drew for them: a scalar.

        All of it is on one device, but for `short`.
        """
        x = self.student.scheduler.add_noise(x0, eps, self.path[start])
        with torch.no_grad():
            middle = (start + end) // 2
            half_way = self.jump(x, labels, start, middle, guidance, short)
            there = self.jump(half_way, labels, middle, end, guidance, short)
            kept, share = self.coefficients(start, end)
            target = (there - kept * x) / share  # the x0 that leads from x straight there
            if model.config.bounded:  # a bound that both half jumps agree on is met but for rounding
                target = torch.where(target.abs() > 1 - 1e-4, target.sign(), target)
            alpha, sigma = self.student.scheduler.coefficients(self.path[start])
            eps = (x - alpha * target) / sigma
        return model.loss(target, labels, self.path[start], eps, self.path[end], guidance, loss_of=self.loss_of)

    def jump(self, x: Tensor, labels: Tensor, start: Tensor, end: Tensor, guidance: Tensor, short: Tensor) -> Tensor:
        """x (B, C, H, W) after a DDIM step: the teacher's where the jump is short, the average's elsewhere."""
        average, _ = self.fixed
        levels, ends = self.path[start], self.path[end]
        x0 = torch.empty_like(x)
        for guess, mask in ((self.taught, short), (average.guess, ~short)):
            if mask.any():
                rows = mask.nonzero().flatten().to(x.device, non_blocking=True)
                x0[rows] = guess(*(part[rows] for part in (x, levels, labels, ends, guidance)))
        kept, share = self.coefficients(start, end)
        return kept * x + share * x0

    def taught(self, x: Tensor, levels: Tensor, labels: Tensor, ends: Tensor, guidance: Tensor) -> Tensor:
        """The teacher's guided x0, each image at a level and a guidance scale of its own, wherever the step ends.

        It is black where the teacher says so, though the teacher does not draw so itself.
        """
        _, teacher = self.fixed
        low, high = self.few_step.guidance_interval
        on = (low <= levels) & (levels <= high)
        scale = torch.where(on, guidance, 1).view(-1, 1, 1, 1)
        null = teacher.null(labels)
        both = teacher.guess(torch.cat([x, x]), torch.cat([levels, levels]), torch.cat([labels, null]))
        cond, uncond = both.chunk(2)
        return (uncond + scale * (cond - uncond)).clamp(-1, 1)

    def coefficients(self, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """What DDIM keeps of x and takes of x0 on the way, (B, 1, 1, 1) each."""
        kept = self.sigma[end] / self.sigma[start]
        share = self.alpha[end] - kept * self.alpha[start]
        return kept.view(-1, 1, 1, 1), share.view(-1, 1, 1, 1)
