"""Names that do not exist: which was probably meant, and which environment variables nobody reads."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

_OF_A_LINK = re.compile(r".*_SERVICE_(HOST|PORT(_\w+)?)|.*_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_LINKED_PORT = re.compile(r"(tcp|udp|sctp)://.+")


def unknown_name(name: str, what: str, known: Collection[str], prefix: str = "") -> str:
    """Says that there is no `what` of this name, and names the nearest known one, or all if none is near.

    All names begin with the prefix, which is not compared.
    """
    own, *names = (one.removeprefix(prefix) for one in (name, *known))
    near = get_close_matches(own, names, n=1, cutoff=0.6)
    if near:
        return f"is no {what}; did you mean {prefix}{near[0]}?"
    return f"is no {what}; there {'are ' + ', '.join(sorted(known)) if known else 'is none'}"


def unread_variables(environment: Mapping[str, str], prefix: str, known: Collection[str]) -> Iterator[str]:
    """The variables whose names begin with the prefix and are not among the known ones.

    Left out are those that Kubernetes and Docker set in a container beside a service whose name begins so.
    """
    for name, value in environment.items():
        variable = name.upper()
        if not variable.startswith(prefix) or variable in known or _OF_A_LINK.fullmatch(variable):
            continue
        if variable.endswith("_PORT") and _LINKED_PORT.fullmatch(value):
            continue
        yield name
