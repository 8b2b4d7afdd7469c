"""`python -m alignloop label`: serve the labeling pages, invite people, carry prompts in, demonstrations out, and rounds to other tools."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from alignloop import params as parameters
from alignloop.commands import label_exchange
from alignloop.data.record_files import read, write
from alignloop.labeling import accounts, demonstrations, rounds
from alignloop.labeling.database import Store, store_url
from alignloop.records import Prompt
from alignloop.web.settings import prepare

THINKING = 75  # seconds for which a labeler's browser may keep its connection while nothing is asked


def command(arguments: Sequence[str]) -> int:
    """Do what the command line asks; without a verb, serve."""
    asked = _parser().parse_args(arguments or ["serve"])
    params = parameters.load(Path("params.yaml"))
    store = Store(store_url(Path.cwd()))
    try:
        if asked.verb == "serve":
            _serve(store, params, asked)
        elif asked.verb == "invite":
            print(
                f"{params.people.url.rstrip('/')}/invitation/{accounts.invite(store, asked.name, asked.role, 'command line')}"
            )
        elif asked.verb == "export":
            label_exchange.export(store, prepare(store, params, Path.cwd()), asked)
        elif asked.verb == "import":
            label_exchange.bring(store, asked)
        elif asked.verb == "publish-prompts":
            chosen = read(asked.file, Prompt)[: asked.limit]
            print(f"{demonstrations.publish(store, chosen)} prompts wait for a demonstration")
        else:
            with store.reading() as session:
                print(f"{write(asked.file, demonstrations.written(session))} demonstrations in {asked.file}")
    finally:
        store.close()
    return 0


def _serve(store: Store, params: parameters.Params, asked: argparse.Namespace) -> None:
    import uvicorn

    from alignloop.web.app import create_app
    from alignloop.web.pipeline_trigger import Continuation

    settings = prepare(store, params, Path.cwd())
    place = urlsplit(settings.url)
    port = asked.port or place.port or (443 if place.scheme == "https" else 80)
    with store.reading() as session:
        known, waiting = accounts.administrators(session), rounds.open_rounds(session)
    print(
        f"labeling pages on {settings.url}, store {store.name}, guidelines {settings.version}",
        file=sys.stderr,
    )
    print(f"rounds that wait: {', '.join(each.id for each in waiting) or 'none'}", file=sys.stderr)
    if not known:
        secret = accounts.invite(store, "labeler-admin", "admin", "command line")
        print(
            f"no administrator yet; come in by {settings.url.rstrip('/')}/invitation/{secret}",
            file=sys.stderr,
            flush=True,
        )
    app = create_app(store, settings)
    with Continuation(store, asked.then, Path(".cache", "continue.log")):
        serve = {
            "server_header": False,
            "proxy_headers": False,
            "access_log": False,
            "ws": "none",
            "lifespan": "off",
        }
        uvicorn.run(
            app, host=asked.host, port=port, log_level="warning", timeout_keep_alive=THINKING, **serve
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop label", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve the pages; the default")
    serve.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; other than loopback, put TLS in front"
    )
    serve.add_argument("--port", type=int, help="the port to listen on; people.url's by default")
    serve.add_argument(
        "--then",
        default=f"{sys.executable} -m flows.pipeline",
        help="what continues the loop; '' for nothing",
    )
    invite = verbs.add_parser("invite", help="make a personal link")
    invite.add_argument("name")
    invite.add_argument("--role", choices=("labeler", "reviewer", "admin"), default="labeler")
    prompts = verbs.add_parser("publish-prompts", help="offer prompts to be answered")
    prompts.add_argument("file", type=Path)
    prompts.add_argument("--limit", type=int)
    label_exchange.add_verbs(verbs)
    out = verbs.add_parser("export-demonstrations", help="write what labelers demonstrated, for data/sources")
    out.add_argument("file", type=Path)
    return parser
