"""Write the reference of keys and the JSON schema from the study's models."""

from __future__ import annotations

from pathlib import Path

from pardec.common.files import write_text
from pardec.jobs import job
from pardec.study.reference import json_schema, reference

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    with job():
        write_text(DOCS / "config.md", reference())
        write_text(DOCS / "study.schema.json", json_schema())


if __name__ == "__main__":
    main()
