"""What ``torchrun`` starts in a test in place of Python: it asks ``lanes`` for a process that has the libraries imported.

``lane_of_torchrun.py SOCKET ARGUMENTS...``: the process is in this one's network, has its environment and its output, and
ends when this one is killed.
"""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as lanes:
    lanes.connect(sys.argv[1])
    place = {"cwd": os.environ["PWD"], "environment": dict(os.environ), "pid": os.getpid()}
    request = {"args": sys.argv[2:], **place}
    socket.send_fds(lanes, [b"outputs"], [1, 2])
    lanes.sendall(json.dumps(request).encode() + b"\n")
    answer = lanes.makefile().readline()
sys.exit(int(answer) if answer else 137)
