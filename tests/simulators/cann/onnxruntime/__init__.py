"""A stand-in for the wheel onnxruntime-cann: the installed onnxruntime, found behind this folder on sys.path, and a CANN provider.

ASCEND_SIM_CANN=ok lets the provider work (the CPU computes); otherwise it falls back to the CPU, as the wheel does without CANN.
"""

import importlib.machinery
import os
import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
_rest = [entry for entry in sys.path if Path(entry or ".").resolve() != _here.parent]
_spec = importlib.machinery.PathFinder.find_spec("onnxruntime", _rest)
if _spec is None or _spec.origin is None:
    raise ImportError("the stand-in needs an installed onnxruntime behind it on sys.path")
__path__ = list(_spec.submodule_search_locations)
__file__ = _spec.origin
exec(compile(Path(__file__).read_text(encoding="utf-8"), __file__, "exec"))

__version__ = "1.24.4+simulated"
_CANN = "CANNExecutionProvider"
_OPTIONS = (
    *("device_id", "npu_mem_limit", "arena_extend_strategy", "enable_cann_graph", "enable_cann_subgraph", "dump_graphs"),
    *("dump_om_model", "precision_mode", "op_select_impl_mode", "optypelist_for_implmode"),
)
_real_providers, _RealSession = get_available_providers, InferenceSession  # noqa: F821 - the executed module defines them


def get_available_providers() -> list[str]:
    """Return the providers of this build, CANN first, whether or not it can work here."""
    return [_CANN, *_real_providers()]


class InferenceSession(_RealSession):
    """A session that says it runs on CANN when that is asked for and works."""

    def __init__(self, path_or_bytes, sess_options=None, providers=None, provider_options=None, **kwargs):
        entries = [entry if isinstance(entry, tuple) else (entry, {}) for entry in providers or []]
        if provider_options:
            entries = [(name, options) for (name, _), options in zip(entries, provider_options, strict=True)]
        self._cann = _CANN in dict(entries)
        if not self._cann:
            super().__init__(path_or_bytes, sess_options, providers, provider_options, **kwargs)
            return
        if unknown := [name for name in dict(entries)[_CANN] if name not in _OPTIONS]:  # the wording is not known
            raise RuntimeError(f'Unknown provider option: "{unknown[0]}".')
        if os.environ.get("ASCEND_SIM_CANN") != "ok":
            self._cann = False
            print("*************** EP Error ***************")
            print(
                f"EP Error Failed to load library libonnxruntime_providers_cann.so: libascendcl.so: cannot open file when using {providers}"
            )
            print("Falling back to ['CPUExecutionProvider'] and retrying.")
            print("****************************************")
        super().__init__(path_or_bytes, sess_options, ["CPUExecutionProvider"], **kwargs)

    def get_providers(self) -> list[str]:
        """Return the providers in use."""
        return [_CANN, "CPUExecutionProvider"] if self._cann else super().get_providers()
