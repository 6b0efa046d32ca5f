"""``stylerig studio``: the interactive rig in the browser."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylerig_fast.commands.options import EngineOptions
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    from stylerig_fast.studio.serve import Address

NEEDS = ("fastapi", "uvicorn", "websockets")


@dataclass(kw_only=True)
class StudioCommand(EngineOptions):
    """Open the studio: drag the face model and the light, and the portrait follows."""

    host: str = "127.0.0.1"
    """Name or address to serve on; 0.0.0.0 lets other machines in, and then a token is needed."""
    port: int = 8770
    """TCP port; 0 takes a free one."""
    token: str | None = None
    """What clients must know, at least 16 characters; auto makes one and prints it."""
    allow_host: tuple[str, ...] = ()
    """Further host names that browsers may call the studio by, for example of a reverse proxy."""
    preview: int | None = None
    """Pixels of a picture's side while dragging: 256, on a GPU the full size, unless given."""
    open: bool = True
    """Open the page in a browser once it answers."""

    def run(self) -> None:
        missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
        if missing:
            raise BackendUnavailable(
                f"the studio needs {', '.join(missing)}; install them with: pip install 'stylerig-fast[studio]'"
            )
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port {self.port}: expected 0 to 65535")
        from stylerig_fast.studio.serve import checked_token, listen, serve

        # Mistakes that are quick to find come before the weights are read.
        token = checked_token(self.host, self.token)
        listen(self.host, self.port).close()
        serve(
            self.open_engine(),
            host=self.host,
            port=self.port,
            token=token,
            names=self.allow_host,
            preview=self.preview,
            ready=self._ready,
        )

    def _ready(self, address: Address) -> None:
        from stylerig_fast.studio.serve import open_browser

        if self.json:
            print(json.dumps({"url": address.url, "token": address.token}), flush=True)
        else:
            print(f"The studio is at {address.entrance}\nCtrl-C ends it.", flush=True)
        if self.open:
            open_browser(address)
