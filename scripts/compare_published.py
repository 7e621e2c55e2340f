"""Compare this run with the published one, value by value."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from pardec.measure.handover import hand_over


def main() -> None:
    from pardec.audit.archive import open_run
    from pardec.audit.published import NOTHING_PUBLISHED, against
    from pardec.audit.run import Run
    from pardec.common.files import read_lines, sha256, write_json
    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--inputs-from", required=True, type=Path, help="a file with one path per line: the records"
    )
    parser.add_argument(
        "--files", required=True, nargs="+", type=Path, help="values, claims, verdicts, study, machine, cells"
    )
    parser.add_argument("--archive", help="the published run; without it there is nothing to compare with")
    parser.add_argument("--out", required=True, type=Path, help="results/comparison.json")
    options = parser.parse_args()
    with job() as this:
        folder = options.out.parent
        read = [path for path in read_lines(options.inputs_from) if path.endswith("/timing.json")]
        this.read(*options.files, *read)
        body = NOTHING_PUBLISHED
        if options.archive is not None:
            command = shlex.join(["python", "scripts/compare_published.py", *sys.argv[1:]])
            with open_run(options.archive) as published:
                body = against(
                    published, Run(folder, str(folder)), options.archive, sha256(options.archive), command
                )
        write_json(options.out, body)
        this.sign(options.out)
        print(f"{options.out}: {body['line']}")


if __name__ == "__main__":
    hand_over("tables")  # before the imports of `main`, which take most of its time
    main()
