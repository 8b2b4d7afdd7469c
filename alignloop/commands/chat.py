"""`python -m alignloop chat`: serve the chat page and the OpenAI-compatible API; create, list, revoke keys;
export what people said with their consent.

SIGTERM and Ctrl-C end it gently: no new request is taken, and responses have `serving.drain_seconds` to end.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from alignloop import params as parameters
from alignloop.commands import chat_export
from alignloop.labeling import accounts, api_keys, consent
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.params import Params
from alignloop.rules.rule_file import FILE, load_rules
from alignloop.web.addresses import PROXIED_CHAT_PORT, listening_port
from alignloop.web.server_options import SERVER_OPTIONS


def command(arguments: Sequence[str]) -> int:
    """Run the verb of the command line; the default is to serve."""
    options = _parser().parse_args(_with_verb(arguments))
    database = LabelingDatabase(database_url(Path.cwd()))
    try:
        if options.verb == "serve":
            _serve(database, parameters.load(Path("params.yaml")), options)
        elif options.verb == "create-key":
            scopes = options.scopes or list(api_keys.OF_PROGRAMS)
            key = api_keys.create(database, options.name, scopes, options.per_minute, options.per_day)
            print(key)
            print(f"the key {options.name}, for {', '.join(scopes)}; it is shown this once", file=sys.stderr)
        elif options.verb == "export":
            found = chat_export.collect(database, parameters.load(Path("params.yaml")))
            print("\n".join(chat_export.write(found, options.out)))
        elif options.verb == "revoke-key":
            api_keys.revoke(database, options.name)
            print(f"{options.name} is not valid any more")
        else:
            _print_keys(database)
    finally:
        database.close()
    return 0


def _with_verb(arguments: Sequence[str]) -> Sequence[str]:
    is_option = bool(arguments) and arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")
    return ["serve", *arguments] if is_option or not arguments else arguments


def _print_keys(database: LabelingDatabase) -> None:
    with database.reading() as session:
        keys = api_keys.all_keys(session)
    for key in keys:
        limits = [
            f"{limit:,} a {window}"
            for window, limit in (("minute", key.per_minute), ("day", key.per_day))
            if limit is not None
        ]
        state = "revoked" if key.revoked else f"{', '.join(limits) or 'no limit'}"
        made = time.strftime("%Y-%m-%d", time.gmtime(key.created))
        print(f"{key.name:24} {made}  {', '.join(key.scopes)}; {state}")


def _serve(database: LabelingDatabase, params: Params, options: argparse.Namespace) -> None:
    rules = load_rules(FILE)
    print("loading the model", file=sys.stderr, flush=True)
    import torch  # noqa: F401  make_deterministic sets up what is imported
    import transformers  # noqa: F401
    import uvicorn

    from alignloop.determinism import make_deterministic
    from alignloop.serving.engine import EngineSettings
    from alignloop.serving.model_pool import ModelPool
    from alignloop.serving.open_models import open_models
    from alignloop.serving.served_tools import ServedTools
    from alignloop.web.chat_app import create_chat_app

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("alignloop").setLevel(logging.INFO)
    make_deterministic(params, "serving")
    plan = params.serving
    statement = consent.read_statement(Path.cwd(), plan.consent, plan.feedback_licence)
    consent.record_statement(database, statement)
    pool = ModelPool(
        open_models(Path.cwd(), params.release.registry, plan),
        EngineSettings(plan.max_running, plan.max_waiting, plan.batch_tokens),
        standard=plan.model,
        most_loaded=plan.most_loaded,
        refresh_seconds=plan.refresh_seconds,
        candidate=plan.candidate_name,
        tools=partial(ServedTools, params.tools, root=Path.cwd()) if params.tools.functions else None,
    )
    pool.start()
    port = options.port or listening_port(plan.url, PROXIED_CHAT_PORT)
    known = {name: version for version in pool.versions() for name in version.names}
    if plan.model in known:
        print(f"{plan.model} is {known[plan.model].name}", file=sys.stderr)
    else:
        print(f"{plan.model} is not registered yet: `make run` makes it; then it is served", file=sys.stderr)
    print(f"chat     {plan.url}/chat", file=sys.stderr)
    if params.tools.functions:
        print(f"tools    {', '.join(each.function for each in params.tools.functions)}", file=sys.stderr)
    how = "without a key from this machine" if plan.open_on_loopback else "chat create-key NAME makes a key"
    print(f"API      {plan.url}/v1, {how}", file=sys.stderr, flush=True)
    if link := accounts.administrators_link(database, plan.url):
        print(link, file=sys.stderr, flush=True)
    app = create_chat_app(database, plan, pool, rules, statement)
    app.state.history.start()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=options.host,
            port=port,
            timeout_graceful_shutdown=int(plan.drain_seconds),
            **SERVER_OPTIONS,
        )
    )
    try:
        server.run()
    except KeyboardInterrupt:  # raised again by uvicorn once the responses have ended
        print("chat: has ended", file=sys.stderr)
    finally:
        pool.close()
        app.state.history.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop chat", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve the page and the API (default)")
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; for other than loopback, put TLS in front",
    )
    port_help = "the port (default: that of serving.url; 4400 if it is https)"
    serve.add_argument("--port", type=int, help=port_help)
    create = verbs.add_parser("create-key", help="create a key of the API, and print it")
    create.add_argument("name")
    create.add_argument(
        "--scopes",
        nargs="+",
        choices=api_keys.SCOPES,
        help="what it may do (default: models chat completions)",
    )
    create.add_argument("--per-minute", type=_count, help="requests a minute (default: no limit)")
    create.add_argument("--per-day", type=_count, help="requests a day (default: no limit)")
    out = verbs.add_parser("export", help="write what people said, with their consent, as sources")
    out.add_argument("out", type=Path, help="a folder of its own, data/sources/chat for instance")
    verbs.add_parser("keys", help="list the keys")
    revoke = verbs.add_parser("revoke-key", help="make a key invalid")
    revoke.add_argument("name")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)
