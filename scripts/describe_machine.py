"""Describe this machine and measure its copy bandwidth and matmul rate."""

from __future__ import annotations

import argparse

from pardec.measure.handover import hand_over


def main() -> None:
    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    with job() as this:
        from pardec.measure.machine import describe

        this.seal(args.out, describe(args.device, args.threads, args.precision))


if __name__ == "__main__":
    hand_over()  # importing torch takes longer than the rest
    main()
