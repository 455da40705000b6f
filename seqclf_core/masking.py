"""Hides credentials in texts: the one place through which goes what is printed, logged, journaled or tagged.

A secret is known by where it stands: before the ``@`` of an address, behind a name such as ``password`` or
``api_key``, or behind ``Bearer``. Elsewhere in a text nothing can know that a word is secret. Where it is not
clear how far a secret goes, too much is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "***"

WORDS = {
    *("password", "passwd", "pwd", "passphrase", "passcode", "secret", "token", "sig", "signature"),
    *("credential", "credentials", "apikey", "jwt", "sas", "authorization"),
}
"""A name whose last word is one of these names a secret."""
ENDS = ("apikey", "accesskey", "accesskeyid", "secretkey", "privatekey", "sharedkey", "accountkey", "authkey")
"""So does a name that ends like this, once its words are put together."""
STARTS = ("xamz", "xgoog")
"""And one that begins like this: parameters of addresses that are signed."""

_SCHEME = re.compile(r"[a-z][\w+.-]*(?P<sep>://|%3A%2F%2F)", re.I)
_USER = re.compile(r"[^\s/?#\"'<>]*@")
_PORT = re.compile(r"[^\s/:@]+:\d+(?:[/?#\s\"',;)]|$)")
_ODD_PASSWORD = re.compile(r"[^\s/:@]*:.*@(?=[\w\[])")
_ODD_NUMBER = re.compile(r"[^\s/:@]*:[^\s@]*@(?=[\w\[])")
_ENCODED_USER = re.compile(r"(?:(?!%2F|%3F|%23)[^\s/?#\"'<>&])*%40", re.I)
_BARE_USER = re.compile(r"(?<![\w/@:.-])[\w.+-]+:[^\s:@/\"'<>]+@(?=[\w-]+[.:/\w-])")
_NAME = re.compile(
    r"""(?:(?<![\w-])|(?<=%3F)|(?<=%26))(?P<name>-{0,2}[a-z_][\w.-]*)(?P<sep>\\?["']?\s*(?:=|:|%3D)\s*)""", re.I
)
_VALUE = re.compile(r"""\\?"[^"]*"|'[^']*'|(?:(?!%26)[^\s&;,"'<>)\]}])+""", re.I)
_OPTION = re.compile(r"(?P<name>--[a-z][\w.-]*)(?P<sep>\s+)(?P<value>[^\s-]\S*)", re.I)
_BEARER = re.compile(r"\b(?P<how>Bearer|Authorization:?\s+\w+|Proxy-Authorization:?\s+\w+)\s+[^\s\"',;]+", re.I)


def mask(text: str) -> str:
    """Hide credentials in a text.

    >>> mask("cannot reach https://ann:secret@tracker.org/api?token=abc")
    'cannot reach https://***@tracker.org/api?token=***'
    """
    text = _BEARER.sub(rf"\g<how> {HIDDEN}", text)
    text = _BARE_USER.sub(f"{HIDDEN}@", _without_users(text))
    return _OPTION.sub(_option, _without_named(text))


def mask_all(value: object) -> object:
    """Hide credentials in all texts of a tree of mappings, sequences and plain values."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if isinstance(each, str) and each and is_secret(str(name)) else mask_all(each)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask_all(each) for each in value]
    return value


def is_secret(name: str) -> bool:
    """Whether what stands behind a name is secret.

    >>> [name for name in ("db_password", "apiKey", "X-Amz-Date", "tokens_per_second", "key") if is_secret(name)]
    ['db_password', 'apiKey', 'X-Amz-Date']
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
    joined = "".join(words)
    return bool(words) and (words[-1] in WORDS or joined.endswith(ENDS) or joined.startswith(STARTS))


def _option(found: re.Match[str]) -> str:
    return f"{found['name']}{found['sep']}{HIDDEN}" if is_secret(found["name"]) else found[0]


def _without_named(text: str) -> str:
    """Hide what stands behind a name that says that it is secret."""
    parts, done = [], 0
    for found in _NAME.finditer(text):
        # `key` alone names a secret in an address only.
        in_address = found["name"].lower() in ("key", "code", "auth") and text[found.start() - 1] in "?&;"
        value = _VALUE.match(text, found.end()) if is_secret(found["name"]) or in_address else None
        if value is None or found.start() < done:
            continue
        quote = next((each for each in ('\\"', '"', "'") if value[0].startswith(each)), "")
        parts += [text[done : found.end()], quote, HIDDEN, quote]
        done = value.end()
    return "".join([*parts, text[done:]])


def _without_users(text: str) -> str:
    """Hide what stands between the scheme of an address and the ``@`` before its host."""
    parts, done = [], 0
    schemes = list(_SCHEME.finditer(text))
    for index, scheme in enumerate(schemes):
        if scheme.end() < done:
            continue
        end = schemes[index + 1].start() if index + 1 < len(schemes) else len(text)
        line = text.find("\n", scheme.end(), end)
        rest = text[scheme.end() : end if line < 0 else line]
        if scheme["sep"] == "://":
            user = _USER.match(rest)
            if user is None:
                user = _ODD_NUMBER.match(rest) if _PORT.match(rest) else _ODD_PASSWORD.match(rest)
            at = "@"
        else:
            user, at = _ENCODED_USER.match(rest), "%40"
        if user:
            parts += [text[done : scheme.end()], HIDDEN, at]
            done = scheme.end() + user.end()
    return "".join([*parts, text[done:]])
