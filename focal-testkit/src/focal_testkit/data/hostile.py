"""Payloads that naive backends refuse, alter or execute."""

from __future__ import annotations

from typing import Any

TEXTS: dict[str, str] = {
    "nul": "before\x00after",
    "lone_surrogate": "half \ud83d pair",
    "codec_introducer": "\ue0f0 and \ue0f00041 are text",
    "noncharacter": "\ufffe\uffff",
    "combining": "e\u0301 is not \u00e9 here",
    "zero_width_joiner": "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "right_to_left": "abc \u202edcba\u202c \u05e9\u05dc\u05d5\u05dd",
    "trailing_space": " leading, trailing and newline \n",
    "sql": "'; DROP TABLE turns; -- $1 %s \\' \"",
    "search_operators": "100% _ * ? & | ! ( ) : <-> a:b",
    "format": "{0} {tenant_id} %(name)s ${HOME} KEYS[1]",
    "controls": "a\x07\x1b[31mred\x7f\x85",
    "one_mebibyte": "x" * 1_048_576,
}
"""Free text, by name: stored and returned to the letter."""

DOCUMENTS: dict[str, Any] = {
    "big_integer": {"n": 2**63, "m": -(2**70)},
    "float_is_not_int": {"f": 1.0, "i": 1, "e": 1e16, "z": -0.0, "tiny": 5e-324},
    "bool_is_not_int": {"t": True, "one": 1, "f": False, "zero": 0, "none": None},
    "awkward_keys": {"": 1, "$ref": 2, "__class__": 3, "__proto__": 4, "lc": 5, "a.b": 6, "a'b\"": 7},
    "awkward_text": {"nul": "\x00", "surrogate": "\udfff", "introducer": "\ue0f0"},
    "deep": {"d": [[[[[[[[[[[[[[[[[[[[{"x": []}]]]]]]]]]]]]]]]]]]]]},
    "empty": {"list": [], "dict": {}, "text": ""},
}
"""JSON objects, by name: stored and returned with every type kept."""

REFUSED_NUMBERS: dict[str, float] = {"nan": float("nan"), "infinity": float("inf"), "minus_infinity": float("-inf")}
"""Numbers no JSON document may hold."""

IDENTIFIERS: dict[str, str] = {
    "colon": "a:b",
    "braces": "}{",
    "hash_tag": "{x}",
    "star": "*",
    "dots": "../..",
    "percent": "100%_",
    "quotes": "o'neil\"s",
    "longest": "n" * 255,
    "accents": "\u00c5ngstr\u00f6m",
    "emoji": "\U0001f600",
    "spaces": "two  words",
}
"""Names and keys every backend must take as they are."""

REFUSED_IDENTIFIERS: dict[str, str] = {
    "empty": "",
    "blank": " \t",
    "nul": "a\x00b",
    "newline": "a\nb",
    "c1_control": "a\x85b",
    "lone_surrogate": "a\ud800",
    "too_long": "n" * 256,
}
"""Names and keys every model refuses."""
