"""Write a student as an ONNX model of one tile, in full or reduced precision (tests: test_tiles.py)."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rsmtdf_core.evaluation.averaging import Network
from rsmtdf_core.files import atomic_file
from rsmtdf_core.student.portable import TileStudent

Precision = Literal["fp32", "fp16", "int8"]
OPSET = 18
"""Version of the ONNX operators: ONNX Runtime reads it since 1.14, of 2023."""

INPUT, OUTPUT = "tile", "probabilities"


def write_tile_model(
    model: TileStudent, side: int, file: Path, precision: Precision, metadata: Mapping[str, str]
) -> None:
    """Write the model for tiles [1, bands, side, side].

    `int8` is the dynamic quantization of ONNX Runtime: uint8 weights, and activations that are quantized by the range
    of each tile. Inputs and outputs are float32 in every precision.

    Args:
        model: the model, `half` for fp16.
        side: side of a tile, px.
        file: the file, which is replaced.
        precision: type of weights and activations.
        metadata: texts by key, for the model's `metadata_props`.

    Raises:
        WriteError: If the file cannot be written.
    """
    import onnx

    example = torch.zeros(1, model.student.bands, side, side)
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
    )
    assert program is not None
    proto = program.model_proto
    if precision == "int8":
        proto = _quantized(proto)
    proto.producer_name = "rsmtdf"
    onnx.helper.set_model_props(proto, dict(metadata))
    with atomic_file(file) as written:
        written.write(proto.SerializeToString())


def _quantized(proto: Any) -> Any:  # noqa: ANN401 - onnx ships no types
    """Return a model with uint8 weights, the only ones that ONNX Runtime convolves with."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as folder:
        names = ("whole", "prepared", "quantized")
        whole, prepared, quantized = (Path(folder) / f"{name}.onnx" for name in names)
        onnx.save(proto, whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, quantized, weight_type=QuantType.QUInt8)
        return onnx.load(quantized)


def read_tile_model(file: Path) -> Network:
    """Return the function that the file computes in ONNX Runtime: tiles float32 to probabilities float32."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(tiles: Tensor) -> Tensor:
        (probabilities,) = session.run([OUTPUT], {INPUT: tiles.numpy().astype(np.float32)})
        return torch.from_numpy(probabilities)

    return run
