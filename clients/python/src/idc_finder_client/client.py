"""The client for programs; `idc` is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from idc_finder_client.credentials import resolve
from idc_finder_client.errors import ServerFailed
from idc_finder_client.images import fingerprint, images_of
from idc_finder_client.journal import Journal, Limits, Plan
from idc_finder_client.results import Results
from idc_finder_client.run import PATIENCE, Progress, Run
from idc_finder_client.transport import TRIES, Transport


class Client:
    """Speaks with one IDC Finder site.

    Server and token are those given, else IDC_SERVER and IDC_TOKEN, else those that `idc login` stored.

    Args:
        insecure: send the token over plain http to another machine.
        tries: how often a request is tried before the run gives up.

    Raises:
        WrongUse: no server is known, or its address cannot be used.
        NotAllowed: no token is known.
    """

    def __init__(
        self, server: str | None = None, token: str | None = None, *, insecure: bool = False, tries: int = TRIES
    ) -> None:
        self._transport = Transport(resolve(server, token, insecure=insecure), tries=tries)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def server(self) -> str:
        return self._transport.server

    def me(self) -> dict[str, Any]:
        """Whose token this is, its scopes, the limits and what is left of the day's patches. Raises IdcError."""
        return self._transport.get_json("me/")

    def predict(
        self,
        *inputs: str | Path,
        visibility: str = "private",
        um_per_pixel: float | None = None,
        forget: bool = False,
        concurrency: int = 4,
        journal: str | Path | None = None,
        report: Callable[[Progress], None] = lambda progress: None,
        patience: float = PATIENCE,
    ) -> Results:
        """Send a folder, a zip or files; return when each has its answer, in the order of the input.

        Args:
            visibility: private or public.
            um_per_pixel: the scale of the images, if known.
            forget: the site drops the pixels as soon as it has answered; private images alone.
            concurrency: how many requests are under way at once.
            journal: a file that lets the same call go on after an interruption. Remove it when the results are safe.
            report: called with the progress now and then.
            patience: how many seconds may pass without any new answer once all is sent.

        Raises:
            IdcError: the subclass says what kind. With a journal, the same call goes on from there.
        """
        options = {"visibility": visibility} | ({} if um_per_pixel is None else {"um_per_pixel": str(um_per_pixel)})
        options |= {"forget": "true"} if forget else {}
        with images_of([Path(one) for one in inputs]) as images:
            plan = Plan(self.server, fingerprint(images), options)
            self._transport.stop.clear()
            return Run(
                self._transport,
                Journal(Path(journal) if journal else None, plan, self._limits()),
                images,
                options=options,
                concurrency=concurrency,
                report=report,
                patience=patience,
            ).results()

    def _limits(self) -> Limits:
        try:
            limits = self.me()["limits"]
            return Limits(int(limits["images_per_request"]), int(limits["request_bytes"]), int(limits["image_bytes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ServerFailed(f"{self.server} does not say its limits. Is it an IDC Finder?") from error
