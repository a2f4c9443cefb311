"""`make run`: the whole site on this machine, from a bare clone. Ctrl-C stops everything.

Starts PostgreSQL and Valkey (unless DATABASE_URL and REDIS_URL name others), sets the database up, and
supervises web, worker and chores. What it started with is in var/local.env while it runs, so that plain
`manage.py` in the same folder uses the same database and key.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

from honcho.manager import Manager

from idc_site.local_services import running_services

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"


def main() -> int:
    port = os.environ.get("PORT", "8000")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        print(f"PORT must be a number from 1 to 65535, not {port!r}.", file=sys.stderr)
        return 2
    if not _is_free(int(port)):
        print(f"Port {port} is taken, perhaps by this very site. Stop it, or: make run PORT=8001", file=sys.stderr)
        return 2
    # A stop by `kill` is as orderly as one by Ctrl-C, also while the services start.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    VAR.mkdir(exist_ok=True)
    local_environment = VAR / "local.env"
    lock = (VAR / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("The site runs in this folder already. Stop it first.", file=sys.stderr)
        return 2
    with lock, running_services(VAR, is_lasting=True) as services:
        environment = {
            "SECRET_KEY": os.environ.get("SECRET_KEY") or _lasting_key(),
            "SITE_URL": os.environ.get("SITE_URL") or f"http://127.0.0.1:{port}",
            **services,
        }
        local_environment.touch(mode=0o600)
        local_environment.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
        try:
            return _run(port, os.environ | environment | {"PATH": _path()})
        finally:
            local_environment.unlink(missing_ok=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _run(port: str, environment: dict[str, str]) -> int:
    for command in ("setup -v 0", "collectstatic --noinput -v 0"):
        done = subprocess.run([sys.executable, "manage.py", *command.split()], cwd=BASE_DIR, env=environment)
        if done.returncode:
            return done.returncode
    manager = Manager()
    for name, command in procfile().items():
        manager.add_process(name, f"exec {command}", env=environment | {"PORT": port}, cwd=str(BASE_DIR))
    print(f"\nIDC Finder: http://127.0.0.1:{port}   (Ctrl-C stops it)\n", flush=True)
    manager.loop()
    return 0 if manager.returncode in (130, 143) else manager.returncode or 0


def procfile() -> dict[str, str]:
    """Process name -> command, as production runs them too."""
    lines = (BASE_DIR / "Procfile").read_text().splitlines()
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in pairs}


def _lasting_key() -> str:
    """Made once: sessions and signed links survive a restart."""
    path = VAR / "secret-key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


if __name__ == "__main__":
    sys.exit(main())
