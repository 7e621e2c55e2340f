"""Clock, sampling and stopping, memory, machine: how a decoder is timed, knowing nothing of which decoder."""
