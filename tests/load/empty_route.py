"""The yardstick: an empty FastAPI route in its own uvicorn, as lean as such a thing is served.

    python tests/load/empty_route.py PORT

One worker, uvloop and httptools, no middleware, no access log. Speeds of the service are told as shares of this one's,
measured in the same minute, so that they mean the same on any machine.
"""

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def empty() -> dict[str, str]:
    """Nothing."""
    return {}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )
