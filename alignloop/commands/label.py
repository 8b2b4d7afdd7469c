"""`python -m alignloop label`: serve the labeling pages, invite people, publish prompts, state hours."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alignloop import params as parameters
from alignloop.commands import label_exchange
from alignloop.data.record_files import read, write
from alignloop.labeling import accounts, demonstrations, rounds, workload
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.records import Prompt
from alignloop.web.addresses import listening_port
from alignloop.web.server_options import SERVER_OPTIONS
from alignloop.web.settings import prepare_settings


def command(arguments: Sequence[str]) -> int:
    """Run the verb of the command line; the default is to serve the pages."""
    options = _parser().parse_args(arguments or ["serve"])
    params = parameters.load(Path("params.yaml"))
    database = LabelingDatabase(database_url(Path.cwd()))
    try:
        if options.verb == "serve":
            _serve(database, params, options)
        elif options.verb == "invite":
            name = accounts.account_name(options.name)
            secret = accounts.invite(database, name, options.role, "command line")
            print(f"{params.people.url.rstrip('/')}/invitation/{secret}")
            print(f"for {name}; valid for {accounts.LINK_DAYS} days", file=sys.stderr)
        elif options.verb == "export":
            label_exchange.export_round(database, prepare_settings(database, params, Path.cwd()), options)
        elif options.verb == "import":
            label_exchange.import_round(database, options)
        elif options.verb == "publish-prompts":
            prompts = read(options.file, Prompt)[: options.limit]
            print(f"{demonstrations.publish(database, prompts)} prompts wait for a demonstration")
        else:
            with database.reading() as session:
                count = write(options.file, demonstrations.written_demonstrations(session))
            print(f"{count} demonstrations in {options.file}")
    finally:
        database.close()
    return 0


def _serve(database: LabelingDatabase, params: parameters.Params, options: argparse.Namespace) -> None:
    import uvicorn

    from alignloop.web.app import create_app
    from alignloop.web.pipeline_trigger import PipelineTrigger

    settings = prepare_settings(database, params, Path.cwd())
    port = options.port or listening_port(settings.url)
    with database.reading() as session:
        waiting = rounds.open_rounds(session)
        left = [(each.id, workload.round_workload(session, each.id, params.people)) for each in waiting]
    print(
        f"labeling pages on {settings.url}, which listen on {options.host}:{port}, database {database.name}, "
        f"guidelines {settings.guidelines_version}",
        file=sys.stderr,
    )
    print(f"open rounds: {', '.join(each.id for each in waiting) or 'none'}", file=sys.stderr)
    for round, work in left:
        print(f"round {round}: {work.rankings:,} rankings are missing, {work}", file=sys.stderr)
    if link := accounts.administrators_link(database, settings.url):
        print(link, file=sys.stderr, flush=True)
    app = create_app(database, settings)
    with PipelineTrigger(database, options.then, Path(".cache", "continue.log")):
        uvicorn.run(
            app,
            host=options.host,
            port=port,
            **SERVER_OPTIONS,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop label", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="serve the pages (default)")
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; for other than loopback, put TLS in front",
    )
    serve.add_argument("--port", type=int, help="the port (default: that of people.url; 4300 if it is https)")
    serve.add_argument(
        "--then",
        default=f"{sys.executable} -m flows.pipeline",
        help="the command that continues the pipeline; '' for none",
    )
    invite = verbs.add_parser("invite", help="create an invitation link")
    invite.add_argument("name", help="with or without labeler- before it")
    invite.add_argument("--role", choices=("labeler", "reviewer", "moderator", "admin"), default="labeler")
    prompts = verbs.add_parser("publish-prompts", help="publish prompts for labelers to demonstrate on")
    prompts.add_argument("file", type=Path)
    prompts.add_argument("--limit", type=int)
    label_exchange.add_verbs(verbs)
    out = verbs.add_parser(
        "export-demonstrations", help="write the labelers' demonstrations, for data/sources"
    )
    out.add_argument("file", type=Path)
    return parser
