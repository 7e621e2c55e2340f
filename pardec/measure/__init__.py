"""Clock, sampling and stopping, memory, machine: how any decoder is timed."""
