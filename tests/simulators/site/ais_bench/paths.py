"""What the fourth generation refuses to read or write."""

import argparse
import os
import re
import stat
from pathlib import Path

_OM_BYTES = 10 * 1024**3


class OpenException(Exception):
    """A file inside an input folder is refused."""


def _refused(path: str, writing: bool = False) -> str | None:
    """Return what the real tool logs about this path, or None when it is fine."""
    if re.search(r"[^_A-Za-z0-9/.-]", path):
        return f"path:{path} contains illegal char, legal chars include A-Z a-z 0-9 _ - / ."
    if not os.path.exists(path):
        return None if writing else f"path: {path} not exist, please check if file or dir is exist"
    if os.path.islink(path):
        return f"path :{path} is a soft link, not supported, please import file(or directory) directly"
    facts = os.stat(path)
    if facts.st_uid != os.geteuid() and facts.st_gid not in os.getgroups():
        return f"current user isn't path:{path}'s owner or ownergroup"
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"The file {path} is group writable, or is others writable"
    return None


def _check(path: str, kind: str, writing: bool = False) -> None:
    if reason := _refused(path, writing):
        print(f"[ERROR] {reason}", flush=True)
        raise argparse.ArgumentTypeError(f"{kind} path:{path} is illegal. Please check.")


def om_path(path: str) -> str:
    """Check --model."""
    _check(path, "om")
    if not os.path.isfile(path) or Path(path).suffix != ".om" or os.path.getsize(path) > _OM_BYTES:
        print(f"[ERROR] path:{path}, file type not in ['om']", flush=True)
        raise argparse.ArgumentTypeError(f"om path:{path} is illegal. Please check.")
    return path


def input_path(value: str) -> str:
    """Check every path of --input."""
    for path in value.split(","):
        _check(path, "input")
    return value


def output_path(path: str) -> str:
    """Check --output, which need not exist."""
    _check(path, "output", writing=True)
    return path


def input_file(path: str) -> None:
    """Check one file of an input folder."""
    if reason := _refused(path):
        raise OpenException(reason)
