"""`make demo`: the main job on example images, from two OCI layouts to a remote that a client can install from.

Each step is the command that an operator would type, shown before it runs.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from demo import client
from demo.images import APPLICATION, RUNTIME, DemoError, write_application, write_runtime

FOLDER = Path("build/demo")
CONFIG = FOLDER / "flatdex.yaml"
_PORT = 8080
_FLATDEX = Path(sys.executable).with_name("flatdex")
_CONFIG = f"""\
store: ./store
remote:
  name: demo
  title: The flatdex demo
  url: http://127.0.0.1:{_PORT}/
sources:
  local:
    layouts: ["./images/*"]         # their blobs become files of the site: no registry is needed
indexes:
  defaults: {{architectures: [amd64, arm64]}}
  stable: {{tags: [latest]}}
languages: [en, de]                 # web pages: the first at /, each other at /LANGUAGE/
targets:
  web: {{rsync: ./web}}               # a folder here; on a real site a web server: {{rsync: "web1:/srv/flatpaks"}}
"""
_NEXT = f"""
The remote is in {FOLDER}/store, its configuration is {CONFIG}. To look at it:

    make serve

and open http://127.0.0.1:{_PORT}/ in a browser; then, in another terminal, with the real client:

    flatpak remote-add --user --from demo http://127.0.0.1:{_PORT}/demo.flatpakrepo
    flatpak install --user demo {APPLICATION}
    flatpak run {APPLICATION}

and to take the remote away again:

    flatpak uninstall --user {APPLICATION} {RUNTIME} && flatpak remote-delete --user demo
"""


def main() -> int:
    """Runs the demo from the checkout's folder."""
    try:
        _demo()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(_NEXT)
    return 0


def _demo() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    images = FOLDER / "images"
    images.mkdir(parents=True)
    CONFIG.write_text(_CONFIG)
    _step("two example images, a runtime and an application, as OCI layouts in build/demo/images")
    write_runtime(images)
    write_application(images, version="1.0", created="2026-11-01T09:00:00Z")
    _flatdex("check", "--online")
    _flatdex("build")
    _flatdex("promote")
    _step("a new version of the application")
    write_application(images, version="1.1", created="2026-11-02T09:00:00Z")
    _flatdex("publish")
    _flatdex("list")
    _flatdex("verify")
    _step("ask the preview server as a client does")
    print(client.ask(_FLATDEX, CONFIG), flush=True)
    _step("have a doctor look at it, who finds nothing of weight")
    with client.serving(_FLATDEX, CONFIG) as url:
        _flatdex("doctor", "--public", f"http://127.0.0.1:{_PORT}/", url)


def _step(text: str) -> None:
    print(f"\n# {text}", flush=True)


def _flatdex(*words: str) -> None:
    print(f"\n$ flatdex {' '.join(words)}", flush=True)
    subprocess.run([_FLATDEX, "-c", CONFIG, *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
