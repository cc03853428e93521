"""PyTorch: modules with a step and a loop over it; eager, scripted or compiled."""

import math
import os
import time

import numpy as np

from gazehead_jax.benchmarks.cases import Case


class TorchRival:
    """A whole rollout in PyTorch.

    Args:
      case: what to compute.
      form: "eager", "script" (the loop too) or "compile" (the step).
    """

    def __init__(self, case: Case, form: str):
        import torch

        torch.set_grad_enabled(False)
        self._case, self._torch = case, torch
        self._gaze, self._noise = (torch.from_numpy(x) for x in (case.gaze, case.noise))
        self._style = torch.from_numpy(case.style)
        module = (_natural if case.model["kind"] == "natural" else _frame)(case)
        if form == "script":
            module = torch.jit.script(module)
        if form == "compile":
            module.step = torch.compile(module.step)
        self._module = module

    def heads(self) -> np.ndarray:
        """`[t, b, d]` radians."""
        out = self._module(self._gaze, self._noise, self._style)
        return self._case.radians(out.numpy())

    def settle(self) -> None:
        """Takes the number of threads that is faster."""
        times = {}
        for threads in {1, os.cpu_count()}:
            self._torch.set_num_threads(threads)
            self.heads()
            start = time.perf_counter()
            self.heads()
            times[threads] = time.perf_counter() - start
        self._torch.set_num_threads(min(times, key=times.get))


def _linear(pair):
    import torch

    kernel, bias = pair
    layer = torch.nn.Linear(*kernel.shape)
    layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
    layer.bias.copy_(torch.from_numpy(bias))
    return layer


def _gru(case: Case):
    import torch

    wi, bi, wh, bh = case.gru()
    cell = torch.nn.GRUCell(len(wi), len(wh))
    pairs = ((cell.weight_ih, wi.T), (cell.weight_hh, wh.T))
    for place, value in (*pairs, (cell.bias_ih, bi), (cell.bias_hh, bh)):
        place.copy_(torch.from_numpy(value.copy()))
    return cell


def _frame(case: Case):
    import torch
    from torch import Tensor

    class Frame(torch.nn.Module):
        """`model.Step` with a latent per frame; every gaze is valid."""

        def __init__(self):
            super().__init__()
            self.gru = _gru(case)
            self.prior_hidden = _linear(case.dense("prior_hidden"))
            self.prior = _linear(case.dense("prior"))
            self.head = _linear(case.dense("head"))
            self.context: int = case.model["context"]
            self.d: int = case.model["head_dim"]
            self.hidden: int = case.model["hidden"]

        def step(self, hidden: Tensor, past: Tensor, gaze: Tensor, noise: Tensor):
            seen = torch.cat([hidden, gaze, past], 1)
            drawn = self.prior(torch.tanh(self.prior_hidden(seen)))
            mean, logvar = drawn.chunk(2, 1)
            z = mean + torch.exp(0.5 * logvar.clamp(-12.0, 6.0)) * noise
            hidden = self.gru(torch.cat([gaze, z, past], 1), hidden)
            head = self.head(hidden) + past[:, -self.d :]
            head = head.clamp(-10.0, 10.0)
            return hidden, torch.cat([past[:, self.d :], head], 1), head

        def forward(self, gaze: Tensor, noise: Tensor, style: Tensor) -> Tensor:
            hidden = torch.zeros(gaze.shape[1], self.hidden)
            past = torch.zeros(gaze.shape[1], self.context * self.d)
            out = torch.empty(gaze.shape[0], gaze.shape[1], self.d)
            for t in range(gaze.shape[0]):
                hidden, past, head = self.step(hidden, past, gaze[t], noise[t])
                out[t] = head
            return out

    return Frame()


