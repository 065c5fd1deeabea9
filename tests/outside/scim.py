"""Runs scim2-tester as its documentation shows it: it creates, reads, replaces, patches and deletes users and groups by the server's schemas.

BASE is the SCIM base URL, KEY a token that may manage users and groups. Prints `ok`, or the findings that are not listed here.
"""

import os
import random
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

env = os.environ
GOOD = {Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE}


def only_named(result):
    """Whether a member was returned as it was sent, with its display name added."""
    sent, returned = ([member.model_dump() for member in result.data[which]] for which in ("expected", "modify_actual"))
    return sent == [{name: value for name, value in member.items() if name != "display"} for member in returned]


# Findings of the tester that are intended: resource type, check, attribute, a test that recognises the finding, and the reason.
# A finding that no longer occurs has to be removed from this list.
ON_PURPOSE = [
    (
        "Group",
        check,
        "members",
        only_named,
        "The tester wants back what it sent, and nothing else. We add `display`, as the group of RFC 7643 section 8.4 has it: our schema says "
        "that it is readOnly, so it is not the client's to say (section 7).",
    )
    for check in ("check_add_attribute", "check_replace_attribute")
]


def on_purpose(result):
    """The index of the listed finding; none if it is an error."""
    urn = result.data.get("urn", "") if isinstance(result.data, dict) else ""
    for place, (resource_type, check, attribute, is_it, _) in enumerate(ON_PURPOSE):
        if (result.resource_type, result.title) == (resource_type, check) and urn.split(":")[-1] == attribute and is_it(result):
            return place
    return None


# Deterministic values.
random.seed(1)
with Client(base_url=env["BASE"], headers={"Authorization": f"Bearer {env['KEY']}"}, timeout=30) as http:
    results = check_server(SyncSCIMClient(http))
happened, wrong = set(), []
for result in results:
    if result.status in GOOD:
        continue
    place = on_purpose(result) if result.status is Status.ERROR and result.data else None
    if place is None:
        wrong.append(f"{result.status.name} {result.resource_type} {result.title}: {result.reason}")
    happened.add(place)
wrong += [f"does not happen any more: {listed[:3]}" for place, listed in enumerate(ON_PURPOSE) if place not in happened]
# The tester checks users and groups only if discovery succeeded before.
if not {"User", "Group"} <= {result.resource_type for result in results}:
    wrong.append("users or groups were not looked at")
print("\n".join(wrong) or "ok")
sys.exit(bool(wrong))
