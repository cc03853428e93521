"""ONNX Runtime on our own ONNX export: called each frame, or with the loop in the graph."""

import time

import numpy as np

from gazehead_jax.benchmarks.cases import Case


class OnnxRival:
    """A whole rollout in ONNX Runtime.

    Args:
      case: what to compute.
      form: "step", a call a frame, or "scan", one call for all frames.
    """

    def __init__(self, case: Case, form: str):
        import onnx

        self._case, self._form = case, form
        step = onnx.load(case.folder / "step.onnx")
        values = [*step.graph.input]
        self._states = [v.name for v in values if v.name.startswith("state_")]
        self._state = {
            v.name: _zeros(v, case) for v in values if v.name in self._states
        }
        if form == "scan":
            step = _scanned(step, self._states)
        self._model = step.SerializeToString()
        # The export takes radians.
        self._gaze = case.gaze.copy()
        self._gaze[..., :2] = case.gaze[..., :2] * case.gaze_std + case.gaze_mean
        self._valid = np.ones((case.frames, case.rows), bool)
        self._open(0)

    def _open(self, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            self._model, options, providers=["CPUExecutionProvider"]
        )

    def heads(self) -> np.ndarray:
        """`[t, b, d]` radians."""
        case, run = self._case, self._session.run
        d = case.model["head_dim"]
        if self._form == "scan":
            given = {"gaze": self._gaze, "valid": self._valid, "noise": case.noise}
            return run(["head"], self._state | given)[0][..., :d]
        state = self._state
        wanted = ["head", *(f"next_{n.removeprefix('state_')}" for n in self._states)]
        out = []
        for t in range(case.frames):
            given = {"gaze": self._gaze[t], "valid": self._valid[t]}
            head, *after = run(wanted, state | given | {"noise": case.noise[t]})
            state = dict(zip(self._states, after, strict=True))
            out.append(head)
        return np.stack(out)[..., :d]

    def settle(self) -> None:
        """Takes the number of threads that is faster: one, or as many as it likes."""
        times = {}
        for threads in (1, 0):
            self._open(threads)
            self.heads()
            start = time.perf_counter()
            self.heads()
            times[threads] = time.perf_counter() - start
        self._open(min(times, key=times.get))


def _zeros(value, case: Case) -> np.ndarray:
    import onnx

    if value.name == "state_style":
        return case.style
    tensor = value.type.tensor_type
    shape = [d.dim_value or case.rows for d in tensor.shape.dim]
    return np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _scanned(step, states):
    """The step as the body of ONNX's Scan over the leading axis of its other inputs."""
    import onnx
    from onnx import helper

    by_name = {v.name: v for v in step.graph.input}
    made = {v.name: v for v in step.graph.output}
    frames = ["gaze", "valid", "noise"]
    after = [f"next_{n.removeprefix('state_')}" for n in states]

    def renamed(value, name):
        value = onnx.ValueInfoProto.FromString(value.SerializeToString())
        value.name = name
        return value

    def timed(value):
        shape = [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        kind = value.type.tensor_type.elem_type
        return helper.make_tensor_value_info(value.name, kind, ["t", *shape])

    # Inside and outside may not share names.
    names = {n: f"in_{n}" for n in (*states, *frames)} | {"head": "in_head"}
    body = onnx.GraphProto.FromString(step.graph.SerializeToString())
    for node in body.node:
        for part in (node.input, node.output):
            for i, name in enumerate(part):
                part[i] = names.get(name, name)
    del body.input[:], body.output[:]
    body.input.extend(renamed(by_name[n], names[n]) for n in (*states, *frames))
    body.output.extend(made[n] for n in after)
    body.output.append(renamed(made["head"], "in_head"))
    last = [f"last_{n}" for n in after]
    node = helper.make_node(
        "Scan",
        [*states, *frames],
        [*last, "head"],
        body=body,
        num_scan_inputs=len(frames),
    )
    graph = helper.make_graph(
        [node],
        "rollout",
        [*(by_name[n] for n in states), *(timed(by_name[n]) for n in frames)],
        [timed(made["head"])],
    )
    return helper.make_model(
        graph, opset_imports=step.opset_import, ir_version=step.ir_version
    )
