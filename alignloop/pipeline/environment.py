"""The one place for environment variables: everything this project writes stays in its folder, and nothing phones home.

Call `settle` before Prefect, MLflow, Great Expectations or transformers are imported: they read their variables at import. What
the caller has set wins. For a shell: `eval "$(python -m alignloop.pipeline.environment)"`.
"""

import os
import shlex
import sys
from pathlib import Path

import yaml

from alignloop.pipeline.checkout_lock import held

ROOT = Path(__file__).resolve().parents[2]
STORE = Path("mlruns", "mlflow.db")  # MLflow's, where none is named
SERVING = Path(
    ".cache", "serving"
)  # the addresses of the servers of `python -m alignloop serve`, while it runs


def settle(root: Path = ROOT) -> dict[str, str]:
    """Give every variable of the project that is not set its value for the project in `root`, and return all of them."""
    servers = held(root / SERVING)  # runs show on the servers that run here
    lasting = "PREFECT_API_URL" in {**os.environ, **servers}
    settings = {
        "PREFECT_HOME": f"{root}/.prefect",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "8"
        if lasting
        else "3",  # eight minutes for a server that starts again; a flow's own never does
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
        "TORCHINDUCTOR_CACHE_DIR": f"{root}/.cache/torchinductor",
        "MPLCONFIGDIR": f"{root}/.cache/matplotlib",
        "MPLBACKEND": "agg",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    settings |= servers
    programs = str(Path(sys.executable).parent)
    if not os.environ.get("PATH", "").startswith(programs):
        os.environ["PATH"] = (
            f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # `python` in dvc.yaml is this one
        )
    return {"PATH": os.environ["PATH"]} | {
        name: os.environ.setdefault(name, value) for name, value in settings.items()
    }


def _base_is_remote(root: Path) -> bool:
    """Whether params.yaml takes its base model from the hub; a file that cannot be read is reported by who reads it for its values."""
    try:
        base = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["base"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False
    return isinstance(base, str) and not (root / base).exists()


if __name__ == "__main__":
    for name, value in settle().items():
        print(f"export {name}={shlex.quote(value)}")
