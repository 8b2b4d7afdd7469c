"""What the plan asks the doctor: memory by sizes alone in no time, a new base in a process of its own."""

import shutil
import sys
from pathlib import Path

import pytest

from alignloop.params import load
from tasks import doctor
from tasks.doctor import RunRefused, consult, consult_sizes


def test_sizes_alone_refuse_a_run_that_does_not_fit_and_say_nothing_where_it_does(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load(project / "params.yaml")
    assert consult_sizes(project, params) == []
    monkeypatch.setattr(doctor, "free_memory", lambda device: 10**8)
    with pytest.raises(RunRefused, match=r"^6 things stop this run:\n- pretrain needs about"):
        consult_sizes(project, params)
    tried = consult_sizes(project, params.model_copy(update={"memory_check": "warn"}))
    assert len(tried) == 6
    missing = params.model_copy(update={"base": "models/mine"})
    assert consult_sizes(project, missing) == [], "nothing is there to measure"


def test_all_errors_of_a_base_are_named_at_once(project: Path, tiny_policy: Path) -> None:
    broken = project / "broken"
    shutil.copytree(tiny_policy, broken)
    (broken / "tokenizer_config.json").unlink()
    with pytest.raises(RunRefused, match=r"^base: broken: tokenizer_config\.json is missing"):
        consult(project, "broken", [], {})
    if sys.platform != "darwin":
        with pytest.raises(RunRefused, match=r"^2 things stop this run:\n- base: compute\.device: mps"):
            consult(project, "broken", [], {"compute.device": "mps"})