def _natural(case: Case):
    import torch
    from torch import Tensor

    class Natural(torch.nn.Module):
        """`natural.Cell`; every gaze is valid."""

        def __init__(self):
            super().__init__()
            self.gru = _gru(case)
            self.prior_hidden = _linear(case.dense("prior_hidden"))
            self.prior = _linear(case.dense("prior"))
            self.head = _linear(case.dense("head"))
            self.hidden: int = case.model["hidden"]
            self.latent: int = case.model["latent"]

        def wrap(self, angle: Tensor) -> Tensor:
            return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi

        def eye(self, gaze: Tensor, head: Tensor) -> Tensor:
            sines, cosines = torch.sin(head), torch.cos(head)
            up, turn = gaze[:, 0], gaze[:, 1] - head[:, 1]
            flat = torch.cos(up)
            x, y, z = -flat * torch.sin(turn), -torch.sin(up), -flat * torch.cos(turn)
            sp, cp, sr, cr = sines[:, 0], cosines[:, 0], sines[:, 2], cosines[:, 2]
            y, z = cp * y - sp * z, sp * y + cp * z
            x, y = cr * x + sr * y, cr * y - sr * x
            pitch = torch.atan2(-y, torch.sqrt(x * x + z * z))
            return torch.stack([pitch, torch.atan2(-x, -z)], 1)

        def step(
            self,
            hidden: Tensor,
            body: Tensor,
            before: Tensor,
            posture: Tensor,
            seen_gaze: Tensor,
            noise: Tensor,
            style: Tensor,
        ):
            gaze = seen_gaze[:, :2]
            head, move, change = body[:, :3], body[:, 3:6], body[:, 6:]
            posture = posture + self.wrap(gaze[:, 1:] - posture) / 150.0
            parts = [
                self.eye(gaze, head) / 0.25,
                self.wrap(gaze - before) / 0.05,
                move / 0.015,
                change / 0.003,
                head[:, :1] / 0.2,
                head[:, 2:] / 0.2,
                gaze[:, :1] / 0.3,
                self.wrap(gaze[:, 1:] - posture) / 0.5,
                self.wrap(head[:, 1:2] - posture) / 0.5,
                torch.ones_like(posture),
            ]
            for i in range(2, seen_gaze.shape[1], 3):
                known = seen_gaze[:, i + 2 : i + 3]
                ahead = self.wrap(seen_gaze[:, i : i + 2] - gaze)
                parts += [known * ahead / 0.25, known]
            seen = torch.cat(parts, 1).clamp(-8.0, 8.0)
            x = torch.tanh(self.prior_hidden(torch.cat([hidden, seen, style], 1)))
            mean, logvar = self.prior(x).chunk(2, 1)
            z = (
                mean
                + torch.exp(0.5 * logvar.clamp(-8.0, 4.0)) * noise[:, : self.latent]
            )
            hidden = self.gru(torch.cat([seen, z, style], 1), hidden)
            out = self.head(torch.cat([hidden, seen, style], 1))
            push, logstd, keep_move, keep_change = out.chunk(4, 1)
            keep_change = torch.sigmoid(keep_change)
            change = (
                keep_change * change
                + (1 - keep_change) * 0.003 * push
                + 1e-3
                * torch.exp((logstd - 1).clamp(-6.0, 2.0))
                * noise[:, self.latent :]
            )
            move = (torch.sigmoid(keep_move + 2) * move + change).clamp(-0.5, 0.5)
            head = head + move
            tilt = head.clamp(-1.4, 1.4)
            head = torch.cat([tilt[:, :1], self.wrap(head[:, 1:2]), tilt[:, 2:]], 1)
            return hidden, torch.cat([head, move, change], 1), gaze, posture, head

        def forward(self, gaze: Tensor, noise: Tensor, style: Tensor) -> Tensor:
            hidden = torch.zeros(gaze.shape[1], self.hidden)
            body = torch.zeros(gaze.shape[1], 9)
            before, posture = gaze[0, :, :2], gaze[0, :, 1:2]
            out = torch.empty(gaze.shape[0], gaze.shape[1], 3)
            for t in range(gaze.shape[0]):
                hidden, body, before, posture, head = self.step(
                    hidden, body, before, posture, gaze[t], noise[t], style
                )
                out[t] = head
            return out

    return Natural()
