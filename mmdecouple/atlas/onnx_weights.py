"""Weights of a PyTorch module from an ONNX graph that was exported from it, under the names of the module."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmdecouple.utils.errors import UserError, WrongInstallation

_INPUTS_OF_SHAPES = ('Shape', 'Size')


def packages() -> tuple[Any, Any]:
    """Returns `onnx` and `onnxruntime`.

    Raises:
        WrongInstallation: One of them is missing.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise WrongInstallation(f'ONNX files need the package {error.name}: pip install onnx onnxruntime') from error
    return onnx, onnxruntime


def read_onnx(path: Path) -> Any:
    """Returns the `ModelProto` of an ONNX file without external data.

    Raises:
        UserError: The file is not a valid ONNX file, or its weights are in other files.
    """
    onnx, _ = packages()
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:
        # The parser and the checker raise errors of several libraries.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f'{path} is not a valid ONNX file ({reason}); export it again.') from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise UserError(f'{path} stores its weights in other files, which are not read; export it as one file.')
    return model


class Graph:
    """Nodes and constant tensors of an ONNX model.

    Args:
        model: A `ModelProto`.

    Attributes:
        nodes: All nodes, in topological order.
        constants: Name -> array, of initializers and of the outputs of `Constant` nodes, also through `Identity`.
    """

    def __init__(self, model: Any) -> None:
        onnx, _ = packages()
        self.nodes = list(model.graph.node)
        self.constants: dict[str, np.ndarray] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._producers = {name: node for node in self.nodes for name in node.output}
        self._consumers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._consumers[name].append(node)
            if node.op_type == 'Constant' and node.attribute[0].name == 'value':
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == 'Identity' and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]

    def consumers(self, name: str, kind: str) -> list[Any]:
        """Returns the nodes of a kind that read a tensor."""
        return [node for node in self._consumers[name] if node.op_type == kind]

    def constants_of(self, name: str) -> Iterator[str]:
        """Yields the names of the floating-point constants from which a tensor is computed, in order of their use.

        Only values are followed, not the shapes that tensors are given.
        """
        if name in self.constants:
            if self.constants[name].dtype.kind == 'f':
                yield name
            return
        node = self._producers.get(name)
        if node is None or node.op_type in _INPUTS_OF_SHAPES:
            return
        for source in node.input[:1] if node.op_type in ('Reshape', 'Resize', 'Slice', 'Expand') else node.input:
            yield from self.constants_of(source)

    def is_constant(self, name: str) -> bool:
        """Returns whether a tensor depends on no input of the graph, other than on the shapes of inputs."""
        if name in self.constants:
            return True
        node = self._producers.get(name)
        if node is None:
            return False
        if node.op_type in _INPUTS_OF_SHAPES:
            return True
        return all(self.is_constant(source) for source in node.input if source)


def named_weights(graph: Graph) -> dict[str, np.ndarray]:
    """Returns the named constants of a graph, and the weights of linear layers under the names of their biases.

    Exporters fold the transposed weight of a linear layer into a constant without a name. Such a weight is the second
    factor of a `MatMul` to whose result a bias `NAME.bias` is added; it is returned transposed, `(out, in)`, as
    `NAME.weight`.

    Args:
        graph: The graph.

    Returns:
        Name -> array.

    Raises:
        UserError: Two weights have one name.
    """
    found = {name: value for name, value in graph.constants.items() if _is_parameter(name)}
    for node in graph.nodes:
        if node.op_type != 'MatMul' or node.input[1] not in graph.constants:
            continue
        weight = graph.constants[node.input[1]]
        for addition in graph.consumers(node.output[0], 'Add'):
            other = next((name for name in addition.input if name != node.output[0]), '')
            if not other.endswith('.bias') or other not in found or weight.ndim != 2:
                continue
            name = f'{other.removesuffix("bias")}weight'
            if name in found and name != node.input[1]:
                raise UserError(f'ONNX: two linear layers add the bias {other}; the weights cannot be told apart.')
            found[name] = weight.T
    return found


def _is_parameter(name: str) -> bool:
    return not name.startswith(('/', 'onnx::')) and '.' in name
