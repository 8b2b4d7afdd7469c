"""`python -m alignloop adopt CHECKPOINT --name NAME`: a policy trained elsewhere, evaluated and registered.

It is measured on the frozen test prompts, compared with the champion, or else with SFT, by the release
gates, and becomes a version of the registered policy. It becomes the champion by a person's decision only.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from alignloop import params as parameters
from alignloop import tracking
from alignloop.data.record_files import write
from alignloop.determinism import make_deterministic
from alignloop.files import rounded, write_json
from alignloop.pipeline.checkout_lock import lock_stage
from alignloop.pipeline.stage_files import hashes
from alignloop.release import adoption, registration
from alignloop.release.gates import render_verdict
from alignloop.tracking import completions

METRICS = Path("metrics", "adopted")


def command(arguments: Sequence[str]) -> int:
    """Take, evaluate and register the policy; prints the verdict. Exit status 0 whatever the verdict is."""
    parser = _parser()
    options = parser.parse_args(arguments)
    name = options.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        parser.error(f"--name {name}: 1 to 64 letters, digits, _ and -, the first a letter or digit")
    root, params = Path.cwd(), parameters.load(Path("params.yaml"))
    if gone := adoption.missing(params, root):
        raise adoption.AdoptError(
            f"{', '.join(gone)}: a policy is judged by the loop's test prompts, reward model and gates, and "
            "these are missing; `make run` makes them, `dvc pull` fetches those of others"
        )
    make_deterministic(params, f"adopt {name}")
    path = root / adoption.FOLDER / name
    place = path.relative_to(root).as_posix()
    with lock_stage(root, "adopt"):
        base = adoption.take(options.checkpoint, options.base, path)
        hash = hashes(root, [place])[place]
        adoption.check_new(root, params, options.checkpoint, hash)
        parents = adoption.origins(root, hash, options.checkpoint, base)
        about = {"checkpoint": options.checkpoint, "base": base or ""}
        given = {**about, "name": name, "trained": registration.TRAINED}
        with tracking.run(root, "adopt", params=given, inputs=parents) as run:
            judged = adoption.judge(params, root, path, hash)
            with TemporaryDirectory() as folder:
                file = Path(folder, "responses.jsonl")
                write(file, judged.responses)
                completions.keep_table(file, run)
            metrics = root / METRICS / f"{name}.json"
            write_json(metrics, rounded({"verdict": judged.verdict, "policy": judged.numbers}))
            run.finish(
                {place: hash, **hashes(root, [metrics.relative_to(root).as_posix()])}, [(metrics, "metrics")]
            )
            version = adoption.register(
                root, params, judged, path=place, hash=hash, run=run, tags=about, parents=parents
            )
    print("\n".join([render_verdict(judged.verdict), *judged.notes]))
    print(f"registered {version.label}, trained elsewhere; numbers in {metrics.relative_to(root)}")
    print(
        f"`python -m alignloop review approve {version.name}/{version.version} --name YOU --reason WHY`",
        end="",
    )
    print(" makes it the champion; with --despite-gates also where its gates failed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop adopt", description=__doc__)
    parser.add_argument(
        "checkpoint", help="a folder in Hugging Face's layout, or of a LoRA adapter that PEFT saved"
    )
    parser.add_argument("--name", required=True, help="its folder becomes models/adopted/NAME")
    parser.add_argument("--base", help="of an adapter: the base it was trained on; else its own config's")
    return parser
