"""Calls a service by the client that openapi-python-client generated: `call_python_client.py URL FOLDER`.

Runs in .venv-clients; prints what was answered as JSON.
"""

import json
import sys

base_url, folder = sys.argv[1:]
sys.path.insert(0, folder)

from pymk_client import Client  # type: ignore[import-not-found]  # noqa: E402  # generated
from pymk_client.api.operation import get_health_ready  # type: ignore[import-not-found]  # noqa: E402
from pymk_client.api.people import (  # type: ignore[import-not-found]  # noqa: E402
    get_recommendations,
    get_user,
    post_events,
    post_recommendations,
    put_user,
)
from pymk_client.models import (  # type: ignore[import-not-found]  # noqa: E402
    BatchRequest,
    PostEventsBodyItem,
    PostEventsBodyItemKind,
    PutUserBody,
)

client = Client(base_url=base_url)
ready = get_health_ready.sync(client=client)
first = get_recommendations.sync(client=client, user_id="cid", limit=1, cursor="", fields="name")
second = get_recommendations.sync(client=client, user_id="cid", limit=1, cursor=first.next_)
many = post_recommendations.sync(client=client, body=BatchRequest(user_ids=["cid", "nobody"], limit=2, context="email"))
put = put_user.sync(client=client, user_id="a/b c", body=PutUserBody.from_dict({"name": "Ann", "company": "Acme"}))
profile = get_user.sync(client=client, user_id="a/b c")
events = [PostEventsBodyItem(kind=PostEventsBodyItemKind.DISMISS, user_id="cid", other_id="gus")]
accepted = post_events.sync(client=client, body=events)
after = get_recommendations.sync(client=client, user_id="cid")
wrong = get_recommendations.sync_detailed(client=client, user_id="cid", context="moon")
print(  # noqa: T201  # what this command is for
    json.dumps(
        {
            "ready": ready.status,
            "first": [(one.user_id, one.profile.to_dict()) for one in first.recommendations],
            "second": [one.user_id for one in second.recommendations],
            "many": [(one.user_id, one.served, len(one.recommendations)) for one in many.lists],
            "put": put.accepted,
            "profile": profile.to_dict(),
            "accepted": accepted.accepted,
            "after": [one.user_id for one in after.recommendations],
            "wrong": [wrong.status_code, wrong.parsed.status, wrong.parsed.errors[0].parameter],
        }
    )
)
