"""Faults on purpose, and checkers that notice what a backend does under them. Usable without the contract suite.

==================== ================================================================================================
`proxy`              a TCP proxy between client and server: latency, stalls, black holes, resets; counts round trips
`triggers`           faults at an exact moment: before a request arrives, after it was answered
`postgres`           which statement a message of PostgreSQL's protocol runs
`redis`              which command a message of Redis' protocol is
`round_trips`        the most round trips of each operation
`cancel`             storms of cancellations
`crash`              kill and restart under writers
`histories`          linearizability of recorded calls
`scheduler`          an event loop with virtual time whose schedule is drawn from a seed
==================== ================================================================================================

What they do is logged under ``focal_testkit.faults``; pytest shows it beside a failure.
"""
