"""Environment variables of the project: all files stay in its folder, and no tool sends telemetry.

Call `configure` before Prefect, MLflow, Great Expectations or transformers are imported: they read their
variables at import. Variables that the caller has set are kept, except that loopback bypasses proxies. For a
shell: `eval "$(python -m alignloop.pipeline.environment)"`.
"""

import os
import shlex
import sys
from pathlib import Path

import yaml

from alignloop.pipeline.checkout_lock import read_lock_file
from alignloop.pipeline.machine import machine_settings

ROOT = Path(__file__).resolve().parents[2]
MLFLOW_DATABASE = Path("mlruns", "mlflow.db")  # the default store
# the addresses of the servers of `python -m alignloop serve`, while it runs
SERVING = Path(".cache", "serving")


def configure(root: Path = ROOT) -> dict[str, str]:
    """Set every variable of the project in `root` that is not set yet, and return all of them."""
    servers = read_lock_file(root / SERVING)  # runs report to the servers that run here
    if os.environ.get("PREFECT_API_URL") not in (None, servers.get("PREFECT_API_URL")):
        servers.pop("PREFECT_API_AUTH_STRING", None)  # another server must not learn the key of this one
    # Eight retries are eight minutes, for a server that may be restarted. A flow's temporary server never is.
    retries = "8" if "PREFECT_API_URL" in {**os.environ, **servers} else "3"
    settings = {
        "PREFECT_HOME": f"{root}/.prefect",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",  # whatever profile is active
        "PREFECT_CLIENT_MAX_RETRIES": retries,
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": f"{root}/.cache/huggingface",
        "HF_HUB_OFFLINE": "0" if _base_is_remote(root) else "1",
        "DVC_SITE_CACHE_DIR": f"{root}/.dvc/tmp/site",
        "DVC_NO_ANALYTICS": "1",
        "DVC_STUDIO_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        # bf16 on a CPU: each length of a pass makes kernels that are kept, by default 1,024 twice: a gigabyte
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "64",  # PyTorch's own
        "TORCHINDUCTOR_CACHE_DIR": f"{root}/.cache/torchinductor",
        "MPLCONFIGDIR": f"{root}/.cache/matplotlib",
        "MPLBACKEND": "agg",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    settings |= servers
    programs = str(Path(sys.executable).parent)
    if not os.environ.get("PATH", "").startswith(programs):  # `python` in dvc.yaml is this interpreter
        os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ.update(changed := machine_settings(root))
    kept = {name: os.environ.setdefault(name, value) for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], **changed, **kept}


def _base_is_remote(root: Path) -> bool:
    """Whether params.yaml takes its base model from the Hugging Face hub.

    A params.yaml that cannot be read counts as no; the code that loads its values reports the error.
    """
    try:
        base = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["base"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False
    return isinstance(base, str) and not (root / base).exists()


if __name__ == "__main__":
    for name, value in configure().items():
        # as bytes: a path may hold what the console's encoding lacks
        sys.stdout.buffer.write(os.fsencode(f"export {name}={shlex.quote(value)}\n"))
