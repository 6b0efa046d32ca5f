"""JSON of files that anybody may have written: RFC 8259 and numbers that fit, or a ValueError.

Python's reader also takes NaN and Infinity, reads integers of any length, and ends deep nesting with a RecursionError.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def loads(content: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON, nested too deeply, or a number is NaN, infinite or an integer of more than 64 bits.
    """
    try:
        return json.loads(content, parse_constant=_refused, parse_int=_integer, parse_float=_real)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _integer(text: str) -> int:
    if len(text) > 21 or abs(int(text)) >= 1 << 64:  # a sign and 20 digits
        raise ValueError(f"the integer {text[:20]}… has more than 64 bits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value
