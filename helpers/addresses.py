"""Addresses such as s3://bucket/val in the place of a path: which texts are one, which are refused, and whether there is anything."""

import re
import threading
from concurrent.futures import Future

import fsspec

from helpers.errors import ParameterError, UserError, first_line
from helpers.remote import Address, said

FORM = re.compile(r"([A-Za-z][\w.+-]*)://(.*)", re.DOTALL)
LOCAL = re.compile(r"(?:file|local)://")
CONTAINERS = ("abfs", "abfss")  # container@account is a place there, no user
ANSWER_SECONDS = 60  # then a store is taken for dead; its package may try for ten minutes


def is_one(images: str) -> bool:
    """Return whether this is an address in a store, not a local path or a file:// address."""
    return bool(FORM.match(images)) and not LOCAL.match(images)


def local(images: str) -> str:
    """Return the path of a file:// address, and anything else as it is."""
    return LOCAL.sub("", images, count=1)


def checked(images: str) -> str:
    """Return the same; ValueError for an address that holds what records and pages must not show."""
    if not is_one(images):
        return images
    protocol, place = FORM.match(images).groups()
    host = place.partition("/")[0]
    if "::" in place:
        raise ValueError("addresses within addresses (::) are not read: give the folder or the archive itself")
    user = "@" in place and (":" in host or ("@" in host and protocol not in CONTAINERS))
    if user or re.search(r"[?#]", place):
        raise ValueError(
            "an address with a user, a key or a query is refused, since records and pages show it: give it without, and the key where the "
            "store's package looks for one (environment variables, its own file, ~/.config/fsspec)"
        )
    return images


def existing(images: str) -> Address:
    """Return the address of a folder or file that is there; ParameterError where there is none or nothing here can read it.

    A store that does not answer is a UserError.
    """
    address, protocol = Address(images), FORM.match(images)[1]
    if protocol not in fsspec.available_protocols():
        raise ParameterError(f"images: {protocol}:// is unknown to fsspec: give a path, or an address such as s3://bucket/val.")
    try:
        _ask(address)
    except ImportError as error:
        raise ParameterError(f"images: {protocol}:// needs a package that is not installed ({first_line(error)}): install it.") from error
    except FileNotFoundError as error:
        why = f" ({said(error.__cause__)})" if error.__cause__ else ""  # of HTTP, whatever went wrong
        raise ParameterError(f"images: {images} does not exist{why}: correct the address.") from error
    except PermissionError as error:
        raise ParameterError(f"images: {images} may not be read ({said(error)}): ask for the right to.") from error
    return address


def _ask(address: Address) -> None:
    """Ask a store what it has at an address; in a thread that can be left waiting, and that the process ends with."""
    answer: Future = Future()

    def ask() -> None:
        try:
            answer.set_result(address.info())
        except Exception as error:  # raised below, in the thread of who asks
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(ANSWER_SECONDS)
    except TimeoutError as error:
        raise UserError(f"{address.text} gives no answer in {ANSWER_SECONDS} s: check the address and the connection.") from error
