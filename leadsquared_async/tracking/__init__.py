"""A RequestID, followed to its end: `line` decides whom to ask, `pace` when, `tracker` asks and tells."""

from leadsquared_async.tracking.look import look
from leadsquared_async.tracking.tracker import GRACE, Follower, Tracker, Trackers

__all__ = ["GRACE", "Follower", "Tracker", "Trackers", "look"]
