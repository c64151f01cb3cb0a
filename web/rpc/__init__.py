"""The runners' RPC: JSON over HTTP with a runner's token. Every call may be repeated: runners do so through restarts.

A module for each subject; importing it adds its endpoints to the one blueprint.
"""

from web.rpc import leavings, logs, presence, stages
from web.rpc.calling import blueprint

__all__ = ["blueprint", "leavings", "logs", "presence", "stages"]
