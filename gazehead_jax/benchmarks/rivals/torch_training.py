"""PyTorch: training steps of the paper's model, with the usual modules."""

import json
import os
import time
from pathlib import Path

import numpy as np

GATES = ("r", "z", "n")


class TorchTraining:
    """A call's steps: loss, gradient, clipping and fused Adam. Noise is handed over.

    Args:
      folder: with `case.npz`, see `train.write_case`.
      form: "gru" (nn.GRU over all frames), "cell" (a loop of nn.GRUCell) or "compile"
        (the loop, compiled).
    """

    def __init__(self, folder: str, form: str):
        import torch

        self._torch = torch
        with np.load(Path(folder) / "case.npz") as file:
            case = {name: file[name] for name in file.files}
        self._facts = json.loads(str(case.pop("facts")))
        self._params = {
            name.removeprefix("params/"): case.pop(name)
            for name in list(case)
            if name.startswith("params/")
        }
        self._batches = {
            k: torch.from_numpy(case[k]) for k in ("gaze", "head", "noise")
        }
        self._beta, self._form = case["beta"].tolist(), form
        self._begin()

    def _begin(self) -> None:
        torch, facts = self._torch, self._facts
        self._model = _model(self._params, facts, "gru" if self._form == "gru" else "")
        self._loss = self._model
        if self._form == "compile":
            self._loss = torch.compile(self._model)
        self._adam = torch.optim.Adam(
            self._model.parameters(), facts["learning_rate"], fused=True
        )

    def run(self):
        """The losses of all steps of a call."""
        torch, losses = self._torch, []
        for i, beta in enumerate(self._beta):
            batch = (self._batches[k][i] for k in ("gaze", "head", "noise"))
            loss = self._loss(*batch, beta)
            self._adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(
                self._model.parameters(), self._facts["clip_norm"]
            )
            self._adam.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def shown(self, made) -> np.ndarray:
        """From the beginning: the losses of a call, and how it changes the weights."""
        self._begin()
        before, losses = self._weights(), self.run().numpy()
        return np.concatenate([losses, self._weights() - before])

    def _weights(self) -> np.ndarray:
        """All numbers, in the order of the JAX model's."""
        return np.concatenate([self._weight(n).ravel() for n in sorted(self._params)])

    def _weight(self, name: str) -> np.ndarray:
        *path, part, kind = name.split("/")
        torch_kind = "weight" if kind == "kernel" else kind
        if path[-1] != "gru":
            value = getattr(getattr(self._model, part), torch_kind)
            return value.detach().numpy().T
        gru = {"encoder": self._model.encoder, "cell": self._model.decoder}[path[0]]
        end = "_l0" if self._form == "gru" else ""
        value = getattr(gru, f"{torch_kind}_{part[0]}h{end}")
        return value.detach().chunk(3)[GATES.index(part[1])].numpy().T

    def settle(self) -> None:
        """Takes the number of threads that is faster."""
        times = {}
        for threads in {1, os.cpu_count()}:
            self._torch.set_num_threads(threads)
            self.run()
            start = time.perf_counter()
            self.run()
            times[threads] = time.perf_counter() - start
        self._torch.set_num_threads(min(times, key=times.get))


def _model(params, facts: dict, form: str):
    import torch

    hidden, frames, context = facts["hidden"], facts["frames"], facts["context"]

    class Model(torch.nn.Module):
        """`model.CVAE` of one period; every frame is valid. Gives the mean loss."""

        def __init__(self):
            super().__init__()
            self.encoder = _gru(params, "encoder/gru", form)
            self.posterior = _linear(params, "encoder/posterior")
            self.decoder = _gru(params, "cell/gru", form)
            self.head = _linear(params, "cell/head")

        def forward(self, gaze, head, noise, beta: float):
            rows = len(gaze)
            past = head[:, :context].reshape(rows, 1, -1)
            # The encoder also sees which of the past heads are valid.
            ones = torch.ones(rows, context, 1)
            marked = torch.cat([head[:, :context], ones], -1).reshape(rows, 1, -1)
            gaze, head = gaze[:, context:], head[:, context:]
            marked = marked.expand(-1, frames, -1)
            seen = torch.cat([gaze, head, torch.ones(rows, frames, 1), marked], -1)
            state = self.states(self.encoder, seen)[:, -1]
            mean, logvar = self.posterior(state).chunk(2, -1)
            logvar = logvar.clamp(-12.0, 6.0)
            z = mean + torch.exp(0.5 * logvar) * noise
            held = torch.cat([z[:, None], past], -1).expand(-1, frames, -1)
            states = self.states(self.decoder, torch.cat([gaze, held], -1))
            error = self.head(states).clamp(-10.0, 10.0) - head
            kl = 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)
            return ((error**2).sum((1, 2)) + beta * kl).mean()

        def states(self, gru, x):
            if form == "gru":
                return gru(x)[0]
            state, states = torch.zeros(len(x), hidden), []
            for t in range(frames):
                state = gru(x[:, t], state)
                states.append(state)
            return torch.stack(states, 1)

    return Model()


def _linear(params, name: str):
    import torch

    kernel = params[f"{name}/kernel"]
    layer = torch.nn.Linear(*kernel.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
        layer.bias.copy_(torch.from_numpy(params[f"{name}/bias"]))
    return layer


def _gru(params, name: str, form: str):
    import torch

    side = lambda s: np.concatenate([params[f"{name}/{s}{g}/kernel"].T for g in GATES])
    inputs, hiddens = side("i"), side("h")
    size = hiddens.shape[1]
    late = np.concatenate([np.zeros(2 * size, "f4"), params[f"{name}/hn/bias"]])
    early = np.concatenate([params[f"{name}/i{g}/bias"] for g in GATES])
    if form == "gru":
        gru, end = torch.nn.GRU(inputs.shape[1], size, batch_first=True), "_l0"
    else:
        gru, end = torch.nn.GRUCell(inputs.shape[1], size), ""
    values = {
        "weight_ih": inputs,
        "weight_hh": hiddens,
        "bias_ih": early,
        "bias_hh": late,
    }
    with torch.no_grad():
        for place, value in values.items():
            getattr(gru, place + end).copy_(torch.from_numpy(value))
    # PyTorch has each gate's bias twice, which would learn at twice the rate.
    once = torch.cat([torch.zeros(2 * size), torch.ones(size)])
    getattr(gru, f"bias_hh{end}").register_hook(lambda g: g * once)
    return gru
