"""git's refusals come with the remedy that git itself gives."""

import os
import subprocess
from pathlib import Path

import pytest

from alignloop.pipeline.git import RevisionError, file_at, revision


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another account")
@pytest.mark.parametrize("name", ["plain", "Jürgens Ordner"])
def test_a_clone_of_another_account_is_refused_with_gits_own_remedy(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / name
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    commit = ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start", "--allow-empty"]
    subprocess.run(["git", *commit], cwd=root, check=True)
    for path in (root, root / ".git"):
        os.chown(path, 54321, -1)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    with pytest.raises(RevisionError, match="dubious ownership") as refused:
        revision(root)
    remedy = str(refused.value).partition("if you trust that folder: ")[2]
    assert remedy.startswith("git config --global --add safe.directory ")
    subprocess.run(["sh", "-c", remedy], check=True)  # and the remedy helps
    assert len(revision(root)[0]) == 40


def test_names_and_texts_that_the_console_cannot_show_are_read_as_they_are(project: Path) -> None:
    (project / "Grüße.txt").write_text("日本", encoding="utf-8")
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "ü"], check=True)
    code = "from pathlib import Path; from alignloop.pipeline.git import file_at; import sys\n"
    code += "found = file_at(Path('.'), 'HEAD', 'Gr\\u00fc\\u00dfe.txt'); print(ascii(found.text))"
    env = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(["python", "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "'\\u65e5\\u672c'\n"
    found = file_at(project, "HEAD", "Grüße.txt")
    assert found is not None
    assert found.text == "日本"
