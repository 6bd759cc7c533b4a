"""A Denoiser is a network that knows what its prediction means. Training and sampling both go through it.

The four prediction types are one idea. With x_i = alpha * x0 + sigma * eps, each predicts p = a * x0 + b * eps:

    type    a        b        source
    eps     0        1        Ho et al. 2020, https://arxiv.org/abs/2006.11239
    x0      1        0
    v       -sigma   alpha    Salimans & Ho 2022, https://arxiv.org/abs/2202.00512, appendix D
    flow    -1       1        Lipman et al. 2022, https://arxiv.org/abs/2210.02747 (noise minus clean)

Two equations, two unknowns: x0 = (b * x - sigma * p) / (alpha * b - sigma * a). That is every conversion there is.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion import checks, style
from diffusion.config import PREDICTIONS, DenoiserConfig, FewStep  # noqa: F401 - these names are known from here, too
from diffusion.model import Offer
from diffusion.networks.course import CourseConfig, Translated
from diffusion.networks.unet import UNet
from diffusion.scheduler import Scheduler
from diffusion.style import ATTRIBUTES

MICRO_BATCH = 100  # images that go through the network at once: bounds memory, costs no speed
LOSSES = ("prediction", "velocity")  # whose error a loss may be
MAX_WEIGHT = 20.0  # of an error of the prediction, as one of the velocity: next to the clean image, x0 cannot be told
BLACK_WEIGHT = 0.1  # of the loss of what is exactly black: it shall not pull at what it shares with the prediction
NEARLY_CLEAN = 100  # levels below which a pixel that is almost black is either black or not


class Denoiser(nn.Module):
    """UNet + scheduler + prediction type.

    Call it with images (B, C, H, W), one level index for all, and a condition: labels (B,), or labels and style (B, 4)
    as `style.conditions` has them. It returns its guess of x0.
    """

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        self.scheduler = Scheduler(config.schedule)
        self.unet: Any = (  # a network is a network: who asks for its parts knows which one it is
            Translated(config.unet, config.schedule, config.prediction)
            if isinstance(config.unet, CourseConfig)
            else UNet(
                config.unet,
                few_step=config.few_step is not None,
                style=len(ATTRIBUTES) if config.styles else 0,
                black=config.black,
            )
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        unet = self.config.unet
        return unet.image_channels, unet.image_size, unet.image_size

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def offer(self) -> Offer:
        """What these weights can draw, and with which settings."""
        return self.config.offer

    def null(self, condition: Tensor) -> Tensor:
        """The null label, which was trained to mean "no label", for each condition of a batch, and no style."""
        null = torch.full_like(condition, self.config.unet.null_label)
        if condition.ndim > 1:
            null[:, 1:] = torch.nan
        return null

    def forward(self, x: Tensor, i: int, condition: Tensor, *steering: float) -> Tensor:
        """The guess. A student of few steps is steered by the level where the step ends, and the guidance scale.

        Only a student draws as black what its network says is black. Others leave pixels as they are: classifiers tell
        such digits from real ones less often (docs/results.md), though fewer pixels are exactly black.
        """
        guesses = []
        for part, part_condition in zip(x.split(MICRO_BATCH), condition.split(MICRO_BATCH), strict=True):
            levels, *others = (
                torch.full((len(part),), value, device=x.device, dtype=torch.float32) for value in (i, *steering)
            )
            guesses.append(self.guess(part, levels.long(), part_condition, *others, exact=bool(steering)))
        return torch.cat(guesses)

    def guess(self, x: Tensor, levels: Tensor, condition: Tensor, *steering: Tensor, exact: bool = True) -> Tensor:
        """The guess, each image at a level of its own: levels and steering are (B,).

        With `exact`, what the network says is black is black, where it says so: below level 100, or in a student's last
        step. Before that, x0 is a mean over what may come. Students learn from a teacher whose word counts. (Sparsity
        bits, https://arxiv.org/abs/2502.02448, are a bit of each pixel that is diffused as well. Here it is told, not
        drawn.)
        """
        prediction, black = self.predict(x, levels, condition, *steering)
        x0 = self.to_x0(x, prediction, levels)
        if exact and black is not None:
            last = steering[0] < 0 if steering else levels < NEARLY_CLEAN
            x0 = torch.where((black > 0) & last.view(-1, 1, 1, 1), -1, x0)
        return x0

    def predict(self, x: Tensor, levels: Tensor, condition: Tensor, *steering: Tensor) -> tuple[Tensor, Tensor | None]:
        """The raw prediction (B, C, H, W), and the logits of "exactly black" where there are any."""
        labels, wanted = style.parts(condition)
        if wanted is not None and self.config.styles:
            condition = style.conditions(labels, self.config.styles.scaled(wanted))
        else:
            condition = labels
        out = self.unet(self.seen(x, levels), levels, condition, *steering)
        return out.chunk(2, dim=1) if self.config.black else (out, None)

    def seen(self, x: Tensor, levels: Tensor) -> Tensor:
        """The noisy images as the network sees them: a U-Net sees additive noise as large as on the flow schedule."""
        if self.config.schedule != "additive" or isinstance(self.config.unet, CourseConfig):
            return x
        alpha, sigma = self.scheduler.coefficients(levels)
        return x / (alpha + sigma)

    def to_x0(self, x: Tensor, prediction: Tensor, levels: Tensor) -> Tensor:
        """The x0 that a raw prediction (B, C, H, W) means for noisy images x at levels (B,)."""
        alpha, sigma = self.scheduler.coefficients(levels)
        x0 = predicted_x0(self.config.prediction, x, prediction.float(), alpha, sigma)
        return x0.clamp(-1, 1) if self.config.bounded else x0

    def loss(
        self,
        x0: Tensor,
        condition: Tensor,
        levels: Tensor,
        eps: Tensor,
        *steering: Tensor,
        loss_of: str = "prediction",
        min_snr: float = 0.0,
    ) -> Tensor:
        """The training loss, a scalar: a mean squared error, and the cross entropy of what is black where that is told.

        Args:
            x0: clean images (B, C, H, W) in [-1, 1].
            condition: labels (B,), or labels and style (B, 4), some of them already hidden.
            levels: (B,) in 0..T-1.
            eps: standard normal noise, shaped like x0.
            steering: for a student of few steps, where each step ends and the guidance scale, (B,) each.
            loss_of: whose error it is: that of the raw "prediction", or of the "velocity" eps - x0 that it means: x0
                must then be the more precise, the less noise there is (Li & He 2025, https://arxiv.org/abs/2511.13720).
            min_snr: where above 0, weigh each image so that its error in x0 counts min(SNR, min_snr) times (Hang et al.
                2023, https://arxiv.org/abs/2303.09556, section 3.4); only with the loss of the prediction.
        """
        checks.choice("loss_of", loss_of, LOSSES)
        alpha, sigma = self.scheduler.coefficients(levels)
        x = self.scheduler.add_noise(x0, eps, levels)
        raw, black = self.predict(x, levels, condition, *steering)
        prediction = raw.float()
        error = prediction - target(self.config.prediction, x0, eps, alpha, sigma)
        if self.config.bounded:
            guess = predicted_x0(self.config.prediction, x, prediction.detach(), alpha, sigma)
            overshot = ((x0 <= -1) & (guess < -1)) | ((x0 >= 1) & (guess > 1))
            error = error.masked_fill(overshot, 0)
        a, b = _combination(self.config.prediction, alpha, sigma)
        error_in_x0 = sigma / (alpha * b - sigma * a)  # per error of the prediction
        if loss_of == "velocity":
            error = error * (error_in_x0 * (alpha + sigma) / sigma).abs().clamp(max=MAX_WEIGHT)
        elif min_snr:
            error = error * (error_in_x0**2 * (alpha / sigma).square().clamp(max=min_snr)).sqrt()
        loss = error.square().mean()
        if black is not None:
            loss = loss + BLACK_WEIGHT * F.binary_cross_entropy_with_logits(black.float(), (x0 <= -1).float())
        return loss


def target(prediction: str, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the network should predict: a * x0 + b * eps, with this module's table."""
    a, b = _combination(prediction, alpha, sigma)
    return a * x0 + b * eps


def predicted_x0(prediction: str, x: Tensor, p: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The x0 that prediction p means for the noisy image x."""
    a, b = _combination(prediction, alpha, sigma)
    return (b * x - sigma * p) / (alpha * b - sigma * a)


def _combination(prediction: str, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    zero, one = torch.zeros_like(alpha), torch.ones_like(alpha)
    return {"eps": (zero, one), "x0": (one, zero), "v": (-sigma, alpha), "flow": (-one, one)}[prediction]
