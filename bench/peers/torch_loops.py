"""Recurrent layers that PyTorch has no module for, as loops over its operations.

Written as one would for speed: x·W of all steps in one product, h·U by ``addmm``, the gates of a
step in one array. They are (batch, time, features) in and out, and ``torch.jit.script`` compiles
them, which saves some of what Python costs between operations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Loop(nn.Module):
    """Weights of a cell with so many gates."""

    def __init__(self, features: int, units: int, gates: int = 4) -> None:
        super().__init__()
        self.units = units
        self.kernel = nn.Linear(features, gates * units)
        self.recurrent = nn.Parameter(torch.empty(units, gates * units))
        nn.init.orthogonal_(self.recurrent)


class LayerNormLSTM(Loop):
    """Ba, Kiros and Hinton."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__(features, units)
        self.of_x, self.of_h = nn.LayerNorm(4 * units), nn.LayerNorm(4 * units)
        self.of_c = nn.LayerNorm(units)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.units)
        made: list[Tensor] = []
        for ahead in self.of_x(self.kernel(x)).unbind(1):
            i, f, g, o = (ahead + self.of_h(h @ self.recurrent)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.of_c(c))
            made.append(h)
        return torch.stack(made, 1)


class DroppingLSTM(Loop):
    """Dropout of x and of h, of a sequence the same at each step."""

    def __init__(self, features: int, units: int, rate: float) -> None:
        super().__init__(features, units)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.units)
        x = x * nn.functional.dropout(torch.ones_like(x[:, :1]), self.rate, self.training)
        kept = nn.functional.dropout(torch.ones_like(h), self.rate, self.training)
        made: list[Tensor] = []
        for ahead in self.kernel(x).unbind(1):
            i, f, g, o = torch.addmm(ahead, h * kept, self.recurrent).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            made.append(h)
        return torch.stack(made, 1)


class ZoneoutLSTM(Loop):
    """What h and c keep of themselves is drawn for each unit and step."""

    def __init__(self, features: int, units: int, rate: float) -> None:
        super().__init__(features, units)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.units)
        made: list[Tensor] = []
        for ahead in self.kernel(x).unbind(1):
            i, f, g, o = torch.addmm(ahead, h, self.recurrent).chunk(4, 1)
            c_next = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h_next = torch.sigmoid(o) * torch.tanh(c_next)
            if self.training:
                h = torch.where(torch.rand_like(h) < self.rate, h, h_next)
                c = torch.where(torch.rand_like(c) < self.rate, c, c_next)
            else:
                h = torch.lerp(h_next, h, self.rate)
                c = torch.lerp(c_next, c, self.rate)
            made.append(h)
        return torch.stack(made, 1)


class PeepholeLSTM(Loop):
    """Gates that see c."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__(features, units)
        self.own = nn.Parameter(torch.zeros(3, units))

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.units)
        p_i, p_f, p_o = self.own.unbind(0)
        made: list[Tensor] = []
        for ahead in self.kernel(x).unbind(1):
            i, f, g, o = torch.addmm(ahead, h, self.recurrent).chunk(4, 1)
            i, f = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
            made.append(h)
        return torch.stack(made, 1)


class CoupledLSTM(Loop):
    """The input gate is what the forget gate leaves."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__(features, units, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.units)
        made: list[Tensor] = []
        for ahead in self.kernel(x).unbind(1):
            f, g, o = torch.addmm(ahead, h, self.recurrent).chunk(3, 1)
            c = torch.lerp(torch.tanh(g), c, torch.sigmoid(f))
            h = torch.sigmoid(o) * torch.tanh(c)
            made.append(h)
        return torch.stack(made, 1)


class SLSTM(Loop):
    """Exponential gates and a stabiliser, of xLSTM."""

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.units)
        n, m = torch.zeros_like(h), torch.full_like(h, -1e30)
        made: list[Tensor] = []
        for ahead in self.kernel(x).unbind(1):
            i, f, z, o = torch.addmm(ahead, h, self.recurrent).chunk(4, 1)
            f = f + m
            m = torch.maximum(f, i)
            i, f = torch.exp(i - m), torch.exp(f - m)
            c, n = f * c + i * torch.tanh(z), f * n + i
            h = torch.sigmoid(o) * c / n
            made.append(h)
        return torch.stack(made, 1)


class ResetGRU(Loop):
    """The GRU that resets h before its product."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__(features, units, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], self.units)
        gates, candidate = self.recurrent[:, : 2 * self.units], self.recurrent[:, 2 * self.units :]
        made: list[Tensor] = []
        for ahead in self.kernel(x).unbind(1):
            opened = torch.sigmoid(torch.addmm(ahead[:, : 2 * self.units], h, gates))
            z, r = opened.chunk(2, 1)
            n = torch.tanh(torch.addmm(ahead[:, 2 * self.units :], r * h, candidate))
            h = torch.lerp(n, h, z)
            made.append(h)
        return torch.stack(made, 1)
