"""The rate limit of an account: a token bucket with lanes, in one process or shared by many."""
