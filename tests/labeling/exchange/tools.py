"""The exports that Label Studio and Argilla make of the files written for them."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

SPACE = UUID(int=7)
TIMES = {"inserted_at": "2026-01-05T10:00:00.000000", "updated_at": "2026-01-05T10:01:30.500000"}


def uuid(name: str) -> str:
    return str(uuid5(SPACE, name))


def label_studio(file: Path, shape: str = "buckets", whole_user: bool = False) -> Path:
    """The JSON export of a project into which the file was imported.

    Shapes: buckets, list, and named, a list under the Ranker's name.
    """
    tasks = json.loads(file.read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, 1):
        task |= {
            "id": number,
            "drafts": [],
            "predictions": [],
            "meta": {},
            "project": 1,
            "inner_id": number,
            "updated_by": 1,
        }
        for annotation in task["annotations"]:
            annotation |= {
                "id": number,
                "ground_truth": False,
                "created_at": "2026-01-05T10:00:00Z",
                "result_count": 1,
                "task": number,
            }
            if whole_user:
                annotation["completed_by"] = {
                    "id": annotation["completed_by"],
                    "email": "ann@example.org",
                    "first_name": "",
                }
            for result in annotation["result"]:
                result["value"]["ranker"] = _shaped(result["value"]["ranker"], shape)
    out = file.with_name("project-1-export.json")
    out.write_text(json.dumps(tasks, indent=2), encoding="utf-8")
    return out


def _shaped(buckets: dict[str, list[str]], shape: str) -> Any:
    if shape == "buckets":
        return {"rank-9": [], "_": [], **buckets}
    order = [id for name in sorted(buckets) for id in buckets[name]]
    return order if shape == "list" else {"rank": order}


def argilla(file: Path, pages: bool = True) -> Path:
    """The replies of `GET …/records?include=responses` after each line was posted to `records/bulk`.

    A line holds one page, or one record.
    """
    found = [
        record
        for line in file.read_text(encoding="utf-8").rstrip("\n").split("\n")
        for record in json.loads(line)["items"]
    ]
    for record in found:
        record |= {
            "id": uuid(record["external_id"]),
            "status": "completed",
            "dataset_id": uuid("d"),
            "suggestions": [],
            "vectors": {},
            **TIMES,
        }
        for response in record["responses"]:
            response |= {"id": uuid(response["user_id"]), "record_id": record["id"], **TIMES}
    lines = (
        [{"items": found[start : start + 2], "total": len(found)} for start in range(0, len(found), 2)]
        if pages
        else found
    )
    out = file.with_name("records.out.jsonl")
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return out
