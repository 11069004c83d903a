"""Follows RequestIDs to their outcome: `order` decides which to poll, `sweep_pause` when, `tracker` polls."""

from leadsquared_async.tracking.tracker import GRACE, Follower, Tracker, Trackers, fetch_status, request_id_of

__all__ = ["GRACE", "Follower", "Tracker", "Trackers", "fetch_status", "request_id_of"]
