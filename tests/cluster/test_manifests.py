"""What is given to a cluster: jobs that Kubernetes' own schema accepts, and a script that Slurm can run.

`kubernetes-1.37.json` holds the definitions of Job and PersistentVolumeClaim in the OpenAPI of Kubernetes
(Apache-2.0, from the package kubernetes-validate 1.37.0), closed against unknown keys, without texts.
"""

import copy
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.utilities.templating import apply_values

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "kubernetes-1.37.json").read_text())
POOL: dict[str, Any] = json.loads((ROOT / "configs" / "kubernetes" / "pool.json").read_text())
# what Prefect's worker sets for each run
RUN: dict[str, Any] = {
    "name": "loop",
    "labels": {"prefect.io/flow-run-id": "1"},
    "annotations": {},
    "env": [{"name": "PREFECT__FLOW_RUN_ID", "value": "1"}],
}


def job(**values: str) -> dict[str, Any]:
    """The job that Prefect makes of the pool's template with these values of its variables."""
    defaults = {
        name: about["default"]
        for name, about in POOL["variables"]["properties"].items()
        if about.get("default") is not None
    }
    made: Any = apply_values(POOL["job_configuration"]["job_manifest"], {**defaults, **RUN, **values})
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["args"] = container["args"].split()  # as the worker does
    return made


def violations(found: Any, kind: str) -> list[str]:
    validator = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]})
    return [f"{error.json_path}: {error.message[:80]}" for error in validator.iter_errors(found)]


@pytest.mark.parametrize(
    "values", [{}, {"gpus": "8", "shared_memory": "64Gi", "service_account_name": "loop"}]
)
def test_kubernetes_schema_accepts_the_pools_jobs(values: dict[str, str]) -> None:
    made = job(**values)
    assert violations(made, "io.k8s.api.batch.v1.Job") == []
    assert "{{" not in json.dumps(made), "every variable has a value"
    pod = made["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == values.get("gpus", "0")
    assert pod["volumes"][1]["emptyDir"] == {
        "medium": "Memory",
        "sizeLimit": values.get("shared_memory", "16Gi"),
    }


def test_the_schema_refuses_a_key_in_the_wrong_place_and_a_value_of_another_type() -> None:
    wrong = copy.deepcopy(job())
    wrong["spec"]["template"]["spec"]["parallelism"] = 1
    wrong["spec"]["template"]["spec"]["containers"][0]["args"] = "one text"
    faults = violations(wrong, "io.k8s.api.batch.v1.Job")
    assert any("parallelism" in fault for fault in faults)
    assert any("args" in fault for fault in faults)


def test_the_claim_is_one_and_is_what_the_pods_mount() -> None:
    claim = yaml.safe_load((ROOT / "configs" / "kubernetes" / "claim.yaml").read_text())
    assert violations(claim, "io.k8s.api.core.v1.PersistentVolumeClaim") == []
    pod = job()["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_a_pod_is_the_containers_user_with_all_its_volumes() -> None:
    lines = re.sub(r"\s*\\\n\s*", " ", (ROOT / "Containerfile").read_text())
    found = re.search(r"^VOLUME (.*)$", lines, re.M)
    assert found
    pod = job()["spec"]["template"]["spec"]
    [container] = pod["containers"]
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in container["volumeMounts"]}
    assert mounts.pop("/dev/shm", "none") is None
    assert mounts == {path: path.removeprefix("/alignloop/") for path in json.loads(found[1])}
    assert f"USER {pod['securityContext']['runAsUser']}" in lines
    assert f"WORKDIR {container['workingDir']}" in lines
    assert container["command"] == ["/usr/bin/env"], "in place of the image's entry point"


def test_the_batch_script_runs_the_loop_on_as_many_processes_as_slurm_gives(tmp_path: Path) -> None:
    script = ROOT / "configs" / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > asked\nexit 3\n')
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_NTASKS": "16"}
    done = subprocess.run(["bash", script, "--new-round"], env=environment, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "asked").read_text().splitlines() == [
        "-m",
        "flows.pipeline",
        "--set",
        "compute.processes=16",
        "--set",
        "compute.launch=srun --ntasks 16 --kill-on-bad-exit=1",
        "--new-round",
    ]
