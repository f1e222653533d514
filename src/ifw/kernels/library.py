"""The native library, loaded: which kernels it has for this machine, and the team of threads that they run in.

The kernels run in the calling thread and in threads of the library, which sleep when there has been nothing to do for a
moment. Those of torch's OpenMP would all be waited for, also where nothing is left to do when they have woken up.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any, Final

import torch

from ifw.kernels.build import LIBRARY, is_supported, source_hash

FLOAT32: Final = 0
BFLOAT16: Final = 1
MULTIPLY_INT8: Final = 0
MULTIPLY_FLOAT32: Final = 1
MULTIPLY_BFLOAT16: Final = 2
HEAD_DIM: Final = 64
DECODER_LINEARS: Final = ("self_qkv", "self_out", "cross_query", "cross_out", "mlp_in", "mlp_out")
DECODER_NORMS: Final = ("self_norm", "cross_norm", "mlp_norm")
STORED: Final = {torch.float32: FLOAT32, torch.bfloat16: BFLOAT16}


class Team(Structure):
    """`IfwTeam`."""

    _fields_ = [("n_threads", c_int64)]


class LinearStruct(Structure):
    """`IfwLinear`."""

    _fields_ = [
        ("n_in", c_int64),
        ("n_out", c_int64),
        ("arithmetic", c_int32),
        ("input_type", c_int32),
        ("output_type", c_int32),
        ("reserved", c_int32),
        ("weight", c_void_p),
        ("scale", c_void_p),
        ("correction", c_void_p),
        ("bias", c_void_p),
    ]


class NormStruct(Structure):
    """`IfwNorm`."""

    _fields_ = [
        ("weight", c_void_p),
        ("bias", c_void_p),
        ("epsilon", c_float),
        ("reserved", c_int32),
    ]


class CacheStruct(Structure):
    """`IfwCache`."""

    _fields_ = [
        ("keys", c_void_p),
        ("values", c_void_p),
        ("group_stride", c_int64),
        ("head_stride", c_int64),
        ("n_groups", c_int64),
        ("n_heads", c_int64),
        ("n_keys", c_int64),
        ("type", c_int32),
        ("reserved", c_int32),
    ]


class DecoderLayerStruct(Structure):
    """`IfwDecoderLayer`."""

    _fields_ = [
        *((name, POINTER(LinearStruct)) for name in DECODER_LINEARS),
        *((name, POINTER(NormStruct)) for name in DECODER_NORMS),
    ]


class DecoderStruct(Structure):
    """`IfwDecoder`."""

    _fields_ = [
        ("n_layers", c_int64),
        ("n_heads", c_int64),
        ("n_vocab", c_int64),
        ("n_text_positions", c_int64),
        ("layers", POINTER(DecoderLayerStruct)),
        ("token_embedding", c_void_p),
        ("positions", c_void_p),
        ("norm", POINTER(NormStruct)),
        ("type", c_int32),
        ("reserved", c_int32),
    ]


class DecodeCallStruct(Structure):
    """`IfwDecodeCall`."""

    _fields_ = [
        ("n_rows", c_int64),
        ("n_new", c_int64),
        ("token_ids", c_void_p),
        ("offsets", c_void_p),
        ("self_cache", c_void_p),
        ("self_strides", c_int64 * 4),
        ("cross_cache", c_void_p),
        ("cross_strides", c_int64 * 4),
        ("cross_scales", c_void_p),
        ("cross_scale_strides", c_int64 * 4),
        ("n_groups", c_int64),
        ("n_cross", c_int64),
        ("queries", c_void_p),
    ]


class TokenRulesStruct(Structure):
    """`IfwTokenRules`."""

    _fields_ = [
        ("n_vocab", c_int64),
        ("eot", c_int64),
        ("no_timestamps", c_int64),
        ("timestamp_begin", c_int64),
        ("n_begin_suppress", c_int64),
        ("begin_suppress", c_void_p),
    ]


class ChoiceCallStruct(Structure):
    """`IfwChoiceCall`."""

    _fields_ = [
        ("n_rows", c_int64),
        ("rows", POINTER(c_int64)),
        ("logits", c_void_p),
        ("logits_stride", c_int64),
        ("states", c_void_p),
        ("states_stride", c_int64),
        ("suppress", c_void_p),
        ("n_suppress", c_int64),
        ("suppress_begins", POINTER(c_int64)),
        ("tokens", POINTER(c_int64)),
        ("logprobs", POINTER(c_float)),
    ]


class ConvolutionStruct(Structure):
    """`IfwConvolution`."""

    _fields_ = [
        ("n_in", c_int64),
        ("n_out", c_int64),
        ("kernel", c_int32),
        ("stride", c_int32),
        ("weight", c_void_p),
        ("bias", c_void_p),
    ]


class BlockStruct(Structure):
    """`IfwBlock`."""

    _fields_ = [(name, POINTER(ConvolutionStruct)) for name in ("conv1", "conv2", "shortcut")]


class TrunkStruct(Structure):
    """`IfwTrunk`."""

    _fields_ = [
        ("n_rows", c_int64),
        ("n_blocks", c_int64),
        ("first", POINTER(ConvolutionStruct)),
        ("blocks", POINTER(BlockStruct)),
    ]


class ColumnNormStruct(Structure):
    """`IfwColumnNorm`."""

    _fields_ = [("weight", c_void_p), ("bias", c_void_p)]


class SincNetStruct(Structure):
    """`IfwSincNet`."""

    _fields_ = [
        ("stride", c_int64),
        ("norm_weight", c_float),
        ("norm_bias", c_float),
        ("epsilon", c_float),
        ("reserved", c_int32),
        ("even_filters", c_void_p),
        ("odd_filters", c_void_p),
        ("filter_sums", c_void_p),
        ("convolutions", POINTER(LinearStruct)),
        ("norms", POINTER(ColumnNormStruct)),
    ]


class VoiceNetworkStruct(Structure):
    """`IfwVoiceNetwork`."""

    _fields_ = [
        ("cosines", LinearStruct),
        ("sines", LinearStruct),
        ("highest", c_void_p),
        ("encoder", LinearStruct * 4),
        ("input_gates", LinearStruct),
        ("hidden_gates", LinearStruct),
        ("head", c_void_p),
        ("head_bias", c_float),
        ("reserved", c_int32),
    ]


class LstmDirectionStruct(Structure):
    """`IfwLstmDirection`."""

    _fields_ = [("input_gates", LinearStruct), ("hidden_gates", LinearStruct)]


class LstmStruct(Structure):
    """`IfwLstm`."""

    _fields_ = [
        ("n_layers", c_int64),
        ("n_directions", c_int64),
        ("width", c_int64),
        ("directions", POINTER(LstmDirectionStruct)),
    ]


class FilterBankStruct(Structure):
    """`IfwFilterBank`."""

    _fields_ = [
        ("n_bands", c_int64),
        ("preemphasis", c_float),
        ("reserved", c_int32),
        ("window", c_void_p),
        ("cosines", c_void_p),
        ("sines", c_void_p),
        ("weights", c_void_p),
        ("first_bins", c_void_p),
        ("n_bins", c_void_p),
    ]


class Int8VectorsStruct(Structure):
    """`IfwInt8Vectors`."""

    _fields_ = [
        ("numbers", c_void_p),
        ("scales", c_void_p),
        ("n_outer", c_int64),
        ("n_inner", c_int64),
        ("outer_stride", c_int64),
        ("inner_stride", c_int64),
    ]


class _KernelsStruct(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("panel", c_int64),
        ("lanes", c_int64),
        ("channels", c_int64),
        ("has_bfloat16", c_int64),
        ("packed_bytes", ctypes.CFUNCTYPE(c_int64, c_int64, c_int64, c_int32)),
        (
            "pack_linear",
            ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_int64, c_int32, c_void_p, c_void_p, c_void_p),
        ),
        (
            "linear",
            ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int64, c_int32),
        ),
        (
            "encoder_attention",
            ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_int32),
        ),
        (
            "decode_attention",
            ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_void_p),
        ),
        ("keep_int8", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_int32, c_int64, c_void_p)),
        ("decode", ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)),
        ("choose_tokens", ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p)),
        ("residual_trunk", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_int64, c_void_p)),
        ("sinc_net", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p)),
        ("filter_bank", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_void_p)),
        ("voice_network", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_void_p, c_void_p)),
        ("lstm", ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_int64, c_int64, c_void_p)),
        ("add_attention", ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_int64, c_void_p)),
        ("token_starts", ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_int64, c_void_p)),
    ]


Function = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """The kernels for one instruction set; the C functions are described in `native/interface.h`.

    Attributes:
        name: Of the instruction set.
        panel: Columns that are packed together.
        lanes: Floats of a vector.
        channels: Outputs of a convolution that are packed together.
        has_bfloat16: Whether it multiplies bfloat16; int8 and float32 it always does.
    """

    name: str
    panel: int
    lanes: int
    channels: int
    has_bfloat16: bool
    packed_bytes: Function
    pack_linear: Function
    linear: Function
    encoder_attention: Function
    decode_attention: Function
    keep_int8: Function
    decode: Function
    choose_tokens: Function
    residual_trunk: Function
    sinc_net: Function
    filter_bank: Function
    voice_network: Function
    lstm: Function
    add_attention: Function
    token_starts: Function

    def team(self) -> Team:
        """As many threads as torch has in the calling thread."""
        return Team(torch.get_num_threads())


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading the library.

    Attributes:
        kernels: For the instruction sets that this machine has, best first; none where the library is not there.
        reason: Why there are none, for people; empty where there are.
        could_be: Whether there could be kernels on this machine.
    """

    kernels: tuple[Kernels, ...]
    reason: str
    could_be: bool = True


@functools.cache
def load() -> Loaded:
    """Load the library, once in a process."""
    if not is_supported():
        return Loaded((), "there are native kernels for Linux on x86-64 only", could_be=False)
    if not LIBRARY.is_file():
        return Loaded((), "the native library was not built: install a C++ compiler and reinstall the package")
    try:
        library = ctypes.CDLL(str(LIBRARY))
        library.ifw_kernels_source.restype = c_char_p
        built_from = library.ifw_kernels_source().decode()
    except (OSError, AttributeError) as error:
        return Loaded((), f"the native library does not load: {error}")
    if built_from != source_hash():
        return Loaded((), "the native library was built from other sources: reinstall the package")
    library.ifw_kernels.restype = POINTER(_KernelsStruct)
    found: list[Kernels] = []
    while table := library.ifw_kernels(len(found)):
        found.append(_kernels(table.contents))
    return Loaded(tuple(found), "" if found else "this processor has no AVX2", could_be=bool(found))


def _kernels(table: _KernelsStruct) -> Kernels:
    members = {name: getattr(table, name) for name, *_ in _KernelsStruct._fields_}
    members |= {"name": table.name.decode(), "has_bfloat16": bool(table.has_bfloat16)}
    return Kernels(**members)
