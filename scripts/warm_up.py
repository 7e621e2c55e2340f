"""Bring the machine to a steady state before anything is timed, and start the helper that timing jobs fork from."""

from __future__ import annotations

import os

from pardec.measure.handover import LAUNCH, hand_over


def main() -> None:
    import argparse

    from pardec.jobs import job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to keep the device busy")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()

    with job() as this:
        from pardec.measure.machine import burn_in

        passes = burn_in(args.device, args.threads, args.precision, args.seconds)
        this.seal(args.out, {"pass_ms": passes, "launch": os.environ.get(LAUNCH, "fresh")})


if __name__ == "__main__":
    hand_over()
    main()
